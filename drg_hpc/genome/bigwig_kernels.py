"""Compiled loops over the sections of bigWig data: from runs of equal values to sums per bin, no base pairs expanded.

A section is a header of six 32-bit words (contig, start, end, step, span, then type and number of items), then its
items: (start, end, value), (start, value) or (value). Layout: Kent et al. 2010, Bioinformatics 26:2204, supplement.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])

GOOD, CUT_OFF, OTHER_PLACE, UNKNOWN_TYPE, UNSORTED = range(5)
FAULTS = {
    CUT_OFF: "a block shorter than its items",
    OTHER_PLACE: "a block that lies elsewhere than the index says",
    UNKNOWN_TYPE: "a block of an unknown type",
    UNSORTED: "items that overlap or are out of order",
}

_HEAD = 6
_BED_GRAPH, _VAR_STEP = 1, 2


def _compiled(function: F) -> F:
    return cast(F, njit(cache=True, nogil=True)(function))


@_compiled
def _item(words: NDArray[np.uint32], at: int, width: int, i: int) -> tuple[np.int64, np.int64]:
    """Start and end of item ``i`` of the section whose header is at word ``at``."""
    if width == 1:
        start = np.int64(words[at + 1]) + i * np.int64(words[at + 3])
        return start, start + np.int64(words[at + 4])
    place = at + _HEAD + i * width
    start = np.int64(words[place])
    if width == 2:
        return start, start + np.int64(words[at + 4])
    return start, np.int64(words[place + 1])


@_compiled
def _first_beyond(words: NDArray[np.uint32], at: int, width: int, count: int, place: int) -> int:
    """Number of the first item that ends beyond ``place``."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if _item(words, at, width, middle)[1] > place:
            high = middle
        else:
            low = middle + 1
    return low


@_compiled
def _sorted_items(words: NDArray[np.uint32], at: int, width: int, count: int) -> bool:
    """Whether items follow each other without overlap."""
    if width == 1:
        return count < 2 or bool(words[at + 3] >= words[at + 4])
    reach = np.int64(0)
    for i in range(count):
        start, end = _item(words, at, width, i)
        if start < reach or end < start:
            return False
        reach = end
    return True


@_compiled
def _add_run(
    value: float,
    start: int,
    end: int,
    width: int,
    first_bin: int,
    sums: NDArray[np.float64],
    counts: NDArray[np.int64],
    largest: NDArray[np.float64],
) -> None:
    """Add a run of one value, ``start`` to ``end`` relative to the region, to the region's bins of ``width``."""
    for b in range(start // width, (end - 1) // width + 1):
        covered = min(end, (b + 1) * width) - max(start, b * width)
        sums[first_bin + b] += value * covered
        counts[first_bin + b] += covered
        if value > largest[first_bin + b]:
            largest[first_bin + b] = value


@_compiled
def _add_section(
    words: NDArray[np.uint32],
    values: NDArray[np.float32],
    at: int,
    width: int,
    count: int,
    region: NDArray[np.int64],
    sums: NDArray[np.float64],
    counts: NDArray[np.int64],
    largest: NDArray[np.float64],
) -> None:
    """Add the items of a section to one region (a row of ``regions``, see :func:`add_blocks`)."""
    origin, begin, stop, bin_width, first_bin = region[0], region[1], region[2], region[3], region[4]
    for i in range(_first_beyond(words, at, width, count, begin), count):
        start, end = _item(words, at, width, i)
        if start >= stop:
            break
        value = np.float64(values[at + _HEAD + (i + 1) * width - 1])
        if np.isfinite(value) and end > start:
            start, end = max(start, begin) - origin, min(end, stop) - origin
            _add_run(value, start, end, bin_width, first_bin, sums, counts, largest)


@_compiled
def add_blocks(
    words: NDArray[np.uint32],
    values: NDArray[np.float32],
    limits: NDArray[np.int64],
    bounds: NDArray[np.int64],
    big_endian: bool,
    reach: NDArray[np.int64],
    keys: NDArray[np.int64],
    regions: NDArray[np.int64],
    sums: NDArray[np.float64],
    counts: NDArray[np.int64],
    largest: NDArray[np.float64],
) -> tuple[int, int]:
    """Add data blocks, in genome order, to the bins of the regions they overlap.

    Parameters
    ----------
    words, values : the same bytes, inflated blocks one after another, as integers and as numbers
    limits : (blocks + 1,) word at which each block begins
    bounds : (blocks, 2) first place and the one after the last that the index gives each block, as keys
    reach : (1,) key of the end of the last item seen; kept from call to call
    keys : (2, regions) start of each region and the largest end up to it, as keys
        ``contig << 32 | position``; sorted
    regions : (regions, 5) origin (start of the first bin), start and end clipped to the contig, bin width, first bin
    sums, counts, largest : (bins,) sum and number of base pairs with a value, largest value; added to

    Returns
    -------
    fault, one of FAULTS or GOOD, and the number of the block
    """
    for block in range(len(bounds)):
        at, length = limits[block], limits[block + 1] - limits[block]
        if length < _HEAD:
            return CUT_OFF, block
        last = words[at + 5]
        kind = last >> np.uint32(24) if big_endian else last & np.uint32(255)
        count = int(np.int64(last & np.uint32(65535) if big_endian else last >> np.uint32(16)))
        if kind < 1 or kind > 3:
            return UNKNOWN_TYPE, block
        width = 3 if kind == _BED_GRAPH else (2 if kind == _VAR_STEP else 1)
        if _HEAD + count * width > length:
            return CUT_OFF, block
        if count == 0:
            continue
        base = np.int64(words[at]) << 32
        start, end = base + _item(words, at, width, 0)[0], base + _item(words, at, width, count - 1)[1]
        if start < bounds[block, 0] or end > bounds[block, 1]:
            return OTHER_PLACE, block
        if start < reach[0] or not _sorted_items(words, at, width, count):
            return UNSORTED, block
        reach[0] = end
        first = np.searchsorted(keys[1], start, side="right")
        for r in range(first, np.searchsorted(keys[0], end, side="left")):
            _add_section(words, values, at, width, count, regions[r], sums, counts, largest)
    return GOOD, 0


@_compiled
def medians(
    values: NDArray[np.float64], counts: NDArray[np.int64], edges: NDArray[np.int64], masked: bool
) -> NDArray[np.float64]:
    """Medians (n,) of base pairs between ``edges`` (n + 1,); those without a value are 0, or left out if ``masked``."""
    out = np.empty(len(edges) - 1)
    for b in range(len(out)):
        chosen = values[edges[b] : edges[b + 1]]
        if masked:
            chosen = chosen[counts[edges[b] : edges[b + 1]] > 0]
        out[b] = np.median(chosen) if len(chosen) else np.nan
    return out
