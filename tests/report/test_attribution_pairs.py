"""Two attribution runs over the same sequences: their correlation, on the page and in the log."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bodies.seqlet_runs import write_done
from report.attribution_files import Made, make, regions_of

from drg_hpc.report.attribution_pairs import pairs_of, pairs_section
from drg_hpc.report.config import ReportOptions
from drg_hpc.report.page import write_report
from drg_hpc.report.sources import Sources

TWO = (("promoter", 120), ("enhancer", 90))


def run(folder: Path, name: str, *, sha256: str = "s", **chosen: Any) -> Made:
    """A file in a run of that name; equal seeds give the first rows of one input equal sequences."""
    (folder / name).mkdir()
    made = make(folder / name / "out.h5", attributes={"inputs": {"sequences": {"sha256": sha256}}}, **chosen)
    write_done(folder / name, "attr", {"rows": 4, "tracks": []})
    return made


def pearson(one: Made, other: Made, rows: dict[int, int], track: int = 0) -> float:
    """Over all bases of rows ``{of one: of other}``."""
    numbers = range(len(one.onehot))
    x = np.concatenate([one.projected[track][n][list(rows)].ravel() for n in numbers])
    y = np.concatenate([other.projected[track][n][list(rows.values())].ravel() for n in numbers])
    return float(np.corrcoef(x, y)[0, 1])


def test_correlation_over_the_rows_that_both_have(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = run(tmp_path, "shap", rows=6, tracks=("B cells", "T cells"))
    kept = [True, True, False, True]
    other = run(tmp_path, "ism", rows=4, tracks=("T cells",), unkept=True, regions=regions_of(4, 160, kept=kept),
                params={"method": "ism", "compare": "subtract", "projection": "mean-effect"})  # fmt: skip
    np.testing.assert_array_equal(one.onehot[0][:4], other.onehot[0])
    paths = (tmp_path / "shap", tmp_path / "ism")
    (pair,) = pairs_of(Sources(paths))
    x, y = (made.projected[track][0][[0, 1, 3]].ravel() for made, track in ((one, 1), (other, 0)))
    expected = float(np.corrcoef(x, y)[0, 1])
    assert (pair.track, pair.rows, pair.bases) == ("T cells", 3, 3 * 160)
    assert pair.pearson == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(np.sort(pair.points[:, 0]), np.sort(x), rtol=1e-6)
    caplog.set_level(logging.INFO, "drg_hpc")
    page = write_report(ReportOptions(paths=paths, out=tmp_path / "r.html", examples=1)).read_text()
    words = f"shap (DeepSHAP) and ism (in-silico mutagenesis), track T cells: Pearson r = {expected:.3f}"
    assert f"{words} over 480 bases of 3 sequences" in caplog.text and words in page
    assert "in-silico mutagenesis (minus the mean change of the prediction over the three other bases)" in page


def test_several_inputs_together(tmp_path: Path) -> None:
    one, other = (
        run(tmp_path, name, rows=5, inputs=TWO, form=form) for name, form in (("a", "raw"), ("b", "corrected"))
    )
    first, second = pairs_of(Sources((tmp_path / "a", tmp_path / "b")))
    rows = dict(zip(range(5), range(5), strict=True))
    assert first.pearson == pytest.approx(pearson(one, other, rows), abs=1e-6)
    assert (first.track, second.track, first.bases) == ("B cells", "T cells", 5 * 210)
    assert pairs_section([first, second]).count("<figure>") == 1, "one scatter plot for two runs"


def test_only_equal_sequences_of_one_input_are_compared(tmp_path: Path) -> None:
    run(tmp_path, "a", rows=4)
    run(tmp_path, "other_store", rows=4, sha256="t")
    run(tmp_path, "shorter", rows=4, inputs=(("seq", 150),))
    assert not pairs_of(Sources((tmp_path / "a", tmp_path / "other_store")))
    assert not pairs_of(Sources((tmp_path / "a", tmp_path / "shorter")))
    moved = run(tmp_path, "moved", rows=4, regions=regions_of(4, 160, row=[3, 2, 1, 0]))
    assert len(moved.onehot[0]) == 4
    assert not pairs_of(Sources((tmp_path / "a", tmp_path / "moved"))), "row 0 of one is another sequence in the other"
    assert pairs_section([]) == ""
