"""Negatives from the genome: windows outside the given regions with the GC fraction of each of them.

Every positive gets its negatives on its own contig, so that a split by contigs holds for them too. Candidates are
windows side by side from the contig's start that overlap no given region and nothing of the blacklist. They fall into
bins of 1 % GC. A positive draws from its own bin, without replacement, then from the nearest bins outwards up to the
tolerance. Negatives never overlap one another.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drg_hpc.compiled import compiled
from drg_hpc.errors import UsageError
from drg_hpc.rng import row_keys

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

BINS = 101  # 0 % to 100 %
_BLOCK = 1 << 18  # a chunk of a genome store, so that each is decoded once
_SMALLEST_STRIDE = 64  # bounds the number of candidates of a contig for very short windows
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Matching:
    """What a negative must be like.

    Attributes
    ----------
    tolerance : largest difference of GC fractions between a positive and its negative
    unknown : largest fraction of a window that is N; GC fractions are over the known bases
    margin : bases that a window keeps from every given region
    """

    tolerance: float = 0.02
    unknown: float = 0.0
    margin: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.tolerance <= 1 and 0 <= self.unknown < 1 and self.margin >= 0):
            raise UsageError(
                f"GC matching with tolerance {self.tolerance}, N {self.unknown}, margin {self.margin}",
                fix="tolerance is 0 to 1, the fraction of N 0 to below 1, the margin at least 0",
            )


@dataclass(frozen=True)
class Matches:
    """Negatives of the positives of one contig.

    Attributes
    ----------
    starts : (positives, per_row), -1 where no window was left
    gc : (positives,) GC fraction of each positive, NaN without a known base
    matched_gc : (positives, per_row) of the negatives, NaN where there is none
    """

    starts: Ints
    gc: Floats
    matched_gc: Floats


@dataclass(frozen=True)
class _Counts:
    """Bases of intervals that are G or C, and that are known, (n,) each."""

    gc: NDArray[np.int32]
    known: NDArray[np.int32]

    @property
    def fraction(self) -> Floats:
        return np.where(self.known > 0, self.gc / np.maximum(self.known, 1), np.nan)

    @property
    def bins(self) -> Ints:
        return self.gc.astype(np.int64) * (BINS - 1) // np.maximum(self.known, 1)


def match_contig(
    read: Callable[[int, int], NDArray[np.uint8]],
    *,
    contig: str,
    size: int,
    starts: Ints,
    length: int,
    regions: Ints,
    blacklist: Ints | None = None,
    per_row: int,
    seed: int,
    matching: Matching = Matching(),
) -> Matches:
    """Draw the negatives of all positives of a contig.

    The answer depends on these arguments and the bases alone. Positives draw in a random order, all of them one
    negative before any draws its second, and in each of these rounds nearer bins are served first. The bases are
    read once, in blocks of 2^18; memory is some 60 bytes a candidate besides.

    Parameters
    ----------
    read : (start, end) -> base codes of the contig, 0 <= start < end <= size, such as
        ``functools.partial(genome.codes, contig)``
    contig : its name, part of the random streams
    size : its length
    starts : (positives,) first bases; a positive may reach over the contig's ends
    length : of every positive and negative
    regions : (m, 2) start and end of all regions on the contig, as they were given and as they are used
    blacklist : (k, 2) start and end of intervals where no negative may lie; the margin does not apply to it
    per_row : negatives of each positive
    """
    grid = np.arange(0, size - length + 1, max(length, _SMALLEST_STRIDE), dtype=np.int64)
    grid = grid[_clear(grid, length, regions, matching.margin)]
    if blacklist is not None:
        grid = grid[_clear(grid, length, blacklist, 0)]
    given, windows = _count(read, size, length, [np.asarray(starts, np.int64), grid])
    usable = (windows.known > 0) & (length - windows.known <= matching.unknown * length)
    grid, windows = grid[usable], _Counts(windows.gc[usable], windows.known[usable])
    order = np.argsort(row_keys(seed, range(len(starts)), f"gc-order:{contig}"), kind="stable")
    by_bin = np.lexsort((row_keys(seed, grid, f"gc:{contig}"), windows.bins))
    drawn = _draw(
        given.fraction, given.bins, order[given.known[order] > 0],
        windows.fraction[by_bin], np.searchsorted(windows.bins[by_bin], np.arange(BINS + 1)),
        per_row, matching.tolerance + _ROUNDING,
    )  # fmt: skip
    chosen = np.append(by_bin, -1)[drawn]
    # -1, no window, picks the value appended last
    return Matches(np.append(grid, -1)[chosen], given.fraction, np.append(windows.fraction, np.nan)[chosen])


def unmatched_reason(gc: float, contig: str, matching: Matching) -> str:
    """Why a negative has kept=false, for a positive of GC fraction ``gc`` (NaN: it has no known base)."""
    if np.isnan(gc):
        return "no known base to match GC with"
    return f"no window of GC {gc:.2f} +- {matching.tolerance:g} left on {contig}"


def _clear(grid: Ints, length: int, intervals: Ints, margin: int) -> NDArray[np.bool_]:
    """Which windows keep ``margin`` bases from all intervals."""
    intervals = np.asarray(intervals, np.int64).reshape(-1, 2)
    intervals = intervals[np.argsort(intervals[:, 0], kind="stable")]
    # Of the intervals that begin before a window's end, the one that reaches farthest decides.
    reach = np.append(np.iinfo(np.int64).min, np.maximum.accumulate(intervals[:, 1]))
    before = np.searchsorted(intervals[:, 0], grid + length + margin, side="left")
    clear: NDArray[np.bool_] = reach[before] + margin <= grid
    return clear


def _count(read: Callable[[int, int], NDArray[np.uint8]], size: int, length: int, wanted: list[Ints]) -> list[_Counts]:
    """Counts of the intervals of ``length`` that begin at each of ``wanted``, in one pass over the contig."""
    orders = [np.argsort(starts, kind="stable") for starts in wanted]
    begins = [starts[order] for starts, order in zip(wanted, orders, strict=True)]
    found = [_Counts(np.zeros(len(starts), np.int32), np.zeros(len(starts), np.int32)) for starts in wanted]
    gc, known = np.zeros(_BLOCK + 1, np.int32), np.zeros(_BLOCK + 1, np.int32)
    for start in range(0, size, _BLOCK):
        stop = min(start + _BLOCK, size)
        here = [slice(*np.searchsorted(b, (start - length + 1, stop))) for b in begins]
        if all(s.start == s.stop for s in here):
            continue
        _add_up(read(start, stop), gc, known)
        for counts, starts, part in zip(found, begins, here, strict=True):
            low = np.maximum(starts[part] - start, 0)
            high = np.minimum(starts[part] + length, stop) - start
            counts.gc[part] += gc[high] - gc[low]
            counts.known[part] += known[high] - known[low]
    for counts, order in zip(found, orders, strict=True):
        counts.gc[order], counts.known[order] = counts.gc.copy(), counts.known.copy()
    return found


@compiled
def _add_up(codes: NDArray[np.uint8], gc: NDArray[np.int32], known: NDArray[np.int32]) -> None:
    """Numbers of G and C, and of known bases, before each position of a block; position 0 has none."""
    for i in range(len(codes)):
        gc[i + 1] = gc[i] + (codes[i] == 1 or codes[i] == 2)
        known[i + 1] = known[i] + (codes[i] < 4)


@compiled
def _draw(gc: Floats, bins: Ints, order: Ints, window_gc: Floats, heads: Ints, per_row: int, tolerance: float) -> Ints:
    """Number of the window of every negative, (positives, per_row), -1 for none.

    Parameters
    ----------
    gc, bins : of the positives
    order : positives in the order in which they draw
    window_gc : of the windows, sorted by bin, in random order in each
    heads : (BINS + 1,) first window of each bin
    """
    chosen = np.full((len(gc), per_row), -1, np.int64)
    free = np.ones(len(window_gc), np.bool_)
    first = heads[:-1].copy()
    for copy in range(per_row):
        for distance in range(math.ceil(tolerance * (BINS - 1) - 1e-6) + 1):
            for row in order:
                up = 1 if gc[row] * (BINS - 1) - bins[row] >= 0.5 else -1  # the nearer side first
                for bin_ in (bins[row] + up * distance, bins[row] - up * distance):
                    if bin_ < 0 or bin_ >= BINS or chosen[row, copy] >= 0:
                        continue
                    while first[bin_] < heads[bin_ + 1] and not free[first[bin_]]:
                        first[bin_] += 1
                    for window in range(first[bin_], heads[bin_ + 1]):
                        if free[window] and abs(window_gc[window] - gc[row]) <= tolerance:
                            free[window] = False
                            chosen[row, copy] = window
                            break
    return chosen
