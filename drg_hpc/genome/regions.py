"""A region of a dataset: one row, before any sequence is read. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

_HEADER = re.compile(r"(?:.*::)?(?P<chrom>[^\s:]+):(?P<start>\d+)-(?P<end>\d+)(?:\((?P<strand>[+-.])\))?")

Anchor = Literal["centre", "start", "summit", "tss"]
Interval = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Region:
    """Interval ``chrom:start-end`` (0-based, half-open); ``strand`` is the strand of the stored sequence.

    ``chrom`` is empty when a sequence has a name only. ``kept`` is false, with a ``reason``, for regions that
    have no sequence.

    Attributes
    ----------
    summit : offset of the summit from ``start``, -1 where none is known
    blocks : exons of a spliced transcript, ascending and without overlaps, the first from ``start``, the last to
        ``end``; empty for a plain interval
    line : line in the file that the region was read from, 0 where there is none
    """

    chrom: str
    start: int
    end: int
    name: str
    strand: str = "+"
    kept: bool = True
    reason: str = ""
    summit: int = -1
    blocks: tuple[Interval, ...] = ()
    line: int = field(default=0, compare=False)


def parse_region(header: str, length: int) -> Region | None:
    """Region of a FASTA name ``chrom:start-end``, ``chrom:start-end(strand)`` or ``name::chrom:start-end``.

    The length of the sequence tells the two customs apart: bedtools writes 0-based half-open intervals
    (``end - start == length``), samtools 1-based closed ones (``end - start + 1 == length``).

    Returns
    -------
    None when the name has another form or its length fits neither custom.
    """
    match = _HEADER.fullmatch(header)
    if match is None:
        return None
    start, end = int(match["start"]), int(match["end"])
    strand = "-" if match["strand"] == "-" else "+"
    if end - start == length:
        return Region(match["chrom"], start, end, header, strand)
    if end - start + 1 == length and start >= 1:
        return Region(match["chrom"], start - 1, end, header, strand)
    return None


def bases_of(region: Region) -> int:
    """Bases of the interval, or of the blocks of a spliced transcript."""
    if region.blocks:
        return sum(end - start for start, end in region.blocks)
    return region.end - region.start


def tss_of(region: Region) -> int:
    """The base at the 5' end: ``start``, or ``end - 1`` of a region on ``-``."""
    return region.end - 1 if region.strand == "-" else region.start


def window(region: Region, length: int, anchor: Anchor = "centre") -> Interval:
    """Start and end of the ``length`` bases at the anchor; may lie partly off the contig.

    centre : from ``(start + end) // 2 - length // 2`` on, whatever the strand.
    summit : from ``start + summit - length // 2`` on, so that ``length // 2`` bases lie before the summit's base,
        whatever the strand.
    tss : read along the region's strand, ``length // 2`` bases lie before the base at the 5' end. For an even length
        that is ``[start - length // 2, start + length // 2)`` on ``+`` and ``[end - length // 2, end + length // 2)``
        on ``-``; for an odd one, that base is the middle one.
    start : the 5' end is kept: ``[start, start + length)``, or ``[end - length, end)`` on ``-``.

    A strand other than ``-`` counts as ``+``.
    """
    if anchor == "centre":
        start = (region.start + region.end) // 2 - length // 2
    elif anchor == "summit":
        start = region.start + region.summit - length // 2
    elif anchor == "tss":
        start = region.end + length // 2 - length if region.strand == "-" else region.start - length // 2
    else:
        start = region.end - length if region.strand == "-" else region.start
    return start, start + length


def resize(region: Region, length: int, anchor: Anchor = "centre") -> Region:
    """The region with the interval of :func:`window`; a spliced one is cut to its first ``length`` bases instead.

    A spliced region that is shorter than ``length`` stays as it is; :func:`spliced_pieces` says what is missing.
    """
    if region.blocks:
        blocks = tuple(spliced_pieces(region, length)[0])
        return replace(region, start=blocks[0][0], end=blocks[-1][1], summit=-1, blocks=blocks)
    start, end = window(region, length, anchor)
    summit = region.start + region.summit - start if region.summit >= 0 else -1
    return replace(region, start=start, end=end, summit=summit if 0 <= summit < length else -1)


def centred(region: Region, length: int) -> Region:
    """The interval of ``length`` bases around the middle of ``region``."""
    return resize(region, length)


def spliced_pieces(region: Region, length: int) -> tuple[list[Interval], int]:
    """Genome intervals, ascending, of the first ``length`` bases of a spliced region, and how many bases are missing.

    "First" is along ``strand``. The sequence is the pieces joined, reverse-complemented on ``-``, with the missing
    bases as N after that (the 3' end).
    """
    left = length
    pieces: list[Interval] = []
    minus = region.strand == "-"
    for start, end in reversed(region.blocks) if minus else region.blocks:
        size = min(end - start, left)
        if size > 0:
            pieces.append((end - size, end) if minus else (start, start + size))
        left -= size
    return (pieces[::-1] if minus else pieces), left


def merged(intervals: Iterable[Interval], *, touching: bool = True) -> Iterator[Interval]:
    """Union of intervals, ascending; with ``touching`` false, intervals that only touch stay apart."""
    current: Interval | None = None
    for start, end in sorted(intervals):
        if current is not None and (start < current[1] or (touching and start == current[1])):
            current = (current[0], max(current[1], end))
            continue
        if current is not None:
            yield current
        current = (start, end)
    if current is not None:
        yield current
