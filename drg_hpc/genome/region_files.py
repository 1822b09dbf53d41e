"""Regions of a file of any format, one at a time. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Literal

from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.bed import read_bed
from drg_hpc.genome.gff3 import Chains
from drg_hpc.genome.gtf import Gene, Transcript, read_genes
from drg_hpc.genome.gtf_rows import Attributes, Feature, dialect_of, first_of, read_features, values_of
from drg_hpc.genome.region_table import read_table
from drg_hpc.genome.regions import Region
from drg_hpc.genome.row_checks import row_name
from drg_hpc.genome.selection import Selection

Format = Literal["bed", "narrowPeak", "broadPeak", "gtf", "gff3", "csv"]
ANNOTATIONS: tuple[Format, ...] = ("gtf", "gff3")
_WHOLE = ("gene", "transcript")
_NAMED_BY = {"gene": "gene_id", "transcript": "transcript_id"}
_EXTENSION = re.compile(r"\.(bed\d*|narrowpeak|broadpeak|gtf|gff3?|csv|tsv|txt)(?:\.b?gz)?$", re.IGNORECASE)
_FORMATS: dict[str, Format] = {
    "narrowpeak": "narrowPeak",
    "broadpeak": "broadPeak",
    "gtf": "gtf",
    "gff": "gff3",
    "gff3": "gff3",
    "csv": "csv",
    "tsv": "csv",
    "txt": "csv",
}


def format_of(path: Path) -> Format:
    """Format by the extension: .bed, .narrowPeak, .broadPeak, .gtf, .gff, .gff3, .csv, .tsv, .txt, also with .gz.

    ``csv`` stands for all tables and ``gff3`` and ``gtf`` for each other: the rows tell which it is.

    Raises
    ------
    UsageError : another extension
    """
    match = _EXTENSION.search(path.name)
    if match is None:
        raise UsageError(f"the extension of {path} does not say its format", fix="give --format, such as --format bed")
    return _FORMATS.get(match[1].lower(), "bed")


@dataclass(frozen=True)
class Reading:
    """How a file is read: see the flags of the same names (:class:`drg_hpc.bodies.region_inputs.RegionOptions`)."""

    format: Format
    one_based: bool = False
    feature: str = "gene"
    spliced: bool = False
    name_by: str | None = None


def read_regions(path: Path, reading: Reading, selection: Selection | None = None) -> Iterator[Region]:
    """Regions of a file, in its order, each with its line.

    Raises
    ------
    InputError : a faulty file, a file without rows, no feature of the wanted type
    UsageError : ``selection`` asks for what such a file does not have
    """
    if reading.format == "gtf" or reading.format == "gff3":
        yield from _annotated(path, reading, selection or Selection(()))
    elif reading.format == "csv":
        yield from read_table(path, one_based=reading.one_based, selection=selection)
    else:
        rows = read_bed(path, layout=reading.format, one_based=reading.one_based, spliced=reading.spliced)
        if selection is None:
            yield from rows
            return
        if other := next((key for key in selection.keys if key not in ("name", "chrom", "strand")), None):
            raise UsageError(f"--select {other}=…: {path} has name, chrom and strand only")
        yield from (row for row in rows if selection.accepts(partial(_column, row)))


def _column(row: Region, key: str) -> tuple[str, ...]:
    return (str(getattr(row, key)),)


def _annotated(path: Path, reading: Reading, selection: Selection) -> Iterator[Region]:
    """Rows of a GTF or GFF3. Genes and transcripts that have no rows of their own are made from their exons."""
    if reading.spliced:
        yield from _spliced(path, reading, selection)
        return
    feature, plain = reading.feature, dialect_of(path) == "gtf"
    if plain or feature not in _WHOLE:
        found = False
        for kind, row in _rows(path, feature, plain=plain):
            found = True
            if selection.accepts(partial(values_of, row.attributes, kind)):
                yield _region(row, row.attributes, kind, reading)
        if found:
            return
    if feature not in _WHOLE:
        types = dict.fromkeys(row.type for row in read_features(path))
        raise InputError(f"no {feature!r} rows in {path}", fix=f"it has {', '.join(types)}")
    for gene in read_genes(path, selection=selection, of=feature):
        if feature == "gene":
            yield _region(gene, {"gene_id": (gene.id,)} | dict(gene.attributes), feature, reading)
            continue
        for transcript in gene.transcripts:
            yield _region(transcript, _named(transcript), feature, reading)


def _rows(path: Path, feature: str, *, plain: bool) -> Iterator[tuple[str, Feature]]:
    """Rows of a type, each with what it is in GTF's terms."""
    if plain:
        yield from ((feature, row) for row in read_features(path, types=(feature,)))
        return
    for role, row in Chains(path).features():
        if feature in (role, row.type):
            yield role or row.type, row


def _named(transcript: Transcript) -> Attributes:
    own = {"gene_id": (transcript.gene_id,), "transcript_id": (transcript.id,)}
    return own | dict(transcript.attributes)


def _region(row: Feature | Gene | Transcript, attributes: Attributes, kind: str, reading: Reading) -> Region:
    name = first_of(attributes, *filter(None, (reading.name_by, _NAMED_BY.get(kind))))
    name = row_name(name, f"line {row.line}") if name else f"{row.chrom}:{row.start}-{row.end}"
    return Region(row.chrom, row.start, row.end, name, row.strand, line=row.line)


def _spliced(path: Path, reading: Reading, selection: Selection) -> Iterator[Region]:
    """Transcripts with their exons, or coding parts, as blocks; those without any are left out."""
    for gene in read_genes(path, selection=selection, of="transcript"):
        for transcript in gene.transcripts:
            blocks = transcript.cds if reading.feature == "CDS" else transcript.exons
            if not blocks:
                continue
            at = f"{path}: line {transcript.line}: {transcript.id}"
            if transcript.strand == ".":
                raise InputError(f"{at} has no strand, which --spliced needs")
            if any(before[1] > after[0] for before, after in pairwise(blocks)):
                raise InputError(f"{at} has exons that overlap each other")
            whole = _region(transcript, _named(transcript), "transcript", reading)
            yield replace(whole, start=blocks[0][0], end=blocks[-1][1], blocks=blocks)
