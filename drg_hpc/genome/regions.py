"""A region of a dataset: one row, before any sequence is read. Standard library only."""

from __future__ import annotations

import re
from dataclasses import dataclass

_HEADER = re.compile(r"(?:.*::)?(?P<chrom>[^\s:]+):(?P<start>\d+)-(?P<end>\d+)(?:\((?P<strand>[+-.])\))?")


@dataclass(frozen=True, slots=True)
class Region:
    """Interval ``chrom:start-end`` (0-based, half-open); ``strand`` is the strand of the stored sequence.

    ``chrom`` is empty when a sequence has a name only. ``kept`` is false, with a ``reason``, for regions that
    have no sequence.
    """

    chrom: str
    start: int
    end: int
    name: str
    strand: str = "+"
    kept: bool = True
    reason: str = ""


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


def centred(region: Region, length: int) -> Region:
    """The interval of ``length`` bases around the middle of ``region``."""
    start = (region.start + region.end) // 2 - length // 2
    return Region(region.chrom, start, start + length, region.name, region.strand, region.kept, region.reason)
