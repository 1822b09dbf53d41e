"""Recursive seqlets: spans of which every part is significant, positive and negative ones.

The rule is that of tangermeme's ``recursive_seqlets`` (Schreiber 2025): the null of a span's sum is the convolution of
the distribution of single positions; a span is a seqlet when it and all its inner spans of at least ``min_length`` are
significant; longer ones are taken first. Chosen differently here, each for a reason:

- Negative seqlets are called on the bins counted from the other end, with their own null; a span whose own sum has the
  other sign is not taken (a null shifted to one side would otherwise make it "significantly less negative").
- Values beyond the ``clip`` quantile at either end count as that quantile, so that one outlier does not widen all bins.
- Among spans of one length the largest sum comes first (ties: the leftmost).
- ``min_length`` of 1 works, and the bins divide the range evenly.

``compat`` (:mod:`drg_hpc.interpretation.recursive_compat`) leaves all of this out and gives what tangermeme 1.6 gives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.errors import UsageError
from drg_hpc.interpretation.null import Counts, Edges, Float32, Null, binned
from drg_hpc.interpretation.spans import decode_rows

_BLOCK = 1 << 17  # values that are binned at a time
COLUMNS = ("row", "start", "end", "attribution", "p_value", "sign")
_KINDS = (np.int64, np.int64, np.int64, np.float64, np.float64, np.int8)


@dataclass(frozen=True)
class RecursiveRule:
    """Parameters of the rule.

    Parameters
    ----------
    threshold : a span is significant when its p-value is below this
    min_length, max_length : positions
    flank : positions added at both ends of a call (cut at the row's ends)
    bins : bins of the null's histogram
    clip : values beyond this quantile, and below one minus it, count as the quantile; not looked at with ``compat``
    compat : tangermeme 1.6 exactly
    """

    threshold: float = 0.01
    min_length: int = 4
    max_length: int = 25
    flank: int = 0
    bins: int = 1000
    clip: float = 0.9999
    compat: bool = False

    def longest(self, length: int) -> int:
        """The longest span that a row of ``length`` can hold, and no less than the shortest that is asked for."""
        return max(self.min_length, min(self.max_length, length))

    def check(self) -> None:
        """Raise :class:`UsageError` for values that make no sense together."""
        if not 0 < self.threshold < 1:
            raise UsageError(f"seqlet threshold {self.threshold} is not between 0 and 1")
        if not 1 <= self.min_length <= self.max_length:
            raise UsageError(f"seqlet lengths {self.min_length} to {self.max_length} are not a range")
        if self.bins < 2 or self.flank < 0 or not 0.5 < self.clip <= 1:
            what = f"bins {self.bins} (at least 2), flank {self.flank} (not negative), clip {self.clip} (0.5 to 1)"
            raise UsageError(f"seqlet settings out of range: {what}")


@dataclass(frozen=True)
class Caller:
    """Calls seqlets of one track given its global edges and nulls; used alike on arrays and on shards."""

    rule: RecursiveRule
    edges: Edges
    nulls: tuple[Null, Null] | None

    @classmethod
    def build(cls, rule: RecursiveRule, edges: Edges, counts: Counts, *, length: int) -> Caller:
        """From the global histogram ``counts`` (bins,), for rows of ``length``."""
        return cls(rule, edges, None if edges.constant else Null.both(counts, max_length=rule.longest(length)))

    def __call__(self, projected: Float32) -> pd.DataFrame:
        """Seqlets of ``projected`` (rows, length), sorted by row, start, end; columns :data:`COLUMNS`."""
        if self.nulls is None:
            return frame([])
        return decoded(self.rule, np.ascontiguousarray(projected, dtype=np.float32), self.edges, binned, self.nulls)


def decoded(
    rule: RecursiveRule,
    values: NDArray[Any],
    edges: Edges,
    bin_values: Callable[[NDArray[Any], Edges], NDArray[np.int32]],
    nulls: Sequence[Null],
) -> pd.DataFrame:
    """Seqlets of ``values`` (rows, length), sorted by row, start, end.

    Parameters
    ----------
    bin_values : puts values into bins
    nulls : of the positive seqlets, and of the negative ones; the first alone: order and choice of tangermeme
    """
    compat, length = len(nulls) == 1, values.shape[1]
    tail, offsets = nulls[0].flat() if compat else (np.empty(0), np.zeros(1, np.int64))
    cuts = np.stack([null.cutoffs(rule.threshold) for null in nulls])
    block = max(1, _BLOCK // max(length, 1))
    room = len(nulls) * block * (length // rule.min_length) + 1
    found, sums = np.empty((5, room), np.int64), np.empty(room)
    pieces, attributions = [found[:, :0]], [sums[:0]]
    for first in range(0, len(values), block):
        part = values[first : first + block]
        count = decode_rows(
            bin_values(part, edges), part, edges.bins - 1, cuts, rule.min_length, rule.flank, tail, offsets, found, sums
        )
        found[0, :count] += first
        pieces.append(found[:, :count].copy())
        attributions.append(sums[:count].copy())
    rows, starts, ends, totals, signs = np.concatenate(pieces, axis=1)
    p_values = np.empty(len(rows))
    for sign, null in zip((1, -1), nulls, strict=False):
        here = signs == sign
        p_values[here] = null.p_values((ends - starts)[here], totals[here])
    begin, stop = np.maximum(starts - rule.flank, 0), np.minimum(ends + rule.flank, length)
    return in_order(frame([rows, begin, stop, np.concatenate(attributions), p_values, signs]), length)


def in_order(table: pd.DataFrame, length: int) -> pd.DataFrame:
    """The table of rows of ``length`` positions by row, start, end and attribution."""
    row, start, end = (table[name].to_numpy() for name in ("row", "start", "end"))
    place = (row * (length + 1) + start) * (length + 1) + end
    order = np.argsort(place, kind="stable")
    if (np.diff(place[order]) == 0).any():  # flanks can make calls of both signs the same span
        order = np.lexsort((table["attribution"].to_numpy(), place))
    return table.take(order).reset_index(drop=True)


def frame(columns: list[NDArray[Any]]) -> pd.DataFrame:
    """A table of seqlets with :data:`COLUMNS`, or an empty one."""
    arrays = columns or [np.zeros(0)] * len(COLUMNS)
    return pd.DataFrame({name: np.asarray(a, kind) for name, a, kind in zip(COLUMNS, arrays, _KINDS, strict=True)})
