"""Readers of attributions with several inputs, rows that are not kept, and sparse arrays: seqlets and statistics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from drg_hpc.bodies.seqlets_plan import Options, plan_shards
from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import sha256_file
from drg_hpc.interpretation.statistics_config import StatsOptions
from drg_hpc.interpretation.statistics_files import make_statistics
from drg_hpc.results import seqlets
from drg_hpc.runs.here import Here
from tests.bodies.seqlet_runs import do_run, write_done
from tests.results.attribution_files import Truth, make_truth, plain, write_file

INPUTS = (("promoter", 90), ("enhancer", 60))
UNKEPT = (3, 70, *range(128, 192))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Truth]]:
    """A file of two inputs, and one whose only input is the second of them."""
    folder = tmp_path_factory.mktemp("files")
    both = make_truth(plain(inputs=INPUTS, keep_form=True), rows=250, unkept=UNKEPT)
    rng = np.random.default_rng(9)
    for values in both.multipliers:  # a stretch in each row that stands out
        for row, start in enumerate(rng.integers(0, 50, 250)):
            values[:, row, :, start : start + 8] += 6
    alone = make_truth(plain(inputs=INPUTS[1:], keep_form=True), rows=250, unkept=UNKEPT)
    alone.onehot[0], alone.multipliers[0] = both.onehot[1], both.multipliers[1]
    for column, values in both.intervals["enhancer"].items():
        alone.regions[column] = values
    summary = {"rows": 250, **both.layout.summary()}
    found = {"both": (write_file(folder / "both", both), both), "alone": (write_file(folder / "alone", alone), alone)}
    write_done(folder / "both", "attr", summary)
    return found


def test_seqlets_of_one_of_several_inputs(tmp_path: Path, files: dict[str, tuple[Path, Truth]]) -> None:
    tables: dict[str, pd.DataFrame] = {}
    for name, options in {"both": {"input": "enhancer"}, "alone": {}}.items():
        plan, _ = do_run(Options(attributions=files[name][0], out=tmp_path / name, shards=2, **options))
        made = seqlets.read_seqlets(plan.folder / "out.h5")
        tables[name] = made.table
        rows = set(made.table["row"])
        assert len(made.table) > 150 and not rows & set(UNKEPT)
        assert np.isfinite(made.contribution).all() and made.attributes["form"] == "corrected"
        assert made.attributes["params"].get("input") == options.get("input")
    pd.testing.assert_frame_equal(tables["both"], tables["alone"])
    assert set(tables["both"]["chrom"]) == {"chr1"}
    _, truth = files["both"]
    first = tables["both"].iloc[0]
    assert first["genome_start"] == truth.intervals["enhancer"]["start"][first["row"]] + first["start"]


def test_the_plan_asks_for_the_input(tmp_path: Path, files: dict[str, tuple[Path, Truth]]) -> None:
    path, _ = files["both"]
    spec = plan_shards(Options(attributions=path.parent, out=tmp_path / "x", input="promoter"))
    assert spec.params["input"] == "promoter" and spec.notes == ()
    lone = tmp_path / "lone.h5"
    lone.write_bytes(path.read_bytes())
    for source in (path.parent, path, lone):
        with pytest.raises(UsageError, match=r"attributions to 2 inputs.*--input"):
            plan_shards(Options(attributions=source, out=tmp_path / "x"))
        with pytest.raises(UsageError, match=r"no input 'enhance' in .*; it has promoter, enhancer"):
            plan_shards(Options(attributions=source, out=tmp_path / "x", input="enhance"))
    with pytest.raises(UsageError, match="leave it out"):
        plan_shards(Options(attributions=files["alone"][0], out=tmp_path / "x", input="enhancer"))


@pytest.mark.parametrize("summary", [True, False], ids=["of a run", "of a file"])
def test_sparse_attributions_have_no_seqlets(tmp_path: Path, summary: bool) -> None:
    truth = make_truth(plain(top=8))
    path = write_file(tmp_path / "run", truth)
    if summary:
        write_done(tmp_path / "run", "attr", {"rows": 150, **truth.layout.summary()})
    with pytest.raises(InputError, match=r"strongest positions only, seqlets .*need all of them; run drg-attr without"):
        plan_shards(Options(attributions=path, out=tmp_path / "x"))


def test_statistics_of_one_of_several_inputs(tmp_path: Path, files: dict[str, tuple[Path, Truth]]) -> None:
    def made(name: str, **options: Any) -> dict[str, np.ndarray]:
        out = tmp_path / f"{name}.h5"
        make_statistics(StatsOptions(files=(files[name][0],), out=out, **options), Here())
        found: dict[str, np.ndarray] = {}
        with h5py.File(out) as handle:
            group = handle["files/00000"]
            assert group.attrs["left_out"] == len(UNKEPT)
            group.visititems(lambda key, item: found.update({key: item[()]} if isinstance(item, h5py.Dataset) else {}))
        return found

    both, alone = made("both", input="enhancer"), made("alone")
    assert both.keys() == alone.keys()
    for key, values in both.items():
        np.testing.assert_array_equal(values, alone[key], err_msg=key)
    kept = files["both"][1].kept
    own = files["both"][1].projected(0, 1)[kept].astype(np.float64)
    np.testing.assert_allclose(both["tracks/mean"][0], own.mean(), rtol=1e-9)
    before = sha256_file(tmp_path / "both.h5")
    with pytest.raises(UsageError, match="was made from other files"):
        make_statistics(StatsOptions(files=(files["both"][0],), out=tmp_path / "both.h5", input="promoter"), Here())
    assert sha256_file(tmp_path / "both.h5") == before
    with pytest.raises(UsageError, match="choose one with --input NAME"):
        make_statistics(StatsOptions(files=(files["both"][0],), out=tmp_path / "none.h5"), Here())
