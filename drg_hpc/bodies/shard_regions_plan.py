"""Plan of ``drg-shard regions``: intervals of a genome store with labels become a dataset store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from drg_hpc.bodies import datasets
from drg_hpc.bodies.region_inputs import RegionOptions, region_files, region_params
from drg_hpc.bodies.region_rows import RegionRows, read_rows
from drg_hpc.config import flag
from drg_hpc.digests import describe_input, describe_inputs
from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.bigwig_header import read_contigs
from drg_hpc.genome.contigs import map_contigs
from drg_hpc.genome.negatives import Negatives, parse_negatives
from drg_hpc.genome.targets import Target, read_targets, transform_info
from drg_hpc.runs.spec import RunSpec, Stage, block_shards
from drg_hpc.store.dataset_layout import MODALITY, Modality
from drg_hpc.store.header import describe_store, require_kind

SUMMARY = "Regions (BED, GTF, tables) of a genome store with counts or bigWig tracks to a dataset store."
GC_STAGE = "gc"
_ROW_MEMORY = 600  # bytes of a region with its name, and of what is built from it


class Options(RegionOptions, datasets.DatasetOptions):
    """Options of drg-shard regions."""

    genome: Path = flag(help="genome store made by drg-shard genome", metavar="STORE")
    tracks: Path | None = flag(
        None,
        help="table of bigWig files (Borzoi's targets table; file column relative to the table)",
        metavar="TARGETS.tsv",
    )
    bin: int | None = flag(None, help="one value per bin of B bases (default: one per region)", metavar="B", ge=1)
    target_length: int | None = flag(
        None, help="read --tracks over the T bases around the centre of each region only (default: all of it)",
        metavar="T", ge=1,
    )  # fmt: skip
    reduce: Literal["mean", "sum", "max"] = flag("mean", help="how the base pairs of a bin become one value")
    apply_transforms: bool = flag(
        False, help="apply each track's sum_stat (in place of --reduce), scale, clip_soft and clip of the table"
    )
    transform_order: Literal["new", "old"] = flag(
        "new", help="order of Borzoi's transforms: new, or old as for the published weights"
    )
    missing: Literal["zero", "mask"] = flag(
        "zero",
        help="base pairs without a bigWig value count as 0, or are left out and bins without any are masked; "
        "with mask, NaN and empty labels of --counts are masked too, otherwise they are errors",
    )
    negatives: str | None = flag(
        None,
        help="add R negatives of each region, with its split: dinuc:R dinucleotide shuffles, dinuc-compat:R those of "
        "tangermeme's stream, gc:R other regions of its contig with its GC content. Labels are 0 (those of --tracks "
        "are read for gc); without --counts or --tracks the one track is 'bound', 1 or 0",
        metavar="KIND:R",
    )
    gc_tolerance: float = flag(0.02, help="largest difference of GC content for --negatives gc", gt=0, le=1)


def _track_labels(options: Options, length: int, contigs: Mapping[str, int]) -> datasets.Labels:
    assert options.tracks is not None
    span = options.target_length or length
    if span > length or (length - span) % 2:
        raise UsageError(
            f"--target-length {span} does not lie in the middle of {length} bases",
            fix=f"a number up to {length} that leaves as many bases on the left as on the right",
        )
    if options.bin and span % options.bin:
        what = "--target-length" if options.target_length else "length"
        fix = f"choose a --{what.lstrip('-')} it divides"
        raise UsageError(f"--bin {options.bin} does not divide the {what} {span}", fix=fix)
    targets = read_targets(options.tracks)
    for target in targets:  # a file of another assembly is noticed here, before any work
        lengths = read_contigs(target.file)
        map_contigs(lengths, contigs, what=str(target.file), lengths=lengths)
    name = options.tracks.name.split(".")[0] if options.counts else MODALITY
    source = {"kind": "bigwig", "bin": options.bin or 0, "reduce": options.reduce, "missing": options.missing}
    inputs = describe_inputs({f"bigwig{number}": target.file for number, target in enumerate(targets)})
    tracks = tuple(_track_info(target, options) for target in targets)
    bins = span // options.bin if options.bin else 0
    modality = Modality(name, tracks, bins, options.target_dtype, options.target_length or 0)
    return datasets.Labels([modality], [source], inputs=inputs | {"tracks": describe_input(options.tracks)})


def _track_info(target: Target, options: Options) -> dict[str, Any]:
    transform = transform_info(target, options.transform_order) if options.apply_transforms else "identity"
    return {
        "name": target.name,
        "group": "bigwig",
        "strand_partner": target.strand_partner,
        "transform": transform,
        "description": target.description,
    }


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
    for name in ("bin", "target_length", "apply_transforms"):
        if options.tracks is None and getattr(options, name):
            value = "" if name == "apply_transforms" else f" {getattr(options, name)}"
            raise UsageError(f"--{name.replace('_', '-')}{value} needs --tracks")
    if options.spliced and options.tracks is not None:
        raise UsageError("--tracks with --spliced: tracks are read over intervals, not over joined exons")
    negatives = parse_negatives(options.negatives)
    if not options.counts and options.tracks is None:
        datasets.bound_labels(negatives)
    if negatives is not None and negatives.kind == "gc" and (options.input or options.spliced):
        raise UsageError("--negatives gc draws one interval a row; it cannot with --input or --spliced")
    return negatives


def _gc_stage(rows: RegionRows, options: Options, negatives: Negatives | None) -> tuple[list[Stage], dict[str, Any]]:
    """The stage that draws genomic negatives, and what it needs to know. A row of it is a contig."""
    if negatives is None or negatives.kind != "gc":
        return [], {}
    contigs = list(dict.fromkeys(row.chrom for row in rows.rows if row.kept))
    each = -(-len(contigs) // 64)  # thousands of scaffolds are not thousands of parts
    stage = Stage(GC_STAGE, block_shards(len(contigs), block=1, default_size=each))
    return [stage], {"gc": {"contigs": contigs, "tolerance": options.gc_tolerance}}


def plan_shards(options: Options) -> RunSpec:
    """Read the region files and the headers of genome and labels; settle rows, splits and reasons."""
    genome = require_kind(options.genome, "genome")
    contigs = {contig["name"]: contig["length"] for contig in genome["contigs"]}
    params, files = region_params(options), region_files(options)
    for path in files.values():
        if not path.is_file():
            raise InputError(f"no such file: {path}", fix="check the path")
    negatives = _check(options)
    found = read_rows(params, files, contigs, join=bool(options.counts))
    labels = _labels(options, length=found.inputs[0].length, negatives=negatives, contigs=contigs)
    binned = any(m.bins and s["kind"] == "matrix" for m, s in zip(labels.modalities, labels.sources, strict=True))
    if binned and any(row.strand == "-" for row in found.rows):
        raise UsageError(
            "--stranded with binned --counts: a matrix does not say whether the bins of its minus-strand rows run "
            "along the genome or along the sequence",
            fix="take --tracks, or turn the rows yourself and leave --stranded out",
        )
    labels.notes += datasets.label_notes(found.rows, labels, strict=options.strict)
    rows = datasets.without_labels(found.rows, {path: info.names for path, info in labels.matrices.items()})
    before, gc = _gc_stage(found, options, negatives)
    return datasets.plan_dataset(
        "shard-regions",
        options,
        rows,
        inputs=found.inputs,
        labels=labels,
        negatives=negatives,
        sources={"genome": describe_store(options.genome)} | describe_inputs(files),
        header={
            "stranded": options.stranded,
            "spliced": options.spliced,
            "contigs": [{key: c[key] for key in ("name", "length", "sha256")} for c in genome["contigs"]],
            "assembly": genome["assembly"],
        },
        params={"regions": params, **gc},
        memory=(64 << 20) + _ROW_MEMORY * len(rows),
        before=before,
        notes=found.notes,
    )
