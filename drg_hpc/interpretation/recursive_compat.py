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

from drg_hpc.compiled import compiled
from drg_hpc.interpretation.null import Counts, Edges, Null, span_densities, tally
from drg_hpc.interpretation.recursive import RecursiveRule, decoded, frame


@compiled
def _bin(values: Any, low: Any, width: float, bins: int, out: Any) -> None:  # pragma: no cover - compiled
    for i in range(values.size):
        out[i] = np.int32(min(max(math.floor((values[i] - low) / width), 0), bins - 1))


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
    return tally(values, edges, compat_binned)


@dataclass(frozen=True)
class CompatCaller:
    """Calls seqlets of one track given its global edges and null."""

    rule: RecursiveRule
    edges: Edges
    null: Null | None

    @classmethod
    def build(cls, rule: RecursiveRule, edges: Edges, counts: Counts, *, length: int) -> CompatCaller:
        """From the global histogram ``counts`` (bins,), for rows of ``length``."""
        if edges.constant:
            return cls(rule, edges, None)
        return cls(rule, edges, Null(span_densities(counts, rule.longest(length)), capped=False))

    def __call__(self, projected: NDArray[Any]) -> pd.DataFrame:
        """Seqlets of ``projected`` (rows, length), sorted by row and start."""
        if self.null is None:
            return frame([])
        return decoded(self.rule, np.ascontiguousarray(projected), self.edges, compat_binned, (self.null,))
