"""Plan of ``drg-shard sequences``: sequences with labels or shuffled negatives become a dataset store."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

from drg_hpc.bodies import datasets
from drg_hpc.config import flag, positional
from drg_hpc.digests import describe_input
from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.fasta import read_records
from drg_hpc.genome.negatives import parse_negatives
from drg_hpc.genome.npz import scan_onehot
from drg_hpc.genome.regions import Region, parse_region
from drg_hpc.runs.spec import RunSpec
from drg_hpc.store.dataset_layout import INPUT, Input

SUMMARY = "Sequences (FASTA or one-hot npz) with labels or shuffled negatives to a dataset store."


class Options(datasets.DatasetOptions):
    """Options of drg-shard sequences."""

    sequences: Path = positional(
        help="FASTA (plain, gzip, bgzip; headers chrom:start-end become regions) or DRG one-hot .npz",
        metavar="FASTA|NPZ",
    )
    length: int | None = flag(
        None,
        help="crop or pad with N, around the middle, to L bases (default: the length that all share)",
        metavar="L",
        ge=1,
    )
    missing: Literal["error", "mask"] = flag("error", help="NaN and empty labels are errors, or masked out")
    negatives: str | None = flag(
        None,
        help="add R dinucleotide shuffles of each sequence, with its split; their labels are 0, and without --counts "
        "the one track is 'bound', 1 or 0; dinuc-compat:R draws tangermeme's stream (copy j of every row: seed + j)",
        metavar="dinuc:R",
    )


def _scan(path: Path) -> list[tuple[str, int]]:
    if path.suffix == ".npz":
        return scan_onehot(path)
    return [(record.name, len(record.sequence)) for record in read_records(path)]


def _common_length(path: Path, sizes: list[int], asked: int | None) -> int:
    if asked is not None:
        return asked
    counts = Counter(sizes)
    if len(counts) > 1:
        raise InputError(
            f"sequences of {path} have {len(counts)} lengths, from {min(counts)} to {max(counts)}",
            fix=f"choose one with --length, such as --length {counts.most_common(1)[0][0]}",
        )
    return sizes[0]


def rows_of(names: list[tuple[str, int]], length: int) -> list[Region]:
    """One row per (name, length of the sequence); the interval is that of the cropped or padded sequence."""
    found = []
    for name, size in names:
        region = parse_region(name, size)
        if region is None:
            found.append(Region("", 0, 0, name))
            continue
        shift = size // 2 - length // 2
        start = region.end - shift - length if region.strand == "-" else region.start + shift
        found.append(Region(region.chrom, start, start + length, name, region.strand))
    return found


def kept_table(rows: list[Region]) -> list[tuple[object, ...]]:
    """Header and a line per sequence of the file."""
    lines: list[tuple[object, ...]] = [("row", "name", "chrom", "start", "end", "kept", "reason")]
    lines += [(i, r.name, r.chrom, r.start, r.end, int(r.kept), r.reason) for i, r in enumerate(rows)]
    return lines


def plan_shards(options: Options) -> RunSpec:
    """Scan the sequences, join labels, settle rows and splits."""
    path = options.sequences
    negatives = parse_negatives(options.negatives)
    if negatives is not None and negatives.kind == "gc":
        raise UsageError("--negatives gc needs a genome to draw from", fix="drg-shard regions, or --negatives dinuc:R")
    if not options.counts:
        datasets.bound_labels(negatives)  # a usage error comes before the long scan
    names = _scan(path)
    length = _common_length(path, [size for _, size in names], options.length)
    if not options.counts:
        labels = datasets.bound_labels(negatives)
    else:
        missing = options.missing == "mask"
        matrices = datasets.matrix_labels(options.counts, allow_missing=missing, dtype=options.target_dtype, alone=True)
        labels = datasets.join_labels([matrices])
    found = rows_of(names, length)
    labels.notes += datasets.label_notes(found, labels, strict=False)
    rows = datasets.without_labels(found, {path: info.names for path, info in labels.matrices.items()})
    regions = sum(bool(row.chrom) for row in rows)
    named = len(rows) - regions
    notes = [f"{named} of {len(rows)} headers are names only, not chrom:start-end"] if named else []
    return datasets.plan_dataset(
        "shard-sequences",
        options,
        rows,
        inputs=[Input(INPUT, length)],
        labels=labels,
        negatives=negatives,
        sources={"sequences": describe_input(path)},
        header={"stranded": False, "spliced": False, "contigs": [], "assembly": ""},
        params={},
        memory=2 * sum(size for _, size in names),
        notes=notes,
    )
