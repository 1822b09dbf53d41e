"""From training to a report: a Borzoi-mini on four windows of hg38, and statistics of genes made by hand there.

All but the comparison of shards is done by the commands. What they give is compared with a calculation in numpy, base
by base, that takes from the package no more than the trained network.
"""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from bodies.gene_models import GENES, GTF
from stores import TINY
from support import ROOT, drg

from drg_hpc.bodies import attr_plan
from drg_hpc.models.io import load_model
from drg_hpc.results.reader import read_attributions
from drg_hpc.runs.plan import read_plan
from tests.prediction.small_world import finish

Array = np.ndarray[Any, Any]
LENGTH, SPAN, BIN = 16384, 12288, 32
RUNS: dict[str, tuple[object, ...]] = {
    "expression": ("--statistic", "expression"),
    "polya": ("--statistic", "polya", "--polya-sites", GENES / "polya_sites.tsv", "--genes", "TINYA,TINYB,TINYC",
              "--targets", TINY / "targets.tsv"),
    "splice": ("--statistic", "splice", "--exon", "2", "--rc-average"),
}  # fmt: skip
SLOPES = {"expression": "TINYB", "polya": "TINYA", "splice": "TINYB"}
"""Whose gradients are compared with finite differences."""
CHOICES = {
    "polya": ["site w01:75296:+", "site w00:71806:-", "site w02:84195:+"],
    "splice": [
        "exon w01:73400-73520, number 2 of TINYT00000000001.3",
        "exon w00:73100-73260, number 2 of TINYT00000000003.1",
        "exon w02:81400-81500, number 2 of TINYT00000000004.1",
        "",
        "exon w03:1300-1450, number 2 of TINYT00000000007.1",
    ],
}


@dataclass(frozen=True)
class Gene:
    """Numbers read off the GTF and the table of sites, as bases from 0; ``exons`` of all transcripts together."""

    chrom: str
    strand: str
    exons: list[tuple[int, int]]
    exon: tuple[int, int]
    introns: list[tuple[int, int]]
    covered: tuple[int, int]
    behind: tuple[int, int]


BY_HAND = {
    "TINYA": Gene(
        "w01", "+", [(72430, 72720), (73400, 73520), (74600, 75300)], (73400, 73520), [(72720, 73400), (73520, 74600)],
        (75296 - 128, 75296), (75296, 75296 + 160),
    ),
    "TINYB": Gene(
        "w00", "-", [(71800, 72500), (73100, 73260), (74400, 74650)], (73100, 73260), [(72500, 73100), (73260, 74400)],
        (71805, 71805 + 128), (71805 - 160, 71805),
    ),
}  # fmt: skip


def contig(name: str) -> str:
    """A sequence of the FASTA file."""
    text = gzip.decompress((TINY / "genome.fa.gz").read_bytes()).decode()
    (record,) = (part for part in text.split(">") if part.split()[:1] == [name])
    return "".join(record.split("\n")[1:]).upper()


def window(gene: Gene) -> int:
    """Where the input begins: half of it before the mean position of the exons, seen along the strand."""
    mean = np.concatenate([np.arange(*exon) for exon in gene.exons]).mean()
    return int(np.floor(mean)) - LENGTH // 2 if gene.strand == "+" else int(np.ceil(mean)) + 1 + LENGTH // 2 - LENGTH


def onehot(gene: Gene) -> torch.Tensor:
    """(1, 4, length), float64."""
    letters = np.array(list(contig(gene.chrom)[window(gene) :][:LENGTH]))
    return torch.from_numpy(np.array([letters == base for base in "ACGT"], np.float64)[None])


def statistic(name: str, gene: Gene, output: Array) -> float:
    """From the network's output (tracks, bins) for the + strand."""
    coverage = np.log1p(np.exp(output)).repeat(BIN, axis=1)  # of every base, in units of a bin's mean
    q = coverage[[0, 2] if gene.strand == "+" else [1, 2]].mean(axis=0)
    first = window(gene) + (LENGTH - SPAN) // 2

    def bases(*intervals: tuple[int, int]) -> Array:
        return np.concatenate([q[start - first : end - first] for start, end in intervals])

    if name == "expression":
        return float(np.log(bases(*gene.exons).sum() / BIN + 1e-6))
    above, below = ([gene.covered], [gene.behind]) if name == "polya" else ([gene.exon], gene.introns)
    return float(np.log(bases(*above).mean() + 1e-6) - np.log(bases(*below).mean() + 1e-6))


def value(module: torch.nn.Module, name: str, gene: Gene, x: torch.Tensor) -> float:
    with torch.no_grad():
        found = statistic(name, gene, module(x)[0].numpy())
        if "--rc-average" in RUNS[name]:  # tracks 0 and 1 are the two strands of one
            turned = module(x.flip(1, 2))[0].numpy()[[1, 0, 2], ::-1]
            found = (found + statistic(name, gene, turned)) / 2
    return found


def check_values_and_gradients(module: torch.nn.Module, name: str, run: Path) -> None:
    with read_attributions(run) as found:
        regions = found.regions.set_index("gene_name")
        group = found.tracks[name]
        prediction, corrected = group["prediction"][()], group["corrected"][()]
        raw = found.sequences[()]
    for gene_name, gene in BY_HAND.items():
        row = list(regions.index).index(gene_name)
        x = onehot(gene)
        assert regions.start[gene_name] == window(gene) and (raw[row] == x[0].numpy()).all()
        assert prediction[row] == pytest.approx(value(module, name, gene, x), rel=1e-5, abs=2e-6)
        if gene_name != SLOPES[name]:
            continue
        strength = np.abs(corrected[row]).max(axis=0)
        strongest = int(strength.argmax())
        strength[max(0, strongest - 500) : strongest + 500] = 0
        places = [strongest, int(strength.argmax())]
        for place in places:
            slopes = np.zeros(4)
            for base in range(4):
                step = torch.zeros_like(x)
                step[0, base, place] = 1e-5
                slopes[base] = value(module, name, gene, x + step) - value(module, name, gene, x - step)
            wanted = slopes / 2e-5 - (slopes / 2e-5).mean()
            np.testing.assert_allclose(corrected[row][:, place], wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


def check_rows(name: str, run: Path) -> None:
    with read_attributions(run) as found:
        assert list(found.tracks) == [name]
        regions, group = found.regions, found.tracks[name]
        projected, prediction = group["projected"][()], group["prediction"][()]
    kept = regions["kept"].to_numpy(dtype=bool)
    assert set(regions["gene_strand"][kept]) == {"+", "-"} and set(regions["strand"]) == {"+"}
    assert np.isnan(projected[~kept]).all() and np.isnan(prediction[~kept]).all()
    assert np.isfinite(projected[kept]).all() and (np.abs(projected[kept]).max(axis=1) > 0).all()
    assert len(set(prediction[kept])) == kept.sum()
    if name in CHOICES:
        assert regions["choice"].tolist() == CHOICES[name]
    missing = {row.gene_name: row.reason for row in regions[~kept].itertuples()}
    assert missing == ({"TINYD": "no exon 2 in it"} if name == "splice" else {})


def many_genes(path: Path, copies: int) -> Path:
    """The genes, and copies of them with other names, each 100 bases further to the right."""
    lines = [line for line in GTF.read_text().splitlines() if not line.startswith("#")]
    out = []
    for copy in range(copies):
        for line in lines:
            cells = line.split("\t")
            cells[3:5] = [str(int(cell) + 100 * copy) for cell in cells[3:5]]
            cells[8] = re.sub(r"TINY([GT]?)", rf"COPY{copy}\1", cells[8]) if copy else cells[8]
            out.append("\t".join(cells))
    path.write_text("\n".join(out) + "\n")
    return path


def check_shards(folder: Path, model: Path, genome: Path) -> None:
    """The bytes do not depend on how many shards there are, and the first rows are those of the genes alone."""
    gtf = many_genes(folder / "many.gtf", 13)
    written = []
    for shards in (1, 2):
        run = folder / f"shards{shards}"
        finish(attr_plan.Options(model=model, genome=genome, gtf=gtf, statistic="expression", store_dtype="float32",
                                 shards=shards, out=run), attr_plan)  # fmt: skip
        assert len(read_plan(run).stages[0].shards) == shards
        written.append((run / "out.h5").read_bytes())
    assert written[0] == written[1]
    with h5py.File(folder / "shards1" / "out.h5") as many, h5py.File(folder / "expression" / "out.h5") as few:
        ours, wanted = (file["tracks/00000/projected"][()] for file in (many, few))
        names = [file["regions/gene_name"].asstr()[()].tolist() for file in (many, few)]
    assert len(ours) == 65
    at = [names[0].index(name) for name in names[1]]
    np.testing.assert_allclose(ours[at], wanted, rtol=0, atol=1e-6 * np.abs(wanted).max())


@pytest.mark.slow
def test_from_training_to_a_report(tmp_path: Path) -> None:
    genome, store, model = tmp_path / "genome", tmp_path / "coverage", tmp_path / "mini"
    drg("drg-shard", "genome", TINY / "genome.fa.gz", "-o", genome)
    drg("drg-shard", "regions", "--genome", genome, "--regions", TINY / "accessible.bed", "--tracks",
        TINY / "targets.tsv", "--length", LENGTH, "--target-length", SPAN, "--bin", BIN, "--valid", "w00",
        "--test", "w01", "-o", store)  # fmt: skip
    drg("drg-train", store, "--config", ROOT / "configs" / "borzoi-mini.toml", "--epochs", 2, "--lr", 2e-3, "--set",
        "optim.warmup_steps=0", "-o", model)  # fmt: skip
    module = load_model(model).double().eval()
    for name, arguments in RUNS.items():
        drg("drg-attr", model, "--genome", genome, "--gtf", GTF, *arguments, "--keep", "hypothetical", "--store-dtype",
            "float32", "--workers", 1, "-o", tmp_path / name)  # fmt: skip
        check_rows(name, tmp_path / name)
        check_values_and_gradients(module, name, tmp_path / name)
    check_shards(tmp_path, model, genome)
    report = tmp_path / "report.html"
    drg("drg-report", store, model, *(tmp_path / name for name in RUNS), "-o", report)
    text = report.read_text()
    assert all(name in text for name in ("TINYA", "TINYB", "TINYC", "TINYE", *RUNS))
