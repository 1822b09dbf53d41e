"""Tables of regions, CSV or TSV: with a header, or with DRG's columns name, chrom, start, end. Light."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.regions import Region
from drg_hpc.genome.row_checks import contig_name, interval, is_number, row_name, strand_of
from drg_hpc.genome.selection import Selection
from drg_hpc.genome.text import columns, numbered_lines

log = logging.getLogger(__name__)

_SPELLINGS = {
    "chrom": ("chrom", "chr", "chromosome", "seqnames"),
    "start": ("start",),
    "end": ("end",),
    "name": ("name", "id", "gene"),
    "strand": ("strand",),
}
_HEADERLESS = ("name", "chrom", "start", "end", "strand")
_NO_NAME = ("", ".", "NA")
_NO_HEADER = "a file of chrom, start, end without a header is called .bed (or, for drg-shard, is of --format bed)"


@dataclass(frozen=True)
class _Layout:
    """``place`` of each meaning, ``header`` in lower case (empty without one), number of columns."""

    delimiter: str
    place: dict[str, int]
    header: tuple[str, ...]
    width: int


def read_table(path: Path, *, one_based: bool = False, selection: Selection | None = None) -> Iterator[Region]:
    """Rows of a table whose columns are parted by tabs, commas, semicolons or blanks, whichever its first row has.

    A header names the columns chrom (or chr, chromosome, seqnames), start, end and, where there are any, name (or id,
    gene) and strand, in any order and case; other columns serve ``selection`` only. Without a header the columns are
    name, chrom, start, end and perhaps strand. Lines that begin with ``#`` are comments; the last one before the
    rows may be the header.

    Parameters
    ----------
    one_based : starts count from 1, and ends are part of the region

    Raises
    ------
    InputError : missing or unreadable file, no rows, a faulty row (with its line number)
    UsageError : ``selection`` asks for a column that is not there
    """
    layout: _Layout | None = None
    rows, known = 0, dict[str, str]()
    for number, line in numbered_lines(path):
        at = f"{path}: line {number}"
        if layout is None and line.strip():
            comment = line.startswith("#")
            if not (comment and '"' in line):  # quotes of a comment mean nothing
                layout = _with_header(line.removeprefix("#"), at) or (None if comment else _without_header(line, at))
            if layout is not None:
                _check(layout, selection, path=path, one_based=one_based)
            if layout is None or layout.header:
                continue
        if layout is None or not line.strip() or line.startswith("#"):
            continue
        rows += 1
        fields = _split(line, layout.delimiter, at)
        region = _region(fields, layout, known, at=at, one_based=one_based, number=number)
        if selection is None or selection.accepts(partial(_values, layout, fields, region)):
            yield region
    if not rows:
        raise InputError(f"no regions in {path}", fix="a table has rows of chrom, start, end below a header")


def _split(line: str, delimiter: str, at: str) -> list[str]:
    if not delimiter:
        return columns(line)
    if '"' not in line:
        return [field.strip(" ") for field in line.split(delimiter)]
    try:
        return [field.strip(" ") for field in next(csv.reader([line], delimiter=delimiter, strict=True))]
    except csv.Error as error:
        raise InputError(f"{at}: faulty quotes ({error})") from None


def _delimiter(line: str) -> str:
    return next((mark for mark in "\t,;" if mark in line), "")


def _with_header(line: str, at: str) -> _Layout | None:
    """The layout that a header gives, None when the line is none."""
    delimiter = _delimiter(line)
    header = tuple(field.lower() for field in _split(line, delimiter, at))
    place = {}
    for meaning, spellings in _SPELLINGS.items():
        if written := next((word for word in spellings if word in header), ""):
            if header.count(written) > 1:
                raise InputError(f"{at}: the header has {written!r} twice")
            place[meaning] = header.index(written)
    return _Layout(delimiter, place, header, len(header)) if {"chrom", "start", "end"} <= set(place) else None


def _without_header(line: str, at: str) -> _Layout:
    """The layout name, chrom, start, end of a first row.

    Raises
    ------
    InputError : the row does not have it
    """
    delimiter = _delimiter(line)
    fields = _split(line, delimiter, at)
    numbers = [is_number(field.removeprefix("-")) for field in fields[:4]]
    if len(fields) > 3 and numbers[2:] == [True, True]:
        meanings = _HEADERLESS if fields[4:5] and fields[4] in "+-.*" else _HEADERLESS[:4]
        return _Layout(delimiter, {meaning: i for i, meaning in enumerate(meanings)}, (), len(fields))
    fix = _NO_HEADER if numbers[1:3] == [True, True] else ""
    raise InputError(
        f"{at}: neither a header with the columns chrom, start, end nor a row of name, chrom, start, end", fix=fix
    )


def _check(layout: _Layout, selection: Selection | None, *, path: Path, one_based: bool) -> None:
    """Whether the table has what is asked of it."""
    for key in selection.keys if selection else ():
        if key.lower() not in ("name", "chrom", "strand", *layout.header):
            raise UsageError(f"--select {key}=…: {path} has no column {key!r}", fix="name, chrom, strand or a column")
    if "seqnames" in layout.header and not one_based:
        log.warning("%s has the header of a GRanges export, whose starts count from 1; drg-shard has --one-based", path)


def _region(
    fields: Sequence[str], layout: _Layout, known: dict[str, str], *, at: str, one_based: bool, number: int
) -> Region:
    if len(fields) != layout.width:
        first = "header" if layout.header else "first row"
        raise InputError(f"{at}: {len(fields)} columns, the {first} has {layout.width}")
    place = layout.place
    start, end = interval(fields[place["start"]], fields[place["end"]], at=at, one_based=one_based)
    written = fields[place["chrom"]]
    chrom = known.get(written) or known.setdefault(written, contig_name(written, at))
    name = fields[place["name"]] if "name" in place else ""
    name = f"{chrom}:{start}-{end}" if name in _NO_NAME else row_name(name, at)
    strand = strand_of(fields[place["strand"]], at, unknown=".*") if "strand" in place else "."
    return Region(chrom, start, end, name, strand, line=number)


def _values(layout: _Layout, fields: Sequence[str], region: Region, key: str) -> tuple[str, ...]:
    """The row's value of a key of ``--select``."""
    if key in ("name", "chrom", "strand"):
        return (str(getattr(region, key)),)
    return (fields[layout.header.index(key.lower())],)
