"""The section on perturbation tests."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from bodies.perturb_runs import PAIR, perturb, simulate
from prediction.small_world import make_model
from report.test_page import check

from drg_hpc.report import html
from drg_hpc.report.config import ReportOptions
from drg_hpc.report.page import write_report
from drg_hpc.report.perturbation import reading
from drg_hpc.results.perturbation import read_table

TITLES = {"loss": "<h3>Loss</h3>", "logit": "<h3>Logit, signed by the label</h3>"}


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
    assert f"{order['missing']} without a motif" in words and "both sites exchange places" in words
    mean, low, high = (f"{100 * float(order[name]):,.1f}" for name in ("relative", "relative_low", "relative_high"))
    assert f"{mean} % ({low} to {high})" in words
    for line in found.to_dict("records"):
        row = re.search(rf"<tr><td[^>]*>{line['test']}</td>.*?</tr>", text[text.index(TITLES[line["effect"]]) :])
        cells = re.findall(r"<td[^>]*>([^<]*)</td>", row.group()) if row else []
        seen = line["low"] > 0 or line["high"] < 0
        little = max(abs(line["relative_low"]), abs(line["relative_high"])) < 0.05
        said = ("little" if little else "matters" if line["mean"] < 0 else "hinders") if seen else "not seen"
        assert (cells[1], cells[5]) == (str(line["count"]), said)
    assert words.index("Loss") < words.index("Logit, signed by the label")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "value rises"),
        ({"mean": -0.2, "low": -0.3, "high": -0.1, "relative_low": -0.06, "relative_high": -0.02}, "value falls"),
        ({"relative_low": 0.01, "relative_high": 0.04}, "little"),
        ({"low": -0.1}, "not seen"),
        ({"kind": "interaction"}, "more than the sum"),
        ({"kind": "interaction", "effect": "loss"}, "not additive"),
        ({"low": math.nan}, "–"),
    ],
)
def test_what_a_line_says(changed: dict[str, Any], said: str) -> None:
    line = {"kind": "order", "effect": "value", "mean": 0.2, "low": 0.1, "high": 0.3}
    assert reading({**line, "relative_low": 0.02, "relative_high": 0.06, **changed}) == said


def test_probabilities() -> None:
    found = [html.probability(value) for value in (math.nan, 0.0, 1e-310, 2e-300, 0.0123, 1.0)]
    assert found == ["–", "<10⁻³⁰⁰", "<10⁻³⁰⁰", "2.0×10⁻³⁰⁰", "0.012", "1"]


def test_a_test_that_was_not_made_says_so(run: Path, tmp_path: Path) -> None:
    words = check(write_report(ReportOptions(paths=(run / "few",), out=tmp_path / "r.html")).read_text())
    assert "sequences, a test needs 6" in words and "Value of the model" in words
    assert re.search(r"\bnan\b", words) is None
