"""The CTCF quick start on part of its own attributions: our first motif is CTCF and modisco-lite's main pattern."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from bodies.seqlet_runs import do_run, write_attributions, write_done
from interpretation.planted import MOTIFS
from support import ROOT

from drg_hpc.bodies.seqlets_plan import Options
from drg_hpc.interpretation.config import MotifsOptions
from drg_hpc.interpretation.motifs import find_motifs
from drg_hpc.results.motifs import read_motifs

FOLDER = ROOT / "tests" / "data" / "ctcf"
PEER = ROOT / ".venv-peers" / "bin" / "modisco"
OVERLAP = 15

Array = np.ndarray


def best_pearson(a: Array, b: Array) -> float:
    """Of two (4, W) over both strands and all offsets that share :data:`OVERLAP` positions; zero beyond the ends."""
    scores = []
    for other in (b, b[::-1, ::-1]):
        for at in range(OVERLAP - other.shape[1], a.shape[1] - OVERLAP + 1):
            first, last = min(0, at), max(a.shape[1], at + other.shape[1])
            left, right = (np.zeros((4, last - first)) for _ in range(2))
            left[:, -first : a.shape[1] - first] = a
            right[:, at - first : at - first + other.shape[1]] = other
            scores.append(np.corrcoef(left.ravel(), right.ravel())[0, 1])
    return float(max(scores))


@pytest.fixture(scope="module")
def seqlets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The seqlet run of the kept attributions."""
    folder = tmp_path_factory.mktemp("ctcf")
    kept = np.load(FOLDER / "attributions.npz")
    onehot = (kept["codes"][:, None] == np.arange(4)[:, None]).astype(np.int8)
    form = kept["steps"].astype(np.float32) * np.float32(kept["step"])
    rows, _, length = onehot.shape
    (folder / "attributions").mkdir()
    write_attributions(
        folder / "attributions" / "out.h5", (form * onehot).sum(axis=1), onehot, tracks=1, keep=True, form=form,
        name=kept["names"].tolist(), kept=np.ones(rows, bool),
    )  # fmt: skip
    write_done(folder / "attributions", "attr", {"rows": rows, "length": length, "tracks": ["track 0"]})
    _, summary = do_run(Options(attributions=folder / "attributions", out=folder / "seqlets"))
    write_done(folder / "seqlets", "seqlets", summary)
    return folder / "seqlets"


@pytest.fixture(scope="module")
def first(seqlets: Path) -> Array:
    """The CWM of our first motif, which the database must call CTCF."""
    out = seqlets.with_name("motifs")
    find_motifs(MotifsOptions(seqlets=seqlets, out=out, database=(MOTIFS,)))
    record = read_motifs(out)[0]
    assert record.name == "pos_0" and record.facts["n_seqlets"] > 200
    assert record.facts["target"].startswith("CTCF.") and record.facts["q"] < 1e-8
    return record.arrays["cwm"]


def test_it_is_the_main_pattern_of_modisco(first: Array) -> None:
    kept = np.load(FOLDER / "modisco.npz")["pattern_0"]
    assert best_pearson(kept, first) >= 0.95
    assert best_pearson(kept, first[::-1, ::-1]) >= 0.95
    assert best_pearson(kept, first[::-1]) < 0.8  # bases swapped, not the order of positions: no motif of CTCF


@pytest.mark.slow
@pytest.mark.skipif(not PEER.exists(), reason="modisco-lite is not here")
def test_modisco_here_finds_it_too(seqlets: Path, first: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{PEER.parent}{os.pathsep}{os.environ['PATH']}")
    out = seqlets.with_name("modisco")
    find_motifs(MotifsOptions(seqlets=seqlets, out=out, database=(MOTIFS,), method="modisco"))
    record = read_motifs(out)[0]
    assert record.facts["target"].startswith("CTCF.")
    assert best_pearson(record.arrays["cwm"], first) >= 0.95
    kept = np.load(FOLDER / "modisco.npz")["pattern_0"]
    assert best_pearson(kept, record.arrays["cwm"]) > 0.99
