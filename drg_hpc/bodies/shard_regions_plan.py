"""Plan of ``drg-shard regions``: intervals of a genome store with labels become a dataset store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Literal

from drg_hpc.bodies import datasets
from drg_hpc.config import flag
from drg_hpc.digests import describe_input
from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.bed import read_bed
from drg_hpc.genome.bigwig_header import read_contigs
from drg_hpc.genome.contigs import map_contigs
from drg_hpc.genome.fasta import text_lines
from drg_hpc.genome.negatives import Negatives, parse_negatives
from drg_hpc.genome.regions import Region, centred
from drg_hpc.genome.targets import read_targets
from drg_hpc.runs.spec import RunSpec
from drg_hpc.store.dataset_layout import INPUT, MODALITY, Input, Modality
from drg_hpc.store.header import describe_store, require_kind

SUMMARY = "Regions (BED) of a genome store with counts or bigWig tracks to a dataset store."


class Options(datasets.DatasetOptions):
    """Options of drg-shard regions."""

    genome: Path = flag(help="genome store made by drg-shard genome", metavar="STORE")
    regions: Path = flag(
        help="BED file, 0-based half-open, no negative starts; columns 4 and 6 give name and strand; a header line "
        "begins with #",
        metavar="BED",
    )
    length: int | None = flag(
        None,
        help="take L bases around the middle of each region (default: the length that all share)",
        metavar="L",
        ge=1,
    )
    tracks: Path | None = flag(
        None,
        help="table of bigWig files (Borzoi's targets table; file column relative to the table)",
        metavar="TARGETS.tsv",
    )
    bin: int | None = flag(None, help="one value per bin of B bases (default: one per region)", metavar="B", ge=1)
    reduce: Literal["mean", "sum", "max"] = flag("mean", help="how the base pairs of a bin become one value")
    missing: Literal["zero", "mask"] = flag(
        "zero",
        help="base pairs without a bigWig value count as 0, or are left out and bins without any are masked; "
        "with mask, NaN and empty labels of --counts are masked too, otherwise they are errors",
    )
    negatives: str | None = flag(
        None,
        help="add R dinucleotide shuffles of each region, with its split; their labels are 0, and without --counts "
        "or --tracks the one track is 'bound', 1 or 0",
        metavar="dinuc:R",
    )
    stranded: bool = flag(
        False, help="regions on - are reverse-complemented, bins reversed, strand pairs of tracks swapped"
    )
    strict: bool = flag(
        False,
        help="a region partly or wholly off its contig, or on an unknown one, is an error; otherwise what lies outside "
        "is padded with N, and a region without any base in the genome has kept=false, each with its reason",
    )


def place(region: Region, mapping: Mapping[str, str], contigs: Mapping[str, int]) -> Region:
    """The region with the genome's contig name, and what is wrong with it as the reason.

    Partly off its contig: kept, to be padded with N; without any base in the genome: kept=false.
    """
    chrom = mapping.get(region.chrom)
    if chrom is None:
        return Region(region.chrom, region.start, region.end, region.name, region.strand, False, "unknown contig")
    kept = region.start < contigs[chrom] and region.end > 0
    reason = "" if kept else "outside the contig"
    if kept and (bases := max(-region.start, 0) + max(region.end - contigs[chrom], 0)):
        reason = f"padded: {bases} bases outside the contig"
    return Region(chrom, region.start, region.end, region.name, region.strand, kept, reason)


def rows_of(path: Path, contigs: Mapping[str, int], *, length: int | None, stranded: bool) -> list[Region]:
    """One row per line of the BED file, centred on ``length`` bases; strand is that of the stored sequence.

    Raises
    ------
    InputError : a faulty file, no contig in common, or regions of several lengths and no ``length``
    """
    found = list(read_bed(path))
    sizes = Counter(region.end - region.start for region in found)
    if length is None and len(sizes) > 1:
        raise InputError(
            f"regions of {path} have {len(sizes)} lengths, from {min(sizes)} to {max(sizes)}",
            fix=f"choose one with --length, such as --length {sizes.most_common(1)[0][0]}",
        )
    mapping = map_contigs((region.chrom for region in found), contigs, what=str(path))
    rows = []
    for region in found:
        strand = "-" if stranded and region.strand == "-" else "+"
        oriented = Region(region.chrom, region.start, region.end, region.name, strand)
        rows.append(place(centred(oriented, length) if length else oriented, mapping, contigs))
    return rows


def _track_labels(options: Options, length: int, contigs: Mapping[str, int]) -> datasets.Labels:
    assert options.tracks is not None
    if options.bin and length % options.bin:
        raise UsageError(f"--bin {options.bin} does not divide the length {length}", fix="choose a --length it divides")
    targets = read_targets(options.tracks)
    for target in targets:  # a file of another assembly is noticed here, before any work
        lengths = read_contigs(target.file)
        map_contigs(lengths, contigs, what=str(target.file), lengths=lengths)
    tracks = tuple(
        {"name": t.name, "group": "bigwig", "strand_partner": t.strand_partner, "transform": "identity",
         "description": t.description}
        for t in targets
    )  # fmt: skip
    name = options.tracks.name.split(".")[0] if options.counts else MODALITY
    source = {"kind": "bigwig", "bin": options.bin or 0, "reduce": options.reduce, "missing": options.missing}
    inputs = {f"bigwig{number}": describe_input(target.file) for number, target in enumerate(targets)}
    modality = Modality(name, tracks, length // options.bin if options.bin else 0, options.target_dtype)
    return datasets.Labels([modality], [source], inputs=inputs | {"tracks": describe_input(options.tracks)})


def _labels(
    options: Options, *, length: int, negatives: Negatives | None, contigs: Mapping[str, int]
) -> datasets.Labels:
    found = []
    if options.counts:
        missing, alone = options.missing == "mask", options.tracks is None
        found.append(
            datasets.matrix_labels(options.counts, allow_missing=missing, dtype=options.target_dtype, alone=alone)
        )
    if options.tracks is not None:
        found.append(_track_labels(options, length, contigs))
    return datasets.join_labels(found) if found else datasets.bound_labels(negatives)


def _check(options: Options) -> Negatives | None:
    """Flags that clash; the negatives asked for."""
    if options.bin is not None and options.tracks is None:
        raise UsageError(f"--bin {options.bin} needs --tracks")
    negatives = parse_negatives(options.negatives)
    if not options.counts and options.tracks is None:
        datasets.bound_labels(negatives)
    return negatives


def _refuse_faulty(path: Path, rows: list[Region]) -> None:
    faulty = [number for number, row in enumerate(rows) if row.reason]
    if faulty:
        row = rows[faulty[0]]
        raise InputError(
            f"{path}: line {_line_of(path, faulty[0])}: {row.name} {row.chrom}:{row.start}-{row.end} ({row.reason}); "
            f"{len(faulty)} of {len(rows)} regions are not wholly in the genome",
            fix="remove them, or leave --strict out to have them padded with N or kept=false",
        )


def _line_of(path: Path, row: int) -> int:
    """Line number of a row of a BED file that ``read_bed`` has read; the same lines are no rows as there."""
    lines = (
        number
        for number, line in text_lines(path)
        if line.strip() and not line.startswith("#") and line.split(maxsplit=1)[0] not in ("track", "browser")
    )
    return next(islice(lines, row, None))


def plan_shards(options: Options) -> RunSpec:
    """Read the BED file and the headers of genome and labels; settle rows, splits and reasons."""
    negatives = _check(options)
    genome = require_kind(options.genome, "genome")
    contigs = {contig["name"]: contig["length"] for contig in genome["contigs"]}
    found = rows_of(options.regions, contigs, length=options.length, stranded=options.stranded)
    if options.strict:
        _refuse_faulty(options.regions, found)
    length = found[0].end - found[0].start
    labels = _labels(options, length=length, negatives=negatives, contigs=contigs)
    binned = any(m.bins and s["kind"] == "matrix" for m, s in zip(labels.modalities, labels.sources, strict=True))
    if binned and any(row.strand == "-" for row in found):
        raise UsageError(
            "--stranded with binned --counts: a matrix does not say whether the bins of its minus-strand rows run "
            "along the genome or along the sequence",
            fix="take --tracks, or turn the rows yourself and leave --stranded out",
        )
    labels.notes += datasets.label_notes(found, labels, strict=options.strict)
    rows = datasets.without_labels(found, labels.names)
    padded = sum(row.kept and bool(row.reason) for row in rows)
    return datasets.plan_dataset(
        "shard-regions",
        options,
        rows,
        inputs=[Input(INPUT, length)],
        labels=labels,
        negatives=negatives,
        sources={
            "genome": describe_store(options.genome),
            "regions": describe_input(options.regions),
        },
        header={
            "stranded": options.stranded,
            "contigs": [{key: c[key] for key in ("name", "length", "sha256")} for c in genome["contigs"]],
            "assembly": genome["assembly"],
        },
        params={"length": options.length, "stranded": options.stranded},
        memory=64 << 20,
        notes=[f"{padded} regions reach over a contig's end and are padded with N"] if padded else [],
    )
