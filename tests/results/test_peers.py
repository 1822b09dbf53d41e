"""modisco-lite and finemo, as they are installed, read our files: out.h5 unchanged, and what is exported for them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from support import ROOT, environment

from drg_hpc.results.exports import write_exports
from tests.interpretation.planted import Planted, named, plant
from tests.results.attribution_files import Truth, make_truth, plain, write_file

pytestmark = pytest.mark.slow
PEERS = ROOT / ".venv-peers" / "bin"
ROWS, LENGTH, WIDTHS = 300, 120, (20, 18)
Run = Callable[..., None]


def peer(program: str, package: str) -> Run:
    """Runs a program of .venv-peers; the test is skipped where its package is not there."""
    if not (PEERS / "python").exists():
        pytest.skip(f"no .venv-peers: {package} is not here to compare with")
    probe = subprocess.run([PEERS / "python", "-c", f"import {package}"], capture_output=True, text=True, check=False)
    if "No module named" in probe.stderr:
        pytest.skip(f".venv-peers has no {package}")

    def run(*words: object) -> None:
        line = [str(PEERS / program), *map(str, words)]
        done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment(OMP_NUM_THREADS="1"))
        assert done.returncode == 0, done.stderr

    return run


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth, Planted]:
    """CTCF and GATA1 sites in turn, with hypothetical contributions; a row on each strand in turn, one not kept."""
    planted = plant(named("CTCF", "GATA1"), [1, 1], rows=ROWS, length=LENGTH, noise=0.05, seed=0)
    layout = plain(inputs=(("sequence", LENGTH),), tracks=((0, "x"),), form="hypothetical", dtype="float16")
    truth = make_truth(layout, rows=ROWS, unkept=(3,))
    here = planted.onehot.astype(np.float32)
    others = (1 - here) * -0.3 * np.abs(planted.projected)[:, None]
    truth.onehot[0] = here
    truth.multipliers[0] = (here * planted.projected[:, None] + others)[None]
    return write_file(tmp_path_factory.mktemp("ours") / "run", truth), truth, planted


def check_patterns(path: Path, rows: np.ndarray, planted: Planted) -> None:
    """Each pattern's seqlets lie at sites of one motif."""
    with h5py.File(path) as found:
        patterns = [group["seqlets"] for group in found["pos_patterns"].values()]
        motifs = set()
        for seqlets in patterns[:2]:
            row = rows[seqlets["example_idx"][()].ravel()]
            (motif,) = np.flatnonzero(np.bincount(planted.motif[row], minlength=2) > 0.8 * len(row))
            site = planted.start[row] + WIDTHS[motif] // 2
            inside = (seqlets["start"][()].ravel() <= site) & (site < seqlets["end"][()].ravel())
            assert len(row) > 30 and inside.mean() > 0.9
            motifs.add(int(motif))
    assert motifs == {0, 1}


def test_modisco_takes_the_file_unchanged(tmp_path: Path, ours: tuple[Path, Truth, Planted]) -> None:
    path, _, planted = ours
    modisco = peer("modisco", "modiscolite")
    modisco("motifs", "-i", path, "-n", 400, "-w", LENGTH, "-o", tmp_path / "out.h5")
    check_patterns(tmp_path / "out.h5", np.arange(ROWS), planted)


def test_finemo_takes_the_file_unchanged(tmp_path: Path, ours: tuple[Path, Truth, Planted]) -> None:
    path, truth, _ = ours
    finemo = peer("finemo", "finemo")
    for width in (LENGTH, 60):
        out = tmp_path / f"{width}.npz"
        finemo("extract-regions-chrombpnet-h5", "-c", path, "-o", out, "-w", width)
        middle = slice(LENGTH // 2 - width // 2, LENGTH // 2 + width // 2)
        with np.load(out) as found:
            np.testing.assert_array_equal(found["sequences"], truth.onehot[0][:, :, middle])
            expected = truth.multipliers[0][0] * truth.kept[:, None, None]
            np.testing.assert_array_equal(found["contributions"], expected[:, :, middle].astype(np.float16))


def test_exports_for_modisco_and_finemo(tmp_path: Path, ours: tuple[Path, Truth, Planted]) -> None:
    path, truth, planted = ours
    modisco, finemo = peer("modisco", "modiscolite"), peer("finemo", "finemo")
    write_exports(path, ["modisco", "finemo"], tmp_path / "export")
    folder, motifs = tmp_path / "export" / "modisco", tmp_path / "motifs.h5"
    arrays = ["-s", folder / "sequences.npz", "-a", folder / "00000.x.npz"]
    modisco("motifs", *arrays, "-n", 400, "-w", LENGTH, "-o", motifs)
    check_patterns(motifs, np.flatnonzero(truth.kept), planted)
    regions = tmp_path / "export" / "finemo" / "00000.x.npz"
    finemo("call-hits", "-r", regions, "-m", motifs, "-o", tmp_path / "hits", "-M", "hh")
    hits = pd.read_csv(tmp_path / "hits" / "hits.tsv", sep="\t")
    row = hits["peak_name"].str[1:].to_numpy(int)
    width = np.array(WIDTHS)[planted.motif[row]]
    minus = (truth.regions["strand"] == "-").to_numpy()[row]
    along = np.where(minus, LENGTH - planted.start[row] - width, planted.start[row]) + width // 2
    site = truth.regions["start"].to_numpy()[row] + along
    there = (hits["start_untrimmed"].to_numpy() <= site) & (site < hits["end_untrimmed"].to_numpy())
    assert len(hits) > 200 and there.mean() > 0.9 and set(hits["chr"]) == {"chr1"}
