"""The null distribution of recursive seqlets, from counts that can be added over shards.

Two passes give the same answer for any sharding, because every shared number is an integer count or an exact extreme:
:func:`survey` finds the scale, :func:`histogram` counts positions per bin, and :class:`Null` turns the counts into
p-values of span sums. Spans are summed in bins as well, so observed sums and null sums lie on the same lattice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.compiled import compiled
from drg_hpc.errors import InputError

_KEYS = 1 << 16
_PIECE = 1 << 16
_OUTPUTS = 2048  # fit the cache with what they are made from
Float32 = NDArray[np.float32]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Survey:
    """What the first pass finds: exact extremes and a coarse histogram (65,536 bins, 1/128 relative width)."""

    low: float
    high: float
    keys: Counts

    def __add__(self, other: Survey) -> Survey:
        return Survey(min(self.low, other.low), max(self.high, other.high), self.keys + other.keys)


@dataclass(frozen=True)
class Edges:
    """The binned range; values beyond it count as its ends."""

    low: float
    high: float
    bins: int

    @property
    def constant(self) -> bool:
        """True when there is nothing to bin: all values equal, or no values at all."""
        return not self.high > self.low


@compiled
def _count_keys(values: Any, keys: Any) -> None:  # pragma: no cover - compiled
    for i in range(values.size):
        bits = np.int64(values[i])
        keys[(65535 - (bits >> 16)) if bits >= 2147483648 else ((bits >> 16) + 32768)] += 1


def empty_survey() -> Survey:
    """The survey of no values."""
    return Survey(math.inf, -math.inf, np.zeros(_KEYS, np.int64))


def extremes(values: NDArray[Any]) -> tuple[float, float]:
    """Least and largest value; infinity and its negative of no values.

    Raises
    ------
    InputError : a value is NaN or infinite
    """
    if values.size == 0:
        return math.inf, -math.inf
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(
            "attributions hold NaN or infinite values", fix="look at the model's outputs; run drg-attr again"
        )
    return low, high


def survey(values: Float32) -> Survey:
    """First pass over a block of projected attributions.

    Parameters
    ----------
    values : any shape, float32

    Raises
    ------
    InputError : a value is NaN or infinite
    """
    flat = np.ascontiguousarray(values, dtype=np.float32).reshape(-1)
    low, high = extremes(flat)
    keys = np.zeros(_KEYS, np.int64)
    _count_keys(flat.view(np.uint32), keys)
    return Survey(low, high, keys)


def _key_value(key: int, *, upper: bool) -> float:
    """The largest or smallest float32 of a coarse bin (bins follow the order of the numbers)."""
    bits = (65535 - key) << 16 if key < 32768 else (key - 32768) << 16
    if upper == (key >= 32768):
        bits |= 0xFFFF
    value = float(np.array([bits], np.uint32).view(np.float32)[0])
    if math.isnan(value):  # the bin that holds the largest numbers also holds the infinities
        value = math.inf
    return value


def clipped_edges(found: Survey, *, clip: float, bins: int) -> Edges:
    """The range to bin: from quantile 1 - ``clip`` to quantile ``clip``, but never wider than the data.

    Without clipping one outlier would widen all bins until the signal sits in one of them. The quantile is read off
    the coarse histogram (outer edge of its bin, so at most 1 % outside the true one) and so does not depend on how
    the rows were cut into shards.
    """
    total = int(found.keys.sum())
    if total == 0:
        return Edges(0.0, 0.0, bins)
    cumulated = np.cumsum(found.keys)
    outside = math.floor(total * (1.0 - clip) + 1e-9)
    top = int(np.searchsorted(cumulated, total - outside))
    bottom = int(np.searchsorted(cumulated, outside + 1))
    low = max(found.low, _key_value(bottom, upper=False))
    high = min(found.high, _key_value(top, upper=True))
    return Edges(low, high, bins)


@compiled
def _bin_values(values: Any, low: float, scale: float, last: float, out: Any) -> None:  # pragma: no cover - compiled
    for i in range(values.size):
        out[i] = np.int32(min(max((np.float64(values[i]) - low) * scale, 0.0), last))


def binned(values: Float32, edges: Edges) -> NDArray[np.int32]:
    """Bin numbers 0..bins-1, same shape; those of the negated values are these from ``bins - 1`` down."""
    flat = np.ascontiguousarray(values, dtype=np.float32).reshape(-1)
    out = np.empty(flat.size, np.int32)
    _bin_values(flat, edges.low, edges.bins / (edges.high - edges.low), edges.bins - 1.0, out)
    return out.reshape(values.shape)


@compiled
def _tally(places: Any, counts: Any) -> None:  # pragma: no cover - compiled
    """Adds to ``counts`` (2, bins) by turns, so that equal neighbours do not wait for each other."""
    for i in range(places.size):
        counts[i % 2, places[i]] += 1


def tally(values: NDArray[Any], edges: Edges, bin_values: Callable[[NDArray[Any], Edges], NDArray[np.int32]]) -> Counts:
    """Counts (bins,) of a block of values, as ``bin_values`` puts them into bins."""
    counts = np.zeros((2, edges.bins), np.int64)
    if not edges.constant:
        flat = np.ascontiguousarray(values).reshape(-1)
        for at in range(0, flat.size, _PIECE):
            _tally(bin_values(flat[at : at + _PIECE], edges), counts)
    return np.asarray(counts.sum(axis=0))


def histogram(values: Float32, edges: Edges) -> Counts:
    """Second pass: counts (bins,)."""
    return tally(values, edges, binned)


@compiled
def _convolve(before: Any, places: Any, shares: Any, out: Any) -> None:  # pragma: no cover - compiled
    """``out[s]``: sum of ``shares[t] * before[s - places[t]]``, from the largest place to the least.

    ``before`` has as many zeros at both ends as the largest place needs; four products are taken at a time.
    """
    margin = before.size - out.size
    for first in range(0, out.size, _OUTPUTS):
        sums, at = out[first : first + _OUTPUTS], margin + first
        for t in range(0, places.size, 4):
            if places[t + 3] >= first + sums.size or places[t] + before.size <= at + margin:
                continue  # nothing but zeros
            a, b, c, d = shares[t], shares[t + 1], shares[t + 2], shares[t + 3]
            p, q = before[at - places[t] :], before[at - places[t + 1] :]
            r, s = before[at - places[t + 2] :], before[at - places[t + 3] :]
            for i in range(sums.size):
                sums[i] = (((sums[i] + p[i] * a) + q[i] * b) + r[i] * c) + s[i] * d


def span_densities(counts: Counts, max_length: int) -> list[NDArray[np.float64]]:
    """Distributions of sums of 1 to ``max_length`` positions drawn independently from ``counts`` (bins,).

    Products are added from the least sum of the shorter span on, as tangermeme does, for the same last bit. Empty bins
    are left out: they would add zeros.
    """
    share = counts.astype(np.float64) / max(int(counts.sum()), 1)
    filled = np.flatnonzero(counts)[::-1]
    places = np.concatenate([filled, np.zeros(-len(filled) % 4, np.int64)])
    shares = np.concatenate([share[filled], np.zeros(len(places) - len(filled))])
    found = [share]
    for _ in range(max_length - 1):
        longer = np.zeros(len(found[-1]) + len(share) - 1)
        _convolve(np.pad(found[-1], len(share) - 1), places, shares, longer)
        found.append(longer)
    return found


class Null:
    """P-values of span sums for one sign, positions drawn independently from the global histogram.

    Parameters
    ----------
    densities : of sums of 1, 2, … positions, see :func:`span_densities`

    Attributes
    ----------
    tail : ``tail[n][s]`` is the chance that ``n`` positions sum to ``s`` or more (in bins); row 0 is unused
    """

    def __init__(self, densities: Sequence[NDArray[np.float64]], *, capped: bool = True) -> None:
        # Cumulated from the top, so that small p-values keep their relative accuracy.
        tails = [np.cumsum(density[::-1])[::-1] for density in densities]
        self.tail = [np.ones(1), *([np.minimum(tail, 1.0) for tail in tails] if capped else tails)]
        self._offsets = np.cumsum([0, *(len(tail) for tail in self.tail[:-1])])
        self._flat = np.concatenate(self.tail)

    @classmethod
    def both(cls, counts: Counts, *, max_length: int) -> tuple[Null, Null]:
        """Of the values and of the negated ones, whose bins are those of the values from the last one down."""
        densities = span_densities(counts, max_length)
        return cls(densities), cls([density[::-1] for density in densities])

    def cutoffs(self, threshold: float) -> NDArray[np.int64]:
        """Smallest sum (in bins) of each length that is significant; one more than possible where none is."""
        cuts = [len(tail) - int(np.searchsorted(tail[::-1], threshold, side="left")) for tail in self.tail]
        return np.array(cuts, np.int64)

    def p_values(self, lengths: Counts, totals: Counts) -> NDArray[np.float64]:
        """Chances of spans of ``lengths`` with sums of ``totals`` bins or more, elementwise."""
        tail, offsets = self.flat()
        return np.asarray(tail[offsets[lengths] + totals])

    def flat(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """All of ``tail`` end to end, and where each length begins."""
        return self._flat, self._offsets
