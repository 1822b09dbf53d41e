"""Order, orientation and spacing of pairs of motifs, by permutation tests.

Of each region that holds both motifs the strongest site of each counts (of a motif with itself the two strongest), so
that regions are independent of each other. The test deals the sites of the second motif out anew among these regions:
where motifs prefer parts of the region each by itself, that is kept, and only what they have to do with each other is
not. Pairs whose sites overlap are left out, of the data and of every permutation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drg_hpc.compiled import compiled
from drg_hpc.interpretation.cooccurrence import draw_below
from drg_hpc.interpretation.naming import benjamini_hochberg
from drg_hpc.interpretation.sites import Sites, strongest_sites
from drg_hpc.rng import row_generator, row_key

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
REACH = 150
"""Largest gap, in bases, of the histogram and of a preferred spacing."""
PEAK = 3
"""Neighbouring gaps that count as one preferred spacing."""
_LEAST = 20
_MOST = 5000
MEASURES = ("peak", "gap", "left", "downstream", "same_strand")
"""``peak``: share of the pairs in the most frequent arrangement (side and relative strand) and ``PEAK`` neighbouring
gaps; ``gap``: mean number of bases between the sites; ``left``: share with the second motif at larger positions of the
row; ``downstream``: share with it downstream of the first motif, in the direction of that; ``same_strand``: share on
the strand of the first motif."""


@dataclass(frozen=True)
class Spacing:
    """Pairs with at least 20 regions.

    Parameters
    ----------
    first, second : (n,) motifs, ``first <= second``
    regions : (n,) regions with both
    apart : (n,) of those that were tested (5,000 at most, a seeded draw), the ones in which the sites do not overlap
    measure, expected, p : (n, 5) of ``MEASURES``: value, mean over permutations, and p-value; one-sided for ``peak``,
        else two-sided about the mean
    q : (n, 5) Benjamini-Hochberg of p over the pairs, for each measure by itself
    peak_gap, peak_side, peak_strand : (n,) where the peak is: its middle gap in bases; 1 downstream of the first motif
        and -1 upstream; 1 for the same strand and -1 for the other
    histogram : (n, 2, 2, REACH + 1) pairs by side (upstream, downstream), strand (other, same) and gap
    """

    first: Int64
    second: Int64
    regions: Int64
    apart: Int64
    measure: Float64
    expected: Float64
    p: Float64
    q: Float64
    peak_gap: Int64
    peak_side: Int64
    peak_strand: Int64
    histogram: Int64


@dataclass(frozen=True)
class _Side:
    """Sites of one motif of a pair: twice the middle, and the strand; by region."""

    middle: Int64
    strand: Int64
    width: int


def spacing(sites: Sites, *, motifs: int, permutations: int, seed: int) -> Spacing:
    """Test all pairs, a motif with itself included.

    Parameters
    ----------
    sites : see :func:`~drg_hpc.interpretation.sites.sites_of`
    motifs : their number
    """
    ranked = [strongest_sites(sites, motif) for motif in range(motifs)]
    lines = []
    for first in range(motifs):
        for second in range(first, motifs):
            left, right = _shared(ranked[first], ranked[second], same=first == second)
            count = len(left.middle)
            if count < _LEAST:
                continue
            number = first * motifs + second
            if count > _MOST:
                chosen = np.sort(row_generator(seed, number, "spacing draw").permutation(count)[:_MOST])
                left, right = (_Side(one.middle[chosen], one.strand[chosen], one.width) for one in (left, right))
            state = np.array([row_key(seed, number, "spacing")], np.uint64)
            found = _test(left, right, permutations, state)
            if found is not None:
                lines.append((first, second, count, *found))
    return _gather(lines)


def _gather(lines: list[tuple[object, ...]]) -> Spacing:
    def column(i: int, shape: tuple[int, ...] = ()) -> Int64:
        return np.array([line[i] for line in lines], np.int64).reshape(len(lines), *shape)

    def measures(i: int) -> Float64:
        return np.array([line[i] for line in lines], np.float64).reshape(len(lines), len(MEASURES))

    gap, side, strand = column(7, (3,)).T.copy()
    p = measures(6)
    q = np.stack([benjamini_hochberg(own) for own in p.T], axis=1)
    return Spacing(
        first=column(0), second=column(1), regions=column(2), apart=column(3),
        measure=measures(4), expected=measures(5), p=p, q=q,
        peak_gap=gap, peak_side=side, peak_strand=strand, histogram=column(8, (2, 2, REACH + 1)),
    )  # fmt: skip


def _shared(first: Sites, second: Sites, *, same: bool) -> tuple[_Side, _Side]:
    """The strongest sites of both motifs in the regions that have both, by ascending row."""
    rows, at = np.unique(first.row, return_index=True)
    if same:
        other = at + 1
        more = (other < len(first.row)) & (first.row[np.minimum(other, max(len(first.row) - 1, 0))] == rows)
        return _side(first, at[more]), _side(first, other[more])
    others, there = np.unique(second.row, return_index=True)
    _, mine, theirs = np.intersect1d(rows, others, assume_unique=True, return_indices=True)
    return _side(first, at[mine]), _side(second, there[theirs])


def _side(sites: Sites, chosen: Int64) -> _Side:
    own = sites.take(chosen)
    width = int(own.end[0] - own.start[0]) if len(chosen) else 0
    return _Side(own.start + own.end, own.strand.astype(np.int64), width)


def _test(left: _Side, right: _Side, permutations: int, state: NDArray[np.uint64]) -> tuple[object, ...] | None:
    """``(pairs apart, measures, expected, p, (gap, side, strand) of the peak, histogram)``; None with too few apart."""
    reach = left.width + right.width
    order = np.arange(len(left.middle))
    sides = (left.middle, left.strand, right.middle, right.strand)
    histogram, observed, apart = _measure(*sides, order, reach)
    if apart < _LEAST:
        return None
    drawn = _permutations(*sides, reach, permutations, state)
    expected = drawn.mean(axis=0)
    away = np.abs(drawn - expected) >= np.abs(observed - expected) - 1e-9
    away[:, 0] = drawn[:, 0] >= observed[0] - 1e-9
    p = (1 + away.sum(axis=0)) / (1 + permutations)
    windows = np.lib.stride_tricks.sliding_window_view(histogram, PEAK, axis=2).sum(axis=3)
    side, strand, gap = np.unravel_index(int(windows.argmax()), windows.shape)
    peak = (int(gap) + PEAK // 2, 2 * int(side) - 1, 2 * int(strand) - 1)
    return apart, observed, expected, p, peak, histogram


@compiled
def _measure(
    middle: Int64, strand: Int64, other_middle: Int64, other_strand: Int64, order: Int64, reach: int
) -> tuple[Int64, Float64, int]:
    """Histogram, measures, and number of pairs apart; ``order`` says which site of the second motif a region gets."""
    histogram = np.zeros((2, 2, REACH + 1), np.int64)
    apart = left = downstream = same = total = 0
    for i in range(len(middle)):
        j = order[i]
        distance = other_middle[j] - middle[i]  # in half bases, as is the reach
        if abs(distance) < reach:
            continue
        gap = (abs(distance) - reach) // 2
        is_down = (distance > 0) == (strand[i] > 0)
        is_same = strand[i] == other_strand[j]
        apart += 1
        total += gap
        left += distance > 0
        downstream += is_down
        same += is_same
        if gap <= REACH:
            histogram[int(is_down), int(is_same), gap] += 1
    peak = 0
    for side in range(2):
        for turn in range(2):
            for gap in range(REACH + 2 - PEAK):
                near = 0
                for step in range(PEAK):
                    near += histogram[side, turn, gap + step]
                peak = max(peak, near)
    n = max(apart, 1)
    return histogram, np.array([peak / n, total / n, left / n, downstream / n, same / n]), apart


@compiled
def _permutations(
    middle: Int64, strand: Int64, other_middle: Int64, other_strand: Int64, reach: int, permutations: int,
    state: NDArray[np.uint64],
) -> Float64:  # fmt: skip
    """Measures (permutations, 5) with the sites of the second motif dealt out anew."""
    out = np.zeros((permutations, 5))
    order = np.arange(len(middle))
    for k in range(permutations):
        for i in range(len(order) - 1, 0, -1):
            j = draw_below(state, i + 1)
            order[i], order[j] = order[j], order[i]
        out[k] = _measure(middle, strand, other_middle, other_strand, order, reach)[1]
    return out
