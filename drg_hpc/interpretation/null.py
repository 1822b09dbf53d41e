"""The null distribution of recursive seqlets, from counts that can be added over shards.

Two passes give the same answer for any sharding, because every shared number is an integer count or an exact extreme:
:func:`survey` finds the scale, :func:`histogram` counts positions per bin, and :class:`Null` turns the counts into
p-values of span sums. Spans are summed in bins as well, so observed sums and null sums lie on the same lattice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.interpretation.compiled import compiled

_KEYS = 1 << 16
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
    if flat.size == 0:
        return empty_survey()
    low, high = float(flat.min()), float(flat.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(
            "attributions hold NaN or infinite values", fix="look at the model's outputs; run drg-attr again"
        )
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
def _bin_values(values: Any, low: float, high: float, bins: int, sign: int, out: Any) -> None:  # pragma: no cover
    scale = bins / (high - low)
    for i in range(values.size):
        value = np.float64(values[i])
        position = (value - low) * scale if sign > 0 else (high - value) * scale
        if position >= bins:
            out[i] = bins - 1
        elif position > 0:
            out[i] = np.int32(position)
        else:
            out[i] = 0


@compiled
def _count_bins(values: Any, low: float, high: float, bins: int, counts: Any) -> None:  # pragma: no cover - compiled
    scale = bins / (high - low)
    for i in range(values.size):
        value = np.float64(values[i])
        counts[0, np.int64(min(max((value - low) * scale, 0.0), bins - 1.0))] += 1
        counts[1, np.int64(min(max((high - value) * scale, 0.0), bins - 1.0))] += 1


def binned(values: Float32, edges: Edges, sign: int) -> NDArray[np.int32]:
    """Bin numbers 0..bins-1 of ``sign * values``, same shape."""
    flat = np.ascontiguousarray(values, dtype=np.float32).reshape(-1)
    out = np.empty(flat.size, np.int32)
    _bin_values(flat, edges.low, edges.high, edges.bins, sign, out)
    return out.reshape(values.shape)


def histogram(values: Float32, edges: Edges) -> Counts:
    """Second pass: counts (2, bins) of the positive and of the negated values."""
    if edges.constant:
        return np.zeros((2, edges.bins), np.int64)
    counts = np.zeros((2, edges.bins), np.int64)
    _count_bins(np.ascontiguousarray(values, dtype=np.float32).reshape(-1), edges.low, edges.high, edges.bins, counts)
    return counts


class Null:
    """P-values of span sums for one sign, positions drawn independently from the global histogram.

    Parameters
    ----------
    counts : (bins,) positions per bin
    max_length : longest span

    Attributes
    ----------
    tail : ``tail[n][s]`` is the chance that ``n`` positions sum to ``s`` or more (in bins); row 0 is unused
    """

    def __init__(self, counts: Counts, *, max_length: int) -> None:
        share = counts / max(int(counts.sum()), 1)
        self.tail: list[NDArray[np.float64]] = [np.ones(1)]
        density = np.ones(1)
        for _ in range(max_length):
            density = np.convolve(density, share)
            # Cumulated from the top, so that small p-values keep their relative accuracy.
            self.tail.append(np.minimum(np.cumsum(density[::-1])[::-1], 1.0))

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
        offsets = np.cumsum([0, *(len(tail) for tail in self.tail[:-1])])
        return np.concatenate(self.tail), offsets.astype(np.int64)
