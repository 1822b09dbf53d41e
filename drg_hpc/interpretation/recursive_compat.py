"""Recursive seqlets as tangermeme 1.6.0 calls them, from counts that can be added over shards.

Positive seqlets only. What it does and :mod:`drg_hpc.interpretation.recursive` does not: the largest value alone has
the last bin (the bin width is the range over one less than the number of bins), nothing is clipped, spans of one length
go by their largest p-value over prefixes, and a span may be taken whose sum of attributions is negative. The null is
summed in tangermeme's order, so that p-values are the same to the last bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.interpretation.compiled import compiled
from drg_hpc.interpretation.null import Counts, Edges, Null
from drg_hpc.interpretation.recursive import RecursiveRule, decoded, frame, in_order


@compiled
def _bin(values: Any, low: Any, width: float, bins: int, out: Any) -> None:  # pragma: no cover - compiled
    for i in range(values.size):
        out[i] = np.int32(min(max(math.floor((values[i] - low) / width), 0), bins - 1))


@compiled
def _convolve(before: Any, share: Any, out: Any) -> None:  # pragma: no cover - compiled
    for i in range(before.size):
        for j in range(share.size):
            out[i + j] += before[i] * share[j]


def compat_edges(low: float, high: float, bins: int) -> Edges:
    """The range: exact extremes over all rows."""
    return Edges(low, high, bins) if low <= high else Edges(0.0, 0.0, bins)


def compat_binned(values: NDArray[Any], edges: Edges) -> NDArray[np.int32]:
    """Bin numbers; the difference to the least value is taken in the values' own precision, as tangermeme does."""
    flat = np.ascontiguousarray(values).reshape(-1)
    low, high = flat.dtype.type(edges.low), flat.dtype.type(edges.high)
    out = np.empty(flat.size, np.int32)
    _bin(flat, low, float(high - low) / (edges.bins - 1), edges.bins, out)
    return out.reshape(values.shape)


def compat_histogram(values: NDArray[Any], edges: Edges) -> Counts:
    """Counts (bins,) of a block of values."""
    if edges.constant:
        return np.zeros(edges.bins, np.int64)
    return np.bincount(compat_binned(values, edges).reshape(-1), minlength=edges.bins).astype(np.int64)


class CompatNull(Null):
    """P-values of span sums, summed in tangermeme's order and not capped at one."""

    def __init__(self, counts: Counts, *, max_length: int) -> None:
        share = counts.astype(np.float64) / max(int(counts.sum()), 1)
        self.tail = [np.ones(1)]
        density = share
        for length in range(1, max_length + 1):
            if length > 1:
                longer = np.zeros(density.size + share.size - 1)
                _convolve(density, share, longer)
                density = longer
            self.tail.append(np.cumsum(density[::-1])[::-1])


@dataclass(frozen=True)
class CompatCaller:
    """Calls seqlets of one track given its global edges and null."""

    rule: RecursiveRule
    edges: Edges
    null: CompatNull | None

    @classmethod
    def build(cls, rule: RecursiveRule, edges: Edges, counts: Counts) -> CompatCaller:
        """From the global histogram ``counts`` (bins,)."""
        return cls(rule, edges, None if edges.constant else CompatNull(counts, max_length=rule.max_length))

    def __call__(self, projected: NDArray[Any]) -> pd.DataFrame:
        """Seqlets of ``projected`` (rows, length), sorted by row and start."""
        if self.null is None:
            return frame([])
        values = np.ascontiguousarray(projected)
        cuts = self.null.cutoffs(self.rule.threshold)
        table = decoded(self.rule, values, compat_binned(values, self.edges), 1, self.null, cuts, compat=True)
        return in_order(table, values.shape[1])
