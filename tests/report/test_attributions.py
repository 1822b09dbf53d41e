"""The page's section of an attribution run: convergence, rows left out, genes, several inputs and models."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from bodies.seqlet_runs import write_done
from report.attribution_files import CHROM, START, Made, make, regions_of

from drg_hpc.attribution.transform_spec import plan_target
from drg_hpc.report.attribution_examples import strongest_rows
from drg_hpc.report.attribution_tables import delta_table, unkept_table
from drg_hpc.report.config import ReportOptions
from drg_hpc.report.html import number
from drg_hpc.report.method_words import params_words, references_words
from drg_hpc.report.page import write_report
from drg_hpc.report.places import gene_words, singular
from drg_hpc.report.statistic_words import enumerated, scale_of, statistic_words
from drg_hpc.report.windows import strongest_window
from drg_hpc.results.reader import read_attributions


def page(made: Made, **options: Any) -> str:
    write_done(made.path.parent, "attr", {"rows": 6, "tracks": []})
    out = made.path.parent / "r.html"
    return write_report(ReportOptions(paths=(made.path.parent,), out=out, **options)).read_text()


def test_convergence_errors_by_track(tmp_path: Path) -> None:
    made = make(tmp_path / "out.h5", delta=True)
    text = page(made, examples=1)
    assert "20 dinucleotide shuffles of each sequence" in text
    table = text[text.index("<h3>Convergence</h3>") :]
    lines = re.findall(r"<tr><td[^>]*>([^<]+)</td>" + r"<td[^>]*>([^<]+)</td>" * 4 + "</tr>", table)
    order = sorted((0, 1), key=lambda track: -np.abs(made.delta[track]).max())
    for line, track in zip(lines, order, strict=True):
        errors, values = np.sort(np.abs(made.delta[track]).astype(np.float32)), made.prediction[track]
        exact = (errors[2:4].mean(), errors[4] + 0.75 * (errors[5] - errors[4]), errors[5], values.std())
        assert line == (("B cells", "T cells")[track], *(number(float(value)) for value in exact))
    (tmp_path / "none").mkdir()
    assert "Convergence" not in page(make(tmp_path / "none" / "out.h5"), examples=0)


def test_rows_left_out_are_listed_with_reasons(tmp_path: Path) -> None:
    kept = [i not in (1, 4) for i in range(6)]
    reason = ["", "no exon inside the <window>", "", "", "unknown contig", ""]
    regions = regions_of(6, 160, kept=kept, reason=reason, gene_name=["G"] * 6, choice=["exon 2"] * 6, strand="+")
    made = make(
        tmp_path / "out.h5", regions=regions, unkept=True, delta=True, columns=("gene_name", "choice"),
        params={"genes": {"statistic": "expression", "span": False}},
    )  # fmt: skip
    text = page(made)
    assert "2 of 6 rows were not attributed." in text and "no exon inside the &lt;window&gt;" in text
    where = f"{CHROM}:{START + 40_000:,}–{START + 40_160:,}"
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", text[text.index("Not attributed") :])
    assert cells[4:8] == ["4", "G (exon 2)", where, "unknown contig"]
    assert "4 rows of 1 gene attributed by DeepSHAP" in text
    assert "Predictions are the log of the coverage summed over exons." in text
    assert len(re.findall(r"<h3>\d\. G \(exon 2\), chr9:", text)) == 4 and not re.search(r"\bnan\b", text)
    with read_attributions(made.path) as found:
        values = np.abs(made.projected[0][0])
        best = [max(abs(row[i : i + 30].sum()) for i in range(131)) if kept[r] else -1 for r, row in enumerate(values)]
        assert strongest_rows([found], 3).tolist() == np.argsort(best)[::-1][:3].tolist()
        assert "nan" not in delta_table(found)
    many = regions_of(30, 160, kept=[i < 2 for i in range(30)], reason=["x" if i % 3 else "y" for i in range(30)])
    with read_attributions(make(tmp_path / "many.h5", rows=30, regions=many, unkept=True).path) as found:
        table = unkept_table(found)
    assert "28 of 30 rows were not attributed: 19 × x, 9 × y." in table and table.count("<tr>") == 21


def test_several_inputs_and_models(tmp_path: Path) -> None:
    inputs = {"model1": {"sha256": "1"}, "model2": {"sha256": "2"}}
    made = make(
        tmp_path / "out.h5", inputs=(("dna", 160), ("utr", 90)), deviations=True, attributes={"inputs": inputs},
    )  # fmt: skip
    text = page(made, examples=2)
    assert (
        "mean of 2 models" in text and "each of 2 inputs" in text and "one standard deviation over the models" in text
    )
    assert len(re.findall(r"<p>dna: chr9:", text)) == len(re.findall(r"<p>utr: chr9:", text)) == 2
    assert len(re.findall(r"<h3>\d\. peak_\d, prediction [−\-\d.]+ ± 0\.25</h3>", text)) == 2
    whiskers = re.findall(r'<path d="(M[^"]+)" stroke="#57606a"', text)
    assert len(whiskers) == 4 and all(path.count("M") == 80 for path in whiskers)


def test_whiskers_are_the_deviations(tmp_path: Path) -> None:
    made = make(tmp_path / "out.h5", deviations=True, top=20)
    text = page(made, examples=1)
    path = re.search(r'<path d="(M[^"]+)" stroke="#57606a"', text)
    assert path is not None
    ends = np.array(re.findall(r"M(\S+) (\S+)V([\d.]+)", path[1]), float)
    with read_attributions(made.path) as found:
        row = int(strongest_rows([found], 1)[0])
        first, last = strongest_window(found.projected("B cells", row, row + 1), 80)
    with h5py.File(made.path) as handle:
        held = handle["tracks/00000/top"]
        deviations = dict(zip(held["positions"][row].tolist(), held["projected_sd"][row].tolist(), strict=True))
    shown = [value for position, value in sorted(deviations.items()) if first <= position < last]
    lengths = ends[:, 2] - ends[:, 1]
    assert len(lengths) == len(shown) > 12
    np.testing.assert_allclose(lengths / lengths.max(), np.array(shown) / max(shown), atol=0.02)


def test_attention_has_no_logos(tmp_path: Path) -> None:
    from drg_hpc.results import attributions, h5
    from drg_hpc.results.attributions_layout import Attention, Layout

    plan = Layout(
        inputs=(("seq", 8),), tracks=(), form="raw", keep_form=False, form_is_contribution=True, dtype="float32",
        attention=Attention(("block 0",), 2, 4),
    )  # fmt: skip
    with attributions.PartWriter(tmp_path / "part", plan, rows=3) as part:
        part.regions(regions_of(3, 8))
        part.sequences(0, [np.zeros((3, 4, 8))])
        part.attention(0, np.full((3, 1, 2, 4, 4), 0.25))
    root = {"params": {"method": "attention"}}
    attributions.merge([h5.PartFile(tmp_path / "part", 0, 3)], tmp_path / "out.h5", plan=plan, attributes=root)
    made = Made(tmp_path / "out.h5", regions_of(3, 8), [], [], [], [], [])
    text = page(made)
    assert "Attention of 3 sequences: 1 layer of 2 heads, from each of 4 positions to each." in text
    assert 'class="example"' not in text


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"method": "deepshap", "output": "hypothetical", "references": "dinuc:20", "base_freqs": None},
         ("DeepSHAP, less its mean over the references", "20 dinucleotide shuffles of each sequence", "", "link")),
        ({"method": "gradient", "output": "corrected", "target": {"kind": "groups", "scale": "output"}},
         ("the gradient, less its mean over the four bases", "", "means of groups of tracks", "output")),
        ({"method": "gradient", "output": "hypothetical", "base_freqs": [0.25] * 4, "references": None},
         ("the gradient, less its mean over the four bases weighted by how frequent they are", "", "", "link")),
        ({"method": "deeplift", "output": "global", "references": "refs.fa", "genes": {"statistic": "polya"}},
         ("DeepLIFT, times the difference from a reference sequence", "sequences from a file",
          "the log ratio of the coverage before and behind a polyadenylation site", "output")),
        ({"method": "new", "target": {"kind": "later"}}, ("new", "", "a statistic of the tracks (later)", "link")),
    ],
)  # fmt: skip
def test_methods_in_words(params: dict[str, Any], words: tuple[str, ...]) -> None:
    assert (params_words(params), references_words(params), statistic_words(params), scale_of(params)) == words


@pytest.mark.parametrize(
    ("genes", "words"),
    [
        ({"statistic": "expression", "compat": True, "order": "none", "span": False},
         "the plain sum of the coverage over exons, not its log"),
        ({"statistic": "expression", "compat": True, "order": "old", "span": False},
         "the log of the coverage summed over exons"),
        ({"statistic": "expression", "compat": False, "order": "none", "span": True},
         "the log of the coverage summed over the whole gene"),
        ({"statistic": "splice", "junction": "donor"},
         "the log ratio of the coverage on the exon's side to that on the intron's of the donor (5' splice site) of "
         "an exon"),
        ({"statistic": "splice", "junction": "both"},
         "the log ratio of the coverage on the exon's sides to that on the introns' sides of the acceptor and the "
         "donor of an exon"),
        ({"statistic": "splice", "junction": None},
         "the log ratio of the coverage of an exon to that of its introns"),
    ],
)  # fmt: skip
def test_statistics_of_genes_in_words(genes: dict[str, Any], words: str) -> None:
    assert statistic_words({"genes": genes}) == words


HEADER = {
    "tracks": ["B", "T", "NK", "Mono", "cell: DC"], "bins": 16, "strand_partners": [None] * 5, "link": "log",
    "heads": [{"name": "main", "tracks": 5, "link": "log"}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("transform", "here", "alone", "scale"),
    [
        ("specificity:on=B,T:off=NK", "the ratio of the mean of B and T to NK", None, "output"),
        ("specificity:on=B:compare=log2fc:on-fn=max:off-weight=2",
         "the log2 ratio of B to 2 times the mean of T, NK, Mono and cell: DC",
         "the log2 ratio of B to 2 times the mean of all other tracks", "output"),
        ("specificity:on=B:off=T,NK:off-fn=max:off-weight=2:off-threshold=0.5:compare=subtract",
         "the difference between B and the largest value of T and NK (times 2 where it is above 0.5)", None, "link"),
        ("specificity:on=B:off=NK:name=b:bins=3-6:over-bins=mean",
         "the ratio of B to NK (by the mean over bins 3 to 5)",
         "the ratio of 1 track (number 0) to 1 track (number 2) (by the mean over bins 3 to 5)", "output"),
        ("aggregate:except=B,T:over-tracks=mean:weight=0.5", "0.5 times the mean of NK, Mono and cell: DC",
         "0.5 times the mean of all tracks but B and T", "link"),
        ("aggregate:tracks=B,NK:bins=4,6:over-bins=max", "B and NK one by one (by the largest value over bins 4 and 6)",
         None, "link"),
        ("profile-shape:tracks=B,T:bins=2-9:joint=yes",
         "the shape of the profile of B and T over bins 2 to 8, taken together (log rates less their mean, weighted by "
         "their softmax)", None, "link"),
        ("mine.stats:lift:power=2", "the user's transform mine.stats:lift of all tracks (power = 2)", None, "output"),
    ],
)  # fmt: skip
def test_transforms_in_words(transform: str, here: str, alone: str | None, scale: str) -> None:
    params = {"target": plan_target(HEADER, transform=transform).record()}
    assert statistic_words(params, HEADER["tracks"]) == here
    assert statistic_words(params) == (alone or here)  # the model is not at hand
    assert scale_of(params) == scale


def test_a_transform_on_the_page(tmp_path: Path) -> None:
    target = plan_target(HEADER, transform="specificity:on=B:off=NK").record()
    made = make(tmp_path / "out.h5", tracks=tuple(target["names"]), params={"target": target})
    text = page(made, examples=1)
    assert "; of the ratio of B to NK" in text
    assert "Predictions are values of that statistic, of tracks on the output scale." in text


def test_one_of_a_kind(tmp_path: Path) -> None:
    regions = regions_of(1, 160, gene_id="ENSG1", choice="1 exons of 1 transcripts")
    params = {"references": "dinuc:1", "genes": {"statistic": "expression"}}
    made = make(tmp_path / "out.h5", rows=1, regions=regions, columns=("gene_id", "choice"), params=params)
    write_done(tmp_path, "attr", {"rows": 1, "tracks": []})
    text = write_report(ReportOptions(paths=(made.path,), out=tmp_path / "r.html")).read_text()
    assert "1 gene attributed by" in text and "1 gene was attributed by" in text
    assert "1 dinucleotide shuffle of" in text and "ENSG1 (1 exon of 1 transcript)" in text
    assert singular("11 exons of 21 transcripts, chr1:5-1 exons") == "11 exons of 21 transcripts, chr1:5-1 exons"
    assert [enumerated(list("abcdef")[:n]) for n in (0, 1, 2, 3, 6)] == ["", "a", "a and b", "a, b and c",
                                                                       "a, b, c, d and 2 more"]  # fmt: skip


def test_runs_are_named(tmp_path: Path) -> None:
    for name, method in (("a", "gradient"), ("b", "gradient"), ("c", "tism")):
        (tmp_path / name).mkdir()
        make(tmp_path / name / "out.h5", params={"method": method, "output": "raw"})
        write_done(tmp_path / name, "attr", {"rows": 6, "tracks": []})
    paths = tuple(tmp_path / name for name in "abc")
    text = write_report(ReportOptions(paths=paths, out=tmp_path / "r.html", examples=0)).read_text()
    assert "6 sequences were attributed by the gradient (runs a and b, each). 6 sequences were attributed by" in text
    assert "with the base, by its gradient) (run c)." in text and text.count("6 sequences were") == 2
    assert "from: \nattributions (a, b, c).</p>" in text


def test_genes_in_words() -> None:
    gene = {"gene_name": "UP", "gene_id": "ENSG1", "gene_strand": "-", "choice": "exon 2"}
    assert gene_words(gene) == "UP (exon 2, − strand)"
    assert gene_words(gene | {"gene_name": "", "gene_strand": "+", "choice": ""}) == "ENSG1"
    assert gene_words({"name": "peak_1"}) == ""
