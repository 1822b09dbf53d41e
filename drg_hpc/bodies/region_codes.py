"""Sequences of rows from a genome: flanks, strands, spliced transcripts and padding, in one place."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from drg_hpc.genome.onehot import UNKNOWN, reverse_complement
from drg_hpc.genome.regions import Region, spliced_pieces
from drg_hpc.store.dataset_layout import Input

Codes = NDArray[np.uint8]
Read = Callable[[str, int, int], Codes]
"""Base codes of ``chrom:start-end``; unknown off the ends of the contig."""


def read_codes(read: Read, regions: Sequence[Region], item: Input) -> Codes:
    """Base codes (n, ``item.stored``) of rows, read in genome order; rows that are not kept are all unknown."""
    out = np.full((len(regions), item.stored), UNKNOWN, np.uint8)
    for i in sorted(range(len(regions)), key=lambda i: (regions[i].chrom, regions[i].start)):
        if regions[i].kept:
            out[i] = row_codes(read, regions[i], item)
    return out


def row_codes(read: Read, region: Region, item: Input) -> Codes:
    """Base codes (``item.stored``,) of a row along its strand.

    A plain interval has ``item.flank`` bases more on either side. A spliced transcript is its blocks joined, the
    first ``item.length`` bases from the 5' end, with unknown bases after its 3' end and in its flanks.
    """
    minus = region.strand == "-"
    if not region.blocks:
        codes = read(region.chrom, region.start - item.flank, region.end + item.flank)
        return reverse_complement(codes) if minus else codes
    pieces, _ = spliced_pieces(region, item.length)
    joined = np.concatenate([read(region.chrom, start, end) for start, end in pieces])
    out = np.full(item.stored, UNKNOWN, np.uint8)
    out[item.flank : item.flank + len(joined)] = reverse_complement(joined) if minus else joined
    return out


def intervals_by_contig(flat: Mapping[str, array[int]]) -> dict[str, NDArray[np.int64]]:
    """Contig -> (n, 2) start and end, of contig -> starts and ends in turn."""
    return {chrom: np.array(values, np.int64).reshape(-1, 2) for chrom, values in flat.items()}
