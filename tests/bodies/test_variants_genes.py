"""drg-variants --gtf: sums over the bins of genes by their definition, of both strands and indels; mirrored genomes."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from bodies.gene_models import TRACKS, borzoi
from bodies.test_variants import onehot, run, vcf
from stores import fasta, shard

from drg_hpc.bodies import variants_plan
from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import sha256_file
from drg_hpc.models.base import ModelShape
from drg_hpc.models.config import DilatedResidualConfig
from drg_hpc.models.io import load_model, save_model
from drg_hpc.models.registry import build
from tests.prediction.small_world import letters, make_model

GENOME = {"chr1": letters(np.random.default_rng(0), 9000), "chr2": letters(np.random.default_rng(1), 3000)}
TURN = str.maketrans("ACGT", "TGCA")
GENES: dict[str, tuple[str, str, list[tuple[int, int]]]] = {
    "plus": ("chr1", "+", [(1000, 1180), (1300, 1310), (2500, 2611)]),
    "minus": ("chr1", "-", [(1150, 1420), (3000, 3333)]),
    "far": ("chr1", "+", [(8000, 8500)]),
    "none": ("chr1", ".", [(4000, 4040)]),
    "two": ("chr2", "-", [(10, 300), (320, 330), (2000, 2999)]),
    "elsewhere": ("chr9", "+", [(10, 300)]),
}
Row = tuple[str, int, str, str]


def gtf(path: Path, genes: dict[str, tuple[str, str, list[tuple[int, int]]]]) -> Path:
    """Exons of genes, each a transcript of its own, so that they are merged."""
    lines = []
    for name, (chrom, strand, exons) in genes.items():
        for number, (start, end) in enumerate(exons):
            names = f'gene_id "{name}.1"; gene_name "{name.upper()}"; transcript_id "{name}{number}";'
            lines.append(f"{chrom}\tx\texon\t{start + 1}\t{end}\t.\t{strand}\t.\t{names}\n")
    path.write_text("".join(lines))
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("genes")
    shard("genome", folder / "genome", fasta=[fasta(folder / "genome.fa", GENOME)])
    gtf(folder / "genes.gtf", GENES)
    small(folder / "small", length=45, bins=9)
    return folder


def small(path: Path, *, length: int, bins: int, seed: int = 0, **shape: Any) -> Path:
    """A small network with a pair of tracks and one of neither strand."""
    torch.manual_seed(seed)
    config = DilatedResidualConfig(channels=4, layers=1, stem_size=5, profile_size=5)
    module = build(config, ModelShape.single(length, 3, bins=bins, link="log", **shape)).eval()
    module.tracks, module.strand_partners = list(TRACKS), [1, 0, 2]
    return save_model(module, path, config, TRACKS)


def genes_of(folder: Path) -> tuple[list[tuple[int, str]], dict[str, np.ndarray]]:
    """(allele, gene id) of each row, and all other columns."""
    with h5py.File(folder / "out.h5") as handle:
        ids = [text.decode() for text in handle["gene_list/id"]]
        pairs = [(a, ids[g]) for a, g in zip(handle["genes/allele"][()].tolist(), handle["genes/gene"][()].tolist(),
                                             strict=True)]  # fmt: skip
        return pairs, {name: handle["genes"][name][()] for name in handle["genes"]}


def bases_of(row: Row, length: int) -> tuple[int, int, list[str]]:
    """First base of the window, how much longer the alternative allele is, and both sequences."""
    chrom, start, ref, alt = row
    at = start + (0 if len(ref) == len(alt) == 1 else 1)  # the anchor of an indel
    first, sides = at - length // 2, []
    for allele in (ref, alt):
        text = "N" * length + GENOME[chrom][:start] + allele + GENOME[chrom][start + len(ref) :] + "N" * length
        sides.append(text[first + length :][:length])
    return first, len(alt) - len(ref), sides


def shares(exons: list[tuple[int, int]], first: int, *, crop: int, size: int, bins: int) -> np.ndarray:
    """Share of each bin that lies in exons, base by base."""
    inside = [
        any(start <= base < end for start, end in exons) for base in range(first + crop, first + crop + size * bins)
    ]
    return np.array(inside, float).reshape(bins, size).mean(axis=1)


def moved_back(ref: np.ndarray, alt: np.ndarray, *, middle: int, moved: int) -> tuple[np.ndarray, np.ndarray]:
    """Both profiles (tracks, bins) with the bins of an indel moved back."""
    bins = ref.shape[1]
    if moved > 0:
        inserted = alt[:, middle + 1 : middle + 1 + moved].sum(axis=1)
        alt = np.delete(alt, np.s_[middle + 1 : middle + 1 + moved], axis=1)
        alt[:, middle] += inserted
        alt = np.concatenate([alt, np.zeros((len(alt), moved))], axis=1)
        ref = np.concatenate([ref[:, : bins - moved], np.zeros((len(ref), moved))], axis=1)
    elif moved < 0:
        alt = np.insert(alt, [middle + 1] * -moved, 0, axis=1)[:, :bins]
    return ref, alt


def old(y: np.ndarray) -> np.ndarray:
    """The published order undone: scale 0.3, soft clip 2, exponent 0.75."""
    p = y / 0.3
    return np.where(p > 2, (np.maximum(p, 2) - 2) ** 2 + 2, p) ** (1 / 0.75)


def indels(rows: list[Row], rng: np.random.Generator) -> list[Row]:
    """Every fourth row as an insertion, every other fourth as a deletion, of up to three bins."""
    found = []
    for number, (chrom, start, ref, alt) in enumerate(rows):
        if number % 4 == 1:
            alt = ref + letters(rng, int(rng.integers(1, 100)))
            alt = ref + ("C" if ref == "G" else "G") + alt[2:]
        elif number % 4 == 2:
            ref, alt = GENOME[chrom][start : start + int(rng.integers(2, 100))], ref
        found.append((chrom, start, ref, alt))
    return [row for row in found if row[2][-1:] != row[3][-1:] or len(row[2]) == len(row[3])]


def snvs(count: int, *, seed: int) -> list[Row]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        chrom = str(rng.choice(list(GENOME)))
        start = int(rng.integers(0, len(GENOME[chrom]) - 120))
        ref = GENOME[chrom][start]
        found.append((chrom, start, ref, str(rng.choice([base for base in "ACGT" if base != ref]))))
    return found


def of_one_place(start: int) -> list[Row]:
    """Alleles of one window: all SNVs of a base, and an insertion before it, which has other bins of it."""
    ref, before = GENOME["chr1"][start], GENOME["chr1"][start - 1]
    other = next(base for base in "ACGT" if base not in (ref, before))
    substitutions = [("chr1", start, ref, alt) for alt in "ACGT" if alt != ref]
    return [*substitutions, ("chr1", start - 1, before, before + other * 70)]


@pytest.mark.parametrize("span", [False, True])
def test_sums_by_their_definition(tmp_path: Path, world: Path, span: bool) -> None:
    length, bins, size = 4096, 96, 32
    crop = (length - bins * size) // 2
    model = borzoi(tmp_path / "model", length=length, bins=bins)
    rows = [*indels(snvs(40, seed=3), np.random.default_rng(4)), *of_one_place(1290)]
    options: dict[str, Any] = {"untransform_old": True, "track_scale": 0.3, "track_transform": 0.75, "clip_soft": 2.0}
    given = vcf(tmp_path / "v.vcf", rows)
    done = run(
        tmp_path / "run", model, world / "genome", given, gtf=world / "genes.gtf", span=span, gene_pseudo=0.5,
        rc_average=True, tracks="CNhs12184-,ENCFF136DBS,CNhs12184+", **(options if span else {}),
    )  # fmt: skip
    pairs, found = genes_of(tmp_path / "run")
    module, expected, kinds = load_model(model).double(), [], set()
    for number, row in enumerate(rows):
        first, gained, texts = bases_of(row, length)
        x = onehot(texts).double()
        with torch.no_grad():
            turned = torch.nn.functional.softplus(module(x.flip(1, 2))).flip(-1)[:, [1, 0, 2]].numpy()
            plain = torch.nn.functional.softplus(module(x)).numpy()
        coverage = [(old(a) + old(b)) / 2 if span else (a + b) / 2 for a, b in zip(plain, turned, strict=True)]
        moved = round(gained / size)
        middle = (length // 2 - crop) // size
        ref, alt = moved_back(*coverage, middle=middle, moved=moved)
        for name, (chrom, strand, exons) in GENES.items():
            parts = [(exons[0][0], exons[-1][1])] if span else exons
            weights = shares(parts, first, crop=crop, size=size, bins=bins)
            if chrom != row[0] or not weights.any():
                continue
            kinds.add((strand, np.sign(moved), weights[-1] > 0))
            sides = {"+": [[0], [2]], "-": [[1], [2]], ".": [[0, 1], [2]]}[strand]
            r, a = (np.array([(side[tracks] @ weights).mean() for tracks in sides]) for side in (ref, alt))
            tss = exons[-1][1] - 1 if strand == "-" else exons[0][0]
            place = row[1] + (0 if len(row[2]) == len(row[3]) else 1)
            distance = tss - place if strand == "-" else place - tss
            whole = sum(end - start for start, end in parts)
            expected.append(((number, f"{name}.1"), distance, weights.sum() * size / whole, r, a))
    assert pairs == [each[0] for each in expected]
    assert {("+", 0, True), ("-", 0, True), ("+", 1, False), ("-", -1, False)} <= kinds
    assert found["distance"].tolist() == [each[1] for each in expected]
    np.testing.assert_allclose(found["covered"], [each[2] for each in expected], rtol=1e-6)
    r, a = (np.array([each[side] for each in expected]) for side in (3, 4))
    np.testing.assert_allclose(found["ref"], r, rtol=1e-5)
    scale = np.abs(r).max()
    np.testing.assert_allclose(found["SED"], a - r, atol=2e-6 * scale)
    np.testing.assert_allclose(found["logSED"], np.log2((a + 0.5) / (r + 0.5)), atol=3e-6)
    assert done["summary"]["genes"]["values"] == ["CNhs12184", "ENCFF136DBS"]
    lonely = len(rows) - len({number for number, _ in pairs})
    counts = {name: done["summary"]["genes"][name] for name in ("pairs", "genes", "alleles_without")}
    assert counts == {"pairs": len(pairs), "genes": len({name for _, name in pairs}), "alleles_without": lonely}
    _check_table(tmp_path / "run" / "out_genes.tsv", rows, pairs, found)


def _check_table(path: Path, rows: list[Row], pairs: list[tuple[int, str]], found: dict[str, np.ndarray]) -> None:
    with open(path) as table:
        lines = list(csv.DictReader(table, delimiter="\t"))
    assert [(line["id"], line["gene_id"]) for line in lines] == [(f"v{number}", name) for number, name in pairs]
    assert [(line["chrom"], int(line["pos"]) - 1, line["ref"], line["alt"]) for line in lines] == [
        rows[number] for number, _ in pairs
    ]
    assert all(line["gene_name"] == line["gene_id"][:-2].upper() for line in lines)
    assert [int(line["distance"]) for line in lines] == found["distance"].tolist()
    np.testing.assert_allclose([float(line["logSED:CNhs12184"]) for line in lines], found["logSED"][:, 0], rtol=1e-5)


def test_a_mirrored_genome_gives_mirrored_numbers(tmp_path: Path, world: Path) -> None:
    rows, lengths = snvs(120, seed=5), {chrom: len(text) for chrom, text in GENOME.items()}
    turned = {chrom: text[::-1].translate(TURN) for chrom, text in GENOME.items()}
    shard("genome", tmp_path / "genome", fasta=[fasta(tmp_path / "genome.fa", turned)])
    genes = {
        name: (chrom, strand.translate(str.maketrans("+-", "-+")),
               [(lengths[chrom] - end, lengths[chrom] - start) for start, end in exons[::-1]])
        for name, (chrom, strand, exons) in GENES.items() if chrom in lengths
    }  # fmt: skip
    other = [
        (chrom, lengths[chrom] - 1 - start, ref.translate(TURN), alt.translate(TURN)) for chrom, start, ref, alt in rows
    ]
    chosen: dict[str, Any] = {"rc_average": True, "shifts": "-3,0,3"}
    run(
        tmp_path / "one",
        world / "small",
        world / "genome",
        vcf(tmp_path / "v.vcf", rows),
        gtf=world / "genes.gtf",
        **chosen,
    )
    run(tmp_path / "two", world / "small", tmp_path / "genome", vcf(tmp_path / "w.vcf", other),
        gtf=gtf(tmp_path / "genes.gtf", genes), **chosen)  # fmt: skip
    (pairs, found), (pairs2, found2) = (genes_of(tmp_path / name) for name in ("one", "two"))
    assert pairs == pairs2 and len(pairs) > 10
    for name in ("distance", "covered", "ref", "SED", "logSED"):
        np.testing.assert_allclose(found[name], found2[name], rtol=1e-6, atol=1e-6 * np.abs(found["ref"]).max())
    with h5py.File(tmp_path / "one" / "out.h5") as one, h5py.File(tmp_path / "two" / "out.h5") as two:
        for name in ("ref", "alt", "effect", "scores/SAD", "scores/logSAD", "scores/D2"):
            scale = np.abs(one["ref"][()]).max()
            np.testing.assert_allclose(one[name][()], two[name][()][:, [1, 0, 2]], rtol=1e-5, atol=1e-6 * scale)


def test_the_same_bytes_for_any_shards(tmp_path: Path, world: Path) -> None:
    alone = [row for row in snvs(900, seed=2) if row[0] == "chr1" and 5000 < row[1] < 7000][:64]
    rows = [*alone, *indels(snvs(520, seed=7), np.random.default_rng(0))]
    given = vcf(tmp_path / "v.vcf", rows)
    for shards in (1, 3, 7):
        run(tmp_path / str(shards), world / "small", world / "genome", given, gtf=world / "genes.gtf", shards=shards)
    for name in ("out.h5", "out.tsv", "out_genes.tsv"):
        assert len({sha256_file(tmp_path / shards / name) for shards in "137"}) == 1
    assert genes_of(tmp_path / "7")[0][0][0] >= 64, "a shard without genes"


def test_several_models_are_the_mean_of_each(tmp_path: Path, world: Path) -> None:
    second = small(tmp_path / "second", length=45, bins=9, seed=1)
    given = vcf(tmp_path / "v.vcf", snvs(70, seed=9))
    single = {}
    for name, model in (("a", world / "small"), ("b", second), ("both", Path(f"{world / 'small'},{second}"))):
        done = run(tmp_path / name, model, world / "genome", given, gtf=world / "genes.gtf", stats="none")
        single[name] = genes_of(tmp_path / name)[1]
        with h5py.File(tmp_path / name / "out.h5") as handle:
            single[name]["effect"] = handle["effect"][()]
    assert done["summary"]["models"] == 2
    for value in ("ref", "SED", "logSED", "effect"):
        mean = (single["a"][value] + single["b"][value]) / 2
        np.testing.assert_allclose(single["both"][value], mean, rtol=1e-6, atol=1e-6)
    assert not np.allclose(single["a"]["SED"], single["b"]["SED"])


def test_chosen_genes(tmp_path: Path, world: Path) -> None:
    (tmp_path / "list.txt").write_text("# wanted\nTWO\nPLUS\n")
    given = vcf(tmp_path / "v.vcf", [("chr1", 1100, GENOME["chr1"][1100], "ACGT"[GENOME["chr1"][1100] == "A"])])
    done = run(
        tmp_path / "run", world / "small", world / "genome", given, gtf=world / "genes.gtf",
        genes=str(tmp_path / "list.txt"), format="h5",
    )  # fmt: skip
    assert genes_of(tmp_path / "run")[0] == [(0, "plus.1")] and done["summary"]["genes"]["alleles_without"] == 0
    assert not (tmp_path / "run" / "out_genes.tsv").exists()


@pytest.mark.parametrize(
    ("genes", "notes"),
    [
        ("PLUS,TWO,ELSEWHERE", ["1 gene left out: near no allele (TWO)",
                                "1 gene left out: the genome lacks their contig (ELSEWHERE)"]),
        (None, ["1 gene left out: the genome lacks their contig"]),
    ],
)  # fmt: skip
def test_genes_that_are_left_out_are_told(tmp_path: Path, world: Path, genes: str | None, notes: list[str]) -> None:
    given = vcf(tmp_path / "v.vcf", [("chr1", 1100, GENOME["chr1"][1100], "ACGT"[GENOME["chr1"][1100] == "A"])])
    options = variants_plan.Options(
        model=world / "small", vcf=given, genome=world / "genome", out=tmp_path / "run", gtf=world / "genes.gtf",
        genes=genes,
    )  # fmt: skip
    assert [note for note in variants_plan.plan_shards(options).notes if "gene left out" in note] == notes


@pytest.mark.parametrize(
    ("chosen", "error", "message"),
    [
        ({"transcripts": ["tag"]}, UsageError, "--transcripts 'tag': KEY=VALUE is needed; such as --transcripts bio"),
        ({"gtf": None, "span": True}, UsageError, "--span needs --gtf"),
        ({"gtf": None, "track_scale": 2.0}, UsageError, "--track-scale needs --gtf"),
        ({"genes": "PLUSS"}, UsageError, "--genes: no gene 'PLUSS' .* did you mean 'PLUS'"),
        ({"genes": "FAR"}, InputError, "none of the 1 genes of .* has an exon in the bins around an allele"),
        ({"untransform_old": True}, UsageError, "--untransform-old: what is there to undo"),
        ({"transform": "aggregate:tracks=ENCFF136DBS"}, UsageError, "--gtf with groups or a transform"),
        ({"tracks": "CNhs12184-"}, UsageError, r"no track for genes on \+"),
        ({"model": "flat"}, UsageError, "the model has one value per track, gene statistics read its bins"),
    ],
)  # fmt: skip
def test_what_is_refused(
    tmp_path: Path, world: Path, chosen: dict[str, Any], error: type[Exception], message: str
) -> None:
    given = vcf(tmp_path / "v.vcf", [("chr1", 1100, GENOME["chr1"][1100], "ACGT"[GENOME["chr1"][1100] == "A"])])
    if chosen.get("model"):
        make_model(tmp_path / "flat", length=45)
    model = tmp_path / "flat" if chosen.get("model") else world / "small"
    options = {"gtf": world / "genes.gtf"} | {name: value for name, value in chosen.items() if name != "model"}
    with pytest.raises(error, match=message):
        run(tmp_path / "run", model, world / "genome", given, **options)


@pytest.mark.parametrize(
    ("chosen", "signed"),
    [
        ({}, True),
        ({"track_scale": 2.0, "untransform_old": True}, True),
        ({"track_transform": 0.5}, True),
        ({"track_transform": 0.5, "untransform_old": True}, False),
    ],
)
def test_outputs_that_may_be_negative_have_no_logarithm(
    tmp_path: Path, world: Path, chosen: dict[str, Any], signed: bool
) -> None:
    torch.manual_seed(0)
    config = DilatedResidualConfig(channels=4, layers=1, stem_size=5, profile_size=5, output="values")
    module = build(config, ModelShape.single(45, 1, bins=9, link="identity")).eval()
    save_model(module, tmp_path / "model", config, ["a"])
    given = vcf(tmp_path / "v.vcf", snvs(30, seed=1))
    run(tmp_path / "run", tmp_path / "model", world / "genome", given, gtf=world / "genes.gtf", **chosen)
    found = genes_of(tmp_path / "run")[1]
    assert set(found) == {"allele", "gene", "distance", "covered", "ref", "SED", *([] if signed else ["logSED"])}
    assert signed == bool((found["ref"] < 0).any())
