"""BED files (BED3 to BED12), narrowPeak and broadPeak, 0-based half-open. Standard library only."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal

from drg_hpc.errors import InputError
from drg_hpc.genome.regions import Interval, Region
from drg_hpc.genome.row_checks import contig_name, interval, is_number, row_name, strand_of
from drg_hpc.genome.text import columns, numbered_lines

Layout = Literal["bed", "narrowPeak", "broadPeak"]
_PEAK_COLUMNS = {"narrowPeak": 10, "broadPeak": 9}
_BLOCK_COLUMNS = 12


def read_bed(path: Path, *, layout: Layout = "bed", one_based: bool = False, spliced: bool = False) -> Iterator[Region]:
    """Rows of a BED-like file: columns by tabs or blanks; name (column 4) and strand (column 6) where there are any.

    Comments, ``track`` and ``browser`` lines and empty lines are skipped. A row without a name, or named ``.``,
    is called ``chrom:start-end``.

    Parameters
    ----------
    layout : narrowPeak rows have 10 columns, the last one the summit as an offset from start (-1: none); broadPeak 9
    one_based : starts count from 1, and ends are part of the region
    spliced : take the blocks of BED12 rows

    Raises
    ------
    InputError : missing or unreadable file, no rows, a faulty row (with its line number)
    """
    file, rows, width = str(path), 0, _PEAK_COLUMNS.get(layout)
    known: dict[str, str] = {}
    for number, line in numbered_lines(path):
        if not line or (line[0] in "#tb \t" and _skipped(line)):
            continue
        rows += 1
        at = f"{file}: line {number}"
        fields = columns(line)
        if len(fields) < 3:
            raise InputError(f"{at}: {len(fields)} columns, a BED row has at least chrom, start, end")
        start, end = interval(fields[1], fields[2], at=at, one_based=one_based, row=fields)
        chrom = known.get(fields[0]) or known.setdefault(fields[0], contig_name(fields[0], at))
        name, strand, summit = f"{chrom}:{start}-{end}", ".", -1
        if len(fields) > 3:
            if width and len(fields) != width:
                raise InputError(f"{at}: {len(fields)} columns, a {layout} row has {width}")
            if fields[3] not in ("", "."):
                name = row_name(fields[3], at)
            strand = strand_of(fields[5], at) if len(fields) > 5 else "."
            summit = _summit(fields[9], end - start, at) if layout == "narrowPeak" else -1
        elif width:
            raise InputError(f"{at}: 3 columns, a {layout} row has {width}")
        blocks = _blocks(fields, start, end, at) if spliced else ()
        yield Region(chrom, start, end, name, strand, True, "", summit, blocks, number)
    if not rows:
        raise InputError(f"no regions in {path}", fix="a BED file has lines of chrom, start, end")


def _skipped(line: str) -> bool:
    words = line.split(maxsplit=1)
    return not words or words[0][0] == "#" or words[0] in ("track", "browser")


def _summit(text: str, length: int, at: str) -> int:
    """Offset of a summit, -1 where there is none."""
    if text == "-1":
        return -1
    if not is_number(text) or len(text) > 13 or int(text) >= length:
        raise InputError(f"{at}: the summit {text[:40]!r} is no offset within the {length} bases of the peak, nor -1")
    return int(text)


def _blocks(fields: list[str], start: int, end: int, at: str) -> tuple[Interval, ...]:
    """Blocks of a BED12 row in genome coordinates."""
    if len(fields) < _BLOCK_COLUMNS:
        raise InputError(f"{at}: {len(fields)} columns, --spliced needs the blocks of BED12 (columns 10 to 12)")
    sizes, offsets = (text.rstrip(",").split(",") for text in fields[10:12])
    numbers = [fields[9], *sizes, *offsets]
    if not all(is_number(text) and len(text) <= 13 for text in numbers) or {len(sizes), len(offsets)} != {
        int(fields[9])
    }:
        raise InputError(f"{at}: columns 10 to 12 are not a number of blocks, their sizes and their starts")
    blocks = tuple(
        (start + int(first), start + int(first) + int(size)) for size, first in zip(sizes, offsets, strict=True)
    )
    edges = [edge for block in blocks for edge in block]
    ordered = all(a < b for a, b in blocks) and all(a <= b for a, b in pairwise(edges))
    if not ordered or edges[0] != start or edges[-1] != end:
        raise InputError(f"{at}: the blocks do not fill the row from start to end in order and without overlaps")
    return blocks
