"""The section on perturbation tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bodies.perturb_runs import PAIR, perturb, simulate
from prediction.small_world import make_model
from report.test_page import check

from drg_hpc.report.config import ReportOptions
from drg_hpc.report.page import write_report
from drg_hpc.results.perturbation import read_table


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("perturbation")
    make_model(folder / "model", length=90, tracks=("label",))
    perturb(folder / "run", folder / "model", simulate(folder / "sim"), tests="presence,order", num_perturbs=1)
    perturb(folder / "few", folder / "model", folder / "sim", tests="presence", limit=3, effects="value")
    return folder


def test_the_table_on_the_page(run: Path, tmp_path: Path) -> None:
    text = write_report(ReportOptions(paths=(run / "run", run / "model"), out=tmp_path / "r.html")).read_text()
    words = check(text)
    assert re.findall(r"<h2>([^<]+)</h2>", text) == ["Training", "Perturbation tests", "Provenance"]
    assert "exchanged and moved in 270 sequences, in one random copy of each." in words
    found = read_table(run / "run" / "out.h5")
    order = found[found["test"] == " ".join(["order", *PAIR])].iloc[0]
    row = re.search(rf"order {' '.join(PAIR)}\D*{order['count']}(\S+) to \S+ % \(", words)
    assert row is not None or f"{100 * order['relative']:.3g} % (" in words
    assert f"{order['missing']} without the motifs" in words
    assert words.index("Loss") < words.index("Logit, signed by the label")


def test_a_test_that_was_not_made_says_so(run: Path, tmp_path: Path) -> None:
    words = check(write_report(ReportOptions(paths=(run / "few",), out=tmp_path / "r.html")).read_text())
    assert "sequences, a test needs 6" in words and "Value of the model" in words
    assert re.search(r"\bnan\b", words) is None
