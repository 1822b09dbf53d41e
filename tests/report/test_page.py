"""The page: what it says, that it is whole in itself, and that equal inputs give equal bytes."""

from __future__ import annotations

import errno
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prediction.arrays import write_folder

from drg_hpc.errors import CorruptError, DiskFullError, IncompleteError, InputError, UsageError
from drg_hpc.report import html
from drg_hpc.report.charts import Chart, padded, ticks
from drg_hpc.report.config import ReportOptions
from drg_hpc.report.data import _chromosome_chart, gc_edges, rows_words
from drg_hpc.report.logos import LogoRow, glyph_symbols, information, logo_figure, span_of
from drg_hpc.report.motifs import motif_logo, motif_row
from drg_hpc.report.page import write_report
from drg_hpc.report.performance import correlation, dot_size
from drg_hpc.report.sources import Sources
from drg_hpc.report.summary import default_title
from drg_hpc.results import h5
from drg_hpc.results.motifs import read_motifs
from drg_hpc.results.statistics import FORMAT as STATISTICS

VOID = {"meta", "link", "br", "path", "rect", "use"}


class Checker(HTMLParser):
    """Collects text and references; every element must be closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.text: list[str] = []
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [value or "" for name, value in attrs if name in ("href", "src", "action", "data", "poster")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] != "style":
            self.text.append(data)


def check(text: str) -> str:
    """The page's words, after checking that it is well-formed and refers to nothing outside itself."""
    checker = Checker()
    checker.feed(text)
    assert not checker.stack
    assert all(reference.startswith("#") or reference == "data:," for reference in checker.references)
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<script", text)
    return re.sub(r"\s+", " ", "".join(checker.text))


@pytest.fixture(scope="module")
def page(everything: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "report.html"
    return write_report(ReportOptions(paths=tuple(everything.values()), out=out))


def test_findings_come_first(page: Path) -> None:
    words = check(page.read_text())
    assert "on 80 sequences of chr9, a chromosome never seen in training" in words
    assert "AUROC 1.000" in words or re.search(r"AUROC 0\.\d{3}", words)
    motif = r"2 of 2 motifs found have a match in the database; the strongest, "
    motif += r"(pos|neg)_0 \([A-Z]+, \d+ seqlets\), matches (CTCF|SPI1)\.H12CORE\S* \(Tomtom q = "
    assert re.search(motif, words)
    assert words.index("never seen in training") < words.index("Rows by chromosome")


def test_all_sections_are_there(page: Path) -> None:
    text = page.read_text()
    words = check(text)
    found = re.findall(r"<h2>([^<]+)</h2>", text)
    assert found == ["Data", "Training", "Performance", "Motifs", "Attributions", "Seqlets", "Provenance"]
    for part in ("160 peaks and 160 dinucleotide shuffles of them, 60 bp each",
                 "Loss by epoch.", "Receiver operating characteristic.", "Pearson r",
                 "CTCF.H12CORE.0.P.B", "SPI1.H12CORE", "best match", "drg-attr '<in> & out'", "on node1"):  # fmt: skip
        assert part in words, part
    assert text.count('class="example"') == 6
    assert words.count("160 peaks and 160 dinucleotide shuffles of them") == 3  # the lead, a tile, the data
    assert "separates peaks from their dinucleotide shuffles with AUROC" in words
    assert "belongs together" not in words and "(raw form)" not in words
    assert "Predictions are probabilities, on the output scale" in words
    assert re.search(r"where bound = 1\d+ positive, \d+ negative, in \d+ of 100 rows", words) is None  # another track
    assert re.search(r"in shuffled negatives\s*\d+", words)


def test_names_are_escaped(page: Path) -> None:
    text = page.read_text()
    assert "<b>CTCF</b> &" not in text and "&lt;b&gt;CTCF&lt;/b&gt; &amp; &quot;co&quot;" in text
    assert '<b>CTCF</b> & "co"' in check(text)


def test_same_inputs_same_bytes(page: Path, everything: dict[str, Path], tmp_path: Path) -> None:
    other = write_report(ReportOptions(paths=tuple(everything.values()), out=tmp_path / "again.html"))
    assert other.read_bytes() == page.read_bytes()


@pytest.mark.parametrize("name", ["store", "model", "evaluation", "attr", "seqlets", "motifs"])
def test_each_alone(everything: dict[str, Path], name: str, tmp_path: Path) -> None:
    out = write_report(ReportOptions(paths=(everything[name],), out=tmp_path / "r.html", examples=1))
    text = out.read_text()
    check(text)
    sections = {"store": "Data", "model": "Training", "evaluation": "Performance", "attr": "Attributions",
                "seqlets": "Seqlets", "motifs": "Motifs"}  # fmt: skip
    assert re.findall(r"<h2>([^<]+)</h2>", text) == [sections[name], "Provenance"]
    assert "never seen in training" not in text


def test_an_evaluation_of_several_models(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, (40, 2)).astype(np.float32)
    predictions = {name: target * 0.5 + rng.random(target.shape) for name in ("a", "b", "ensemble")}
    folder = tmp_path / "e"
    folder.mkdir()
    write_folder(folder, target, predictions, tracks=["x", "y"], kinds={"ensemble": "ensemble"})
    text = write_report(ReportOptions(paths=(folder,), out=tmp_path / "r.html")).read_text()
    assert "The mean of 2 models separates the classes with AUROC" in check(text)


def test_the_file_in_a_run_will_do(everything: dict[str, Path], tmp_path: Path) -> None:
    paths = (everything["store"] / "out.zarr", everything["attr"] / "out.h5", everything["motifs"] / "out.h5")
    text = write_report(ReportOptions(paths=paths, out=tmp_path / "r.html")).read_text()
    assert re.findall(r"<h2>([^<]+)</h2>", text) == ["Data", "Motifs", "Attributions", "Provenance"]


def test_bad_input(everything: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "r.html"
    with pytest.raises(InputError, match="no such file"):
        write_report(ReportOptions(paths=(tmp_path / "none",), out=out))
    with pytest.raises(InputError, match="nothing that a report can show"):
        write_report(ReportOptions(paths=(tmp_path,), out=out))
    with pytest.raises(UsageError, match="given twice"):
        write_report(ReportOptions(paths=(everything["model"], everything["model"]), out=out))
    with pytest.raises(InputError, match="is a folder"):
        write_report(ReportOptions(paths=(everything["model"],), out=tmp_path))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "plan.json").write_text("{}")
    with pytest.raises(IncompleteError, match="not merged"):
        write_report(ReportOptions(paths=(tmp_path / "run",), out=out))
    (tmp_path / "x.toml").write_text("a = 1")
    with pytest.raises(InputError, match="nothing that a report can show, it is not HDF5"):
        write_report(ReportOptions(paths=(tmp_path / "x.toml",), out=out))
    (tmp_path / "x.h5").write_text("no")
    with pytest.raises(CorruptError, match="not an HDF5"):
        write_report(ReportOptions(paths=(tmp_path / "x.h5",), out=out))
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "metrics.json").write_text("{}")
    (tmp_path / "eval" / "curves.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(CorruptError, match=r"curves\.npz"):
        write_report(ReportOptions(paths=(tmp_path / "eval",), out=out))
    assert not out.exists()


@pytest.mark.parametrize("name", ["attr", "seqlets", "motifs"])
def test_another_file_than_was_recorded(everything: dict[str, Path], name: str, tmp_path: Path) -> None:
    run = tmp_path / name
    run.mkdir()
    for file in filter(Path.is_file, everything[name].iterdir()):
        (run / file.name).write_bytes(file.read_bytes())
    write_report(ReportOptions(paths=(run,), out=tmp_path / "r.html", examples=0))
    raw = bytearray((run / "out.h5").read_bytes())
    raw[-9] ^= 1
    (run / "out.h5").write_bytes(raw)
    with pytest.raises(CorruptError, match=r"out\.h5 is not .*: another sha256"):
        write_report(ReportOptions(paths=(run,), out=tmp_path / "r.html"))


def test_only_an_older_report_is_replaced(everything: dict[str, Path], tmp_path: Path) -> None:
    out = write_report(ReportOptions(paths=(everything["model"],), out=tmp_path / "r.html"))
    assert write_report(ReportOptions(paths=(everything["model"],), out=out, title="Again")) == out
    assert "<h1>Again</h1>" in out.read_text()
    for text in ("<html>thesis</html>", ""):
        (tmp_path / "other").write_text(text)
        with pytest.raises(UsageError, match="is not a report; choose another -o"):
            write_report(ReportOptions(paths=(everything["model"],), out=tmp_path / "other"))
        assert (tmp_path / "other").read_text() == text


def test_bins_of_gc_content_hold_equally_many_values() -> None:
    for length in (30, 60, 100, 499, 2000):
        counts = np.histogram(np.arange(length + 1) / length, gc_edges(length))[0]
        assert counts.sum() == length + 1 and set(counts[:-1]) == {counts[0]} and len(counts) <= 52


def test_scatter_of_binned_tracks_is_of_row_totals() -> None:
    assert correlation({"pearson": 0.1, "pearson_total": 0.87}).endswith("Pearson r of row totals 0.87")
    assert correlation({"pearson": 0.1, "pearson_total": None}) == "rows, Pearson r 0.1"
    assert dot_size(20)[0] > dot_size(300)[0] > dot_size(2000)[0]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"rows": 5}, "5 sequences"),
        ({"rows": 6, "positives": 2, "negatives": "dinuc:2"},
         "2 sequences and 4 dinucleotide shuffles of them, 2 of each"),
        ({"rows": 4, "positives": 2, "negatives": "gc:1", "labels": [{"kind": "bound"}]},
         "2 peaks and 2 genomic regions of the same GC content"),
    ],
)  # fmt: skip
def test_what_the_rows_are(header: dict[str, Any], words: str) -> None:
    assert rows_words(header) == words


def test_a_motif_without_a_match_shows_no_target(everything: dict[str, Path]) -> None:
    record = read_motifs(everything["motifs"])[0]
    target = str(record.facts["target"])
    assert target in motif_logo(record, 20, 0.05) and target in motif_row(record, 20, 0.05)
    weak = replace(record, facts=record.facts | {"q": 0.3})
    assert target not in motif_row(weak, 20, 0.05) and "no match" in motif_row(weak, 20, 0.05)


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert ticks(-0.3, 0.7, 4) == [-0.25, 0, 0.25, 0.5]
    assert ticks(0, 12345) == [0, 2500, 5000, 7500, 10000]
    assert ticks(3, 3) == [3]
    assert padded(np.array([np.nan])) == (0.0, 1.0)


def test_chart_breaks_lines_at_missing_values() -> None:
    chart = Chart("x & y", (0, 3), (0, 1), "x", "y")
    chart.line(np.array([[0, 0], [1, np.nan], [2, 1], [3, 1]]), colour="#000", name="a<b")
    chart.points(np.array([[0, np.nan], [np.inf, 1], [1, 1]]), colour="#000")
    text = chart.svg()
    assert "a&lt;b" in text and 'aria-label="x &amp; y"' in text and "nan" not in text


def test_logo_stacks_the_largest_letter_on_top() -> None:
    heights = np.array([[0.5, -1.0], [1.5, 0.0], [0.0, -0.2], [0.0, 0.0]])
    low, high = span_of(heights)
    assert (low, high) == (-1.2, 2.0)
    text = logo_figure([LogoRow(heights, 0, "t", low, high)], columns=2, label="l")
    letters = re.findall(r'<use href="#base([ACGT])" (.)', text)
    assert letters == [("A", "x"), ("C", "x"), ("G", "t"), ("A", "t")]
    tops = [float(y) for y in re.findall(r'<use href="#base[AC]" x="\S+" y="(\S+)"', text)]
    assert tops[1] < tops[0]
    assert information(np.full((4, 2), 0.25)).sum() == pytest.approx(0)
    assert information(np.array([[1.0], [0], [0], [0]]))[0, 0] == pytest.approx(2)
    assert all(f'id="base{base}"' in glyph_symbols() for base in "ACGT")


def test_numbers_for_people() -> None:
    assert [html.number(v) for v in (1234567, 0.12345, None, float("nan"), 1234.5, "x")] == [
        "1,234,567", "0.123", "–", "–", "1,234", "x"
    ]  # fmt: skip
    assert [html.small(v) for v in (0, 0.04, 1.23e-26)] == ["0", "0.04", "1.2×10⁻²⁶"]
    assert '<tr><td data-label="a">&lt;</td></tr>' in html.table(("a",), [("<",)])


def test_the_title_counts_models(everything: dict[str, Path], tmp_path: Path) -> None:
    from report.conftest import TRACK, write_model

    models = tuple(write_model(tmp_path / name, everything["store"], weights=name.encode()) for name in ("a", "b"))
    assert default_title(Sources(models[:1])) == f"Sequence model: {TRACK}"
    assert default_title(Sources(models)) == f"2 sequence models: {TRACK}"
    header = json.loads((models[1] / "model.json").read_text()) | {"tracks": ["other"]}
    (models[1] / "model.json").write_text(json.dumps(header))
    assert default_title(Sources(models)) == "2 sequence models: a and b"
    text = write_report(ReportOptions(paths=models, out=tmp_path / "r.html")).read_text()
    assert "from: model (a, b)." in check(text)


def test_a_full_disk_is_one_line(everything: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("drg_hpc.report.page.write_atomic", full)
    with pytest.raises(DiskFullError, match=r"out of space while writing .*r\.html"):
        write_report(ReportOptions(paths=(everything["motifs"],), out=tmp_path / "r.html"))


def test_statistics_are_not_drawn(tmp_path: Path) -> None:
    with h5.create(tmp_path / "s.h5") as out:
        h5.set_attributes(out, {"format": STATISTICS})
    with pytest.raises(InputError, match="statistics are not drawn; open it with drg-inspect or h5py"):
        write_report(ReportOptions(paths=(tmp_path / "s.h5",), out=tmp_path / "r.html"))


def test_ticks_of_counts_are_whole() -> None:
    for counts, wanted in ((False, ["0", "0.25", "0.5", "0.75", "1"]), (True, ["0", "1"])):
        svg = Chart("c", (0, 1), (0, 1.05), "x", "y", counts=counts).svg()
        assert re.findall(r'text-anchor="end">([^<]+)<', svg) == wanted


def test_sequences_of_no_genome_have_no_chart_of_chromosomes() -> None:
    rows = pd.DataFrame({"chrom": ["", ""], "split": ["train", "test"]})
    assert _chromosome_chart(rows) == ""
    assert "Rows by chromosome" in _chromosome_chart(rows.assign(chrom=["chr2", ""]))
