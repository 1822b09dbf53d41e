"""Motifs that share regions more or less often than chance: a permutation test that keeps both margins.

Chance means: every motif is in as many regions as it is, and every region holds as many motifs as it does. Regions rich
in motifs (strong peaks, long sequences) then raise no pair, and regions without motifs do not matter, so nothing has to
be known about them. Such matrices are drawn by trades between two random regions, which deal out anew the motifs that
only one of them has (the curveball chain: Strona et al. 2014, Nature Communications 5, 4114).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drg_hpc.compiled import compiled
from drg_hpc.interpretation.naming import benjamini_hochberg
from drg_hpc.rng import row_key

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
_BURN_IN = 10
"""Trades per region before the first draw, and one per region between draws."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of motifs ``first < second``, all that could be in one region.

    Parameters
    ----------
    both : regions that hold both
    expected, deviation : mean and standard deviation over the permutations
    together, apart : one-sided p-values, (1 + permutations at least as extreme) / (1 + permutations)
    q : Benjamini-Hochberg over all pairs of twice the smaller one
    """

    first: Int64
    second: Int64
    both: Int64
    expected: Float64
    deviation: Float64
    together: Float64
    apart: Float64
    q: Float64


def cooccurrence(motif: Int64, row: Int64, *, motifs: int, permutations: int, seed: int) -> Pairs:
    """Test all pairs of motifs.

    Parameters
    ----------
    motif, row : (n,) a motif is in a row; may be given more than once
    motifs : their number
    """
    code = np.unique(row * motifs + motif)
    _, degree = np.unique(code // motifs, return_counts=True)
    members = np.ascontiguousarray(code % motifs)
    ends = np.concatenate([[0], np.cumsum(degree)]).astype(np.int64)
    first, second = (index.astype(np.int64) for index in np.triu_indices(motifs, 1))
    observed = np.zeros((motifs, motifs), np.int64)
    _count(members, ends, observed)
    state = np.array([row_key(seed, 0, "cooccurrence")], np.uint64)
    sums = _permuted(members.copy(), ends, observed, permutations, state) if len(ends) > 2 else None
    both = observed[first, second]
    if sums is None:  # one region, or none: nothing can be permuted
        ones = np.ones(len(first))
        return Pairs(first, second, both, both.astype(np.float64), np.zeros(len(first)), ones, ones, ones)
    total, square, above, below = (part[first, second].astype(np.float64) for part in sums)
    expected = total / permutations
    deviation = np.sqrt(np.maximum(square / permutations - expected**2, 0.0))
    together, apart = (1 + above) / (1 + permutations), (1 + below) / (1 + permutations)
    q = benjamini_hochberg(np.minimum(2 * np.minimum(together, apart), 1.0))
    return Pairs(first, second, both, expected, deviation, together, apart, q)


@compiled
def _next(state: NDArray[np.uint64]) -> np.uint64:
    """The next word of splitmix64."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.uint64(z ^ (z >> np.uint64(31)))


@compiled
def draw_below(state: NDArray[np.uint64], limit: int) -> np.int64:
    """A random number from 0 to ``limit`` - 1, by multiplication (Lemire 2019, without its correction of 2^-32)."""
    return np.int64(((_next(state) >> np.uint64(32)) * np.uint64(limit)) >> np.uint64(32))


@compiled
def _count(members: Int64, ends: Int64, out: Int64) -> None:
    """Add the pairs of each region to ``out``, the smaller number first."""
    for region in range(len(ends) - 1):
        for i in range(ends[region], ends[region + 1]):
            for j in range(i + 1, ends[region + 1]):
                a, b = min(members[i], members[j]), max(members[i], members[j])
                out[a, b] += 1


@compiled
def _trade(members: Int64, ends: Int64, mark: Int64, pool: Int64, state: NDArray[np.uint64]) -> None:
    """Deal out anew what only one of two random regions holds; ``mark`` is all zero before and after."""
    regions = len(ends) - 1
    a = draw_below(state, regions)
    b = draw_below(state, regions - 1)
    if b >= a:
        b += 1
    for i in range(ends[a], ends[a + 1]):
        mark[members[i]] += 1
    for i in range(ends[b], ends[b + 1]):
        mark[members[i]] += 1
    size = 0
    for region in (a, b):
        for i in range(ends[region], ends[region + 1]):
            if mark[members[i]] == 1:
                pool[size] = members[i]
                size += 1
    for i in range(size - 1, 0, -1):
        j = draw_below(state, i + 1)
        pool[i], pool[j] = pool[j], pool[i]
    taken = 0
    for region in (a, b):
        for i in range(ends[region], ends[region + 1]):
            own = mark[members[i]]
            mark[members[i]] = 0 if own == 1 or region == b else own
            if own == 1:
                members[i] = pool[taken]
                taken += 1


@compiled
def _permuted(
    members: Int64, ends: Int64, observed: Int64, permutations: int, state: NDArray[np.uint64]
) -> tuple[Int64, Int64, Int64, Int64]:
    """Sums, sums of squares, and how often a permutation had at least, and at most, as many regions with both."""
    motifs, regions = observed.shape[0], len(ends) - 1
    total, square = np.zeros_like(observed), np.zeros_like(observed)
    above, below = np.zeros_like(observed), np.zeros_like(observed)
    mark, pool = np.zeros(motifs, np.int64), np.zeros(2 * motifs, np.int64)
    for _ in range(_BURN_IN * regions):
        _trade(members, ends, mark, pool, state)
    for _ in range(permutations):
        for _ in range(regions):
            _trade(members, ends, mark, pool, state)
        counts = np.zeros_like(observed)
        _count(members, ends, counts)
        for i in range(motifs):
            for j in range(i + 1, motifs):
                c = counts[i, j]
                total[i, j] += c
                square[i, j] += c * c
                above[i, j] += c >= observed[i, j]
                below[i, j] += c <= observed[i, j]
    return total, square, above, below
