"""The section on ablations."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from bodies.ablate_runs import ablate, read
from prediction.small_world import letters, make_model
from report.test_page import check
from stores import fasta

from drg_hpc.report.config import ReportOptions
from drg_hpc.report.page import write_report
from drg_hpc.results.ablation_read import read_ablation


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("ablation"), np.random.default_rng(0)
    make_model(folder / "model", length=100, tracks=tuple("abcdefg"))
    given = fasta(folder / "x.fa", {f"chr1:{200 * i}-{200 * i + 100}": letters(rng, 100) for i in range(9)})
    ablate(folder / "windows", folder / "model", given, windows="10:5", start=20, shuffles=2)
    lines = [f"chr1\t{200 * i + 10}\t{200 * i + 20}\t{name}\n" for i in range(9) for name in ("GATA", f"n{i}")]
    (folder / "x.bed").write_text("".join(lines))
    ablate(folder / "spans", folder / "model", given, spans=folder / "x.bed", shuffles=2, replace="dinuc")
    return folder


def test_windows_on_the_page(runs: Path, tmp_path: Path) -> None:
    text = write_report(ReportOptions(paths=(runs / "windows",), out=tmp_path / "r.html", examples=2)).read_text()
    words = check(text)
    assert re.findall(r"<h2>([^<]+)</h2>", text) == ["Ablations", "Provenance"]
    assert (
        "135 pieces of 9 sequences (windows of 10 bases, one every 5 bases from 20), each shuffled (same bases,"
        in words
    )
    assert "of the 6 of 7 values with the largest ones" in words and "mean |effect|" in words
    found = np.nan_to_num(np.abs(read(runs / "windows")["positions"]))
    value = int(found.mean(axis=(0, 2)).argmax())
    first, second = np.argsort(-found[:, value].max(axis=1))[:2].tolist()
    titles = re.findall(r"<h4>(\d)\. chr1:(\d+)\W", text.replace(",", ""))
    assert [(rank, int(start) // 200) for rank, start in titles] == [("1", first), ("2", second)]
    assert f"largest effects on {'abcdefg'[value]}" in words and re.search(r"\bnan\b", words) is None
    assert re.search(r'<use href="#base[ACGT]"', text)


def test_named_pieces_on_the_page(runs: Path, tmp_path: Path) -> None:
    text = write_report(ReportOptions(paths=(runs / "spans", runs / "windows"), out=tmp_path / "r.html")).read_text()
    words = check(text)
    assert "18 pieces of 9 sequences (intervals of a BED file), each shuffled keeping the counts of" in words
    assert "The 40 largest of 70 lines, all are in summary.tsv." in words
    with read_ablation(runs / "spans") as opened:
        table = opened.table()
    assert table is not None
    largest = table.iloc[table["mean"].abs().argmax()]
    row = re.search(r"<tbody><tr><td[^>]*>([^<]+)</td><td[^>]*>([^<]+)</td><td[^>]*>(\d+)</td>", text)
    assert row is not None and row.groups() == (largest["name"], largest["track"], str(largest["sequences"]))
    assert "1 sequence, a test needs 6" in words and re.search(r"\bnan\b", words) is None
