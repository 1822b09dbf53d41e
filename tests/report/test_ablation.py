"""The section on ablations."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from bodies.ablate_runs import ablate, read
from prediction.small_world import letters, make_model
from report.test_page import check
from stores import fasta, shard

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


def test_rows_that_are_not_kept_are_no_examples(tmp_path: Path) -> None:
    """Nor among the sequences that are counted."""
    make_model(tmp_path / "model", length=40)
    genome = shard("genome", tmp_path / "genome", fasta=[fasta(tmp_path / "g.fa", {"chr1": "ACGGTCATTG" * 50})])
    (tmp_path / "r.bed").write_text("chr1\t900\t940\tgone\nchr1\t100\t140\tone\nchr1\t203\t243\ttwo\n")
    ablate(tmp_path / "run", tmp_path / "model", None, windows="1:2", replace="background:0.25,0.25,0.25,0.25",
           shuffles=2, regions=str(tmp_path / "r.bed"), genome=genome)  # fmt: skip
    text = write_report(ReportOptions(paths=(tmp_path / "run",), out=tmp_path / "r.html")).read_text()
    words = check(text)
    assert "40 pieces of 2 of 3 sequences (windows of 1 base, one every 2 bases from 0), each drawn" in words
    assert [title[:1] for title in re.findall(r"<h4>([^<]+)</h4>", text)] == ["1", "2"] and "value –" not in words
