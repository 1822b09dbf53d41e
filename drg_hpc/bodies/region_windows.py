"""Windows of one region file on a genome: length, anchor, contig names, what lies outside. Light."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drg_hpc.errors import InputError
from drg_hpc.genome.contigs import map_contigs
from drg_hpc.genome.region_files import ANNOTATIONS, Reading, read_regions
from drg_hpc.genome.regions import Anchor, Region, bases_of, resize, window
from drg_hpc.genome.selection import Selection

OUTSIDE = "outside the contig"


@dataclass
class Source:
    """Regions of one input.

    Attributes
    ----------
    regions : windows in the order of the file, contigs named as the genome's
    length : bases of every window
    given : contig of the genome -> starts and ends in turn, as the file has them
    """

    name: str
    path: Path
    length: int
    regions: list[Region]
    given: dict[str, array[int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Rule:
    """How a region becomes a window."""

    length: int | None
    anchor: Anchor
    stranded: bool


def read_source(entry: Mapping[str, Any], params: Mapping[str, Any], path: Path, contigs: Mapping[str, int]) -> Source:
    """Windows of the regions of one file.

    Parameters
    ----------
    entry : one of ``params["inputs"]``

    Raises
    ------
    InputError : as :func:`drg_hpc.bodies.region_rows.read_rows`
    """
    selection = Selection(params["select"]) if params["select"] else None
    options = {key: params[key] for key in ("one_based", "feature", "spliced", "name_by")}
    regions = list(read_regions(path, Reading(entry["format"], **options), selection))
    if not regions:
        asked = f"none of its {selection.seen} rows passes --select" if selection else "nothing to splice"
        raise InputError(f"no regions from {path}: {asked}")
    mapping = _contig_names(regions, contigs, path)
    rule = _Rule(entry["length"], entry["anchor"], params["stranded"])
    source = Source(entry["name"], path, entry["length"] or _common_length(regions, path), regions)
    if rule.anchor == "tss":
        _require_strand(regions, path)
    for number, region in enumerate(regions):
        chrom = mapping.get(region.chrom)
        if chrom is not None:
            source.given.setdefault(chrom, array("q")).extend((region.start, region.end))
        regions[number] = _placed(region, rule, chrom, contigs)
    if params["strict"]:
        _refuse_faulty(source)
    source.notes += _notes(source, rule, selection, entry["format"])
    return source


def _placed(region: Region, rule: _Rule, chrom: str | None, contigs: Mapping[str, int]) -> Region:
    """The window with the genome's contig name, and what is wrong with it as the reason.

    Partly off its contig: kept, to be padded with N; without any base in the genome: kept=false. Exons cannot be
    padded in their middle, so a transcript that is not wholly on its contig is not kept.
    """
    start, end, blocks = region.start, region.end, region.blocks
    if blocks and rule.length:
        cut = resize(region, rule.length)
        start, end, blocks = cut.start, cut.end, cut.blocks
    elif rule.length:
        known = rule.anchor != "summit" or region.summit >= 0
        start, end = window(region, rule.length, rule.anchor if known else "centre")
    kept, reason = True, ""
    if chrom is None:
        chrom, kept, reason = region.chrom, False, "unknown contig"
    elif rule.length and rule.anchor == "summit" and region.summit < 0:
        kept, reason = False, "no summit"
    elif start < 0 or end > contigs[chrom]:
        kept = start < contigs[chrom] and end > 0 and not blocks
        reason = OUTSIDE
        if kept:
            reason = f"padded: {max(-start, 0) + max(end - contigs[chrom], 0)} bases {OUTSIDE}"
    strand = "-" if rule.stranded and region.strand == "-" else "+"
    return Region(chrom, start, end, region.name, strand, kept, reason, -1, blocks, region.line)


def _contig_names(regions: list[Region], contigs: Mapping[str, int], path: Path) -> dict[str, str]:
    """The genome's name of every contig that it has; two spellings of one contig are refused with their lines."""
    names = {region.chrom for region in regions}
    bare: dict[str, list[str]] = {}
    for name in names:
        bare.setdefault(name.removeprefix("chr").replace("MT", "M"), []).append(name)
    for spellings in bare.values():
        if len(spellings) > 1 and sum(name in contigs for name in spellings) == 1:
            lines = {name: next(r.line for r in regions if r.chrom == name) for name in spellings}
            (one, first), (other, second) = sorted(lines.items(), key=lambda item: item[1])[:2]
            raise InputError(
                f"{path}: line {second}: {other}, but line {first} has {one}: two names of one contig",
                fix="use one naming",
            )
    return map_contigs((region.chrom for region in regions), contigs, what=str(path))


def _common_length(regions: list[Region], path: Path) -> int:
    sizes = Counter(map(bases_of, regions))
    if len(sizes) > 1:
        raise InputError(
            f"regions of {path} have {len(sizes)} lengths, from {min(sizes)} to {max(sizes)}",
            fix=f"choose one with --length, such as --length {sizes.most_common(1)[0][0]}",
        )
    return next(iter(sizes))


def _require_strand(regions: list[Region], path: Path) -> None:
    for region in regions:
        if region.strand == ".":
            raise InputError(f"{path}: line {region.line}: no strand, which --anchor tss needs")


def _refuse_faulty(source: Source) -> None:
    """Under --strict every region has to be wholly in the genome."""
    faulty = [row for row in source.regions if row.reason]
    if faulty:
        row = faulty[0]
        raise InputError(
            f"{source.path}: line {row.line}: {row.name} {row.chrom}:{row.start}-{row.end} ({row.reason}); "
            f"{len(faulty)} of {len(source.regions)} regions are not wholly in the genome",
            fix="remove them, or leave --strict out to have them padded with N or kept=false",
        )


def _notes(source: Source, rule: _Rule, selection: Selection | None, form: str) -> list[str]:
    notes = []
    if selection is not None:
        notes.append(f"{selection.chosen} of {selection.seen} rows of {source.path.name} pass --select")
    if short := sum(bases_of(row) < source.length for row in source.regions if row.blocks):
        notes.append(f"{short} transcripts are shorter than {source.length} bases and end in N")
    if rule.anchor == "tss" and form in ANNOTATIONS and not rule.stranded:
        notes.append("windows lie around each TSS by its strand, sequences are all those of the + strand; --stranded "
                     "turns those on -")  # fmt: skip
    if rule.anchor == "summit":
        notes.append(f"windows lie around the summits of {source.path.name}")
    return notes
