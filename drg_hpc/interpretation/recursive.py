"""Recursive seqlets: spans of which every part is significant, positive and negative ones.

The rule is that of tangermeme's ``recursive_seqlets`` (Schreiber 2025): the null of a span's sum is the convolution of
the distribution of single positions; a span is a seqlet when it and all its inner spans of at least ``min_length`` are
significant; longer ones are taken first. Chosen differently here, each for a reason:

- Negative seqlets are called on the negated values with their own null; a span whose own sum has the other sign is
  not taken (a null shifted to one side would otherwise make it "significantly less negative").
- The last base may belong to a seqlet and the last ``min_length - 1`` starts are handled like all others.
- Observed sums are sums of bins, like those of the null; flooring a real-valued sum once against a null of
  per-position floors is slightly anti-conservative.
- Values beyond the ``clip`` quantile at either end count as that quantile, so that one outlier does not widen all bins.
- Constant input has no seqlets.
- Among spans of one length the largest sum comes first (ties: the leftmost), and ``p_value`` is the span's own.
- ``min_length`` of 1 works.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.errors import UsageError
from drg_hpc.interpretation.compiled import compiled
from drg_hpc.interpretation.null import Counts, Edges, Float32, Null, binned, clipped_edges, histogram, survey

COLUMNS = ("row", "start", "end", "attribution", "p_value")


@dataclass(frozen=True)
class RecursiveRule:
    """Parameters of the rule; see ``drg-seqlets --help`` for their meaning."""

    threshold: float = 0.01
    min_length: int = 4
    max_length: int = 25
    flank: int = 0
    bins: int = 1000
    clip: float = 0.9999

    def check(self) -> None:
        """Raise :class:`UsageError` for values that make no sense together."""
        if not 0 < self.threshold < 1:
            raise UsageError(f"seqlet threshold {self.threshold} is not between 0 and 1")
        if not 1 <= self.min_length <= self.max_length:
            raise UsageError(f"seqlet lengths {self.min_length} to {self.max_length} are not a range")
        if self.bins < 2 or self.flank < 0 or not 0.5 < self.clip <= 1:
            what = f"bins {self.bins} (at least 2), flank {self.flank} (not negative), clip {self.clip} (0.5 to 1)"
            raise UsageError(f"seqlet settings out of range: {what}")


@compiled
def _call_row(
    bins: Any, values: Any, sign: int, cuts: Any, min_length: int, good: Any, sums: Any, starts: Any, ends: Any
) -> int:  # pragma: no cover - compiled
    """Seqlets of one row: fills ``starts`` and ``ends``, returns their number.

    ``good[n - min_length, k]``: the span of length n at k and all inner spans of at least min_length are significant,
    which holds when it is significant itself and both spans one shorter are good. ``sums`` holds prefix sums of bins.
    """
    length = bins.size
    longest = min(cuts.size - 1, length)
    sums[0] = 0
    for i in range(length):
        sums[i + 1] = sums[i] + bins[i]
    top = min_length - 1
    for n in range(min_length, longest + 1):
        level = n - min_length
        alive = 0
        for k in range(length - n + 1):
            inside = level == 0 or (good[level - 1, k] and good[level - 1, k + 1])
            good[level, k] = inside and sums[k + n] - sums[k] >= cuts[n]
            alive += good[level, k]
        if alive == 0:
            break
        top = n
    found = 0
    for n in range(top, min_length - 1, -1):
        level = n - min_length
        while True:
            best = -1
            for k in range(length - n + 1):
                if good[level, k] and (best < 0 or sums[k + n] - sums[k] > sums[best + n] - sums[best]):
                    best = k
            if best < 0:
                break
            total = 0.0
            for i in range(best, best + n):
                total += values[i]
            if total * sign <= 0:
                good[level, best] = False
                continue
            starts[found], ends[found] = best, best + n
            found += 1
            for m in range(min_length, n + 1):  # no later seqlet may overlap this one
                for k in range(max(best - m + 1, 0), min(best + n, length - m + 1)):
                    good[m - min_length, k] = False
    return found


@compiled
def _call_rows(
    bins: Any, values: Any, sign: int, cuts: Any, min_length: int, rows: Any, starts: Any, ends: Any, totals: Any
) -> int:  # pragma: no cover - compiled
    """All rows: fills row, start, end and sum of bins of every seqlet, returns their number."""
    n_rows, length = bins.shape
    good = np.zeros((cuts.size - min_length, length), np.bool_)
    sums = np.zeros(length + 1, np.int64)
    found = 0
    for row in range(n_rows):
        count = _call_row(bins[row], values[row], sign, cuts, min_length, good, sums, starts[found:], ends[found:])
        for i in range(found, found + count):
            rows[i] = row
            totals[i] = sums[ends[i]] - sums[starts[i]]
        found += count
    return found


@compiled
def _span_sums(values: Any, rows: Any, starts: Any, ends: Any) -> Any:  # pragma: no cover - compiled
    """Sums of ``values[row, start:end]`` in double precision."""
    out = np.zeros(rows.size)
    for i in range(rows.size):
        for k in range(starts[i], ends[i]):
            out[i] += values[rows[i], k]
    return out


@dataclass(frozen=True)
class Caller:
    """Calls seqlets of one track given its global edges and nulls; used alike on arrays and on shards."""

    rule: RecursiveRule
    edges: Edges
    nulls: tuple[Null, Null] | None

    @classmethod
    def build(cls, rule: RecursiveRule, edges: Edges, counts: Counts) -> Caller:
        """From the global histogram ``counts`` (2, bins)."""
        if edges.constant:
            return cls(rule, edges, None)
        positive, negative = (Null(counts[i], max_length=rule.max_length) for i in (0, 1))
        return cls(rule, edges, (positive, negative))

    def __call__(self, projected: Float32) -> pd.DataFrame:
        """Seqlets of ``projected`` (rows, length), sorted by row, start, end; columns as :func:`call_seqlets`."""
        if self.nulls is None:
            return _frame([])
        frames = [self._one_sign(projected, sign, null) for sign, null in zip((1, -1), self.nulls, strict=True)]
        table = pd.concat(frames, ignore_index=True)
        return table.sort_values(["row", "start", "end", "attribution"], kind="stable", ignore_index=True)

    def _one_sign(self, projected: Float32, sign: int, null: Null) -> pd.DataFrame:
        rule = self.rule
        values = np.ascontiguousarray(projected, dtype=np.float32)
        bins = binned(values, self.edges, sign)
        room = values.shape[0] * (values.shape[1] // rule.min_length) + 1
        rows, starts, ends, totals = (np.zeros(room, np.int64) for _ in range(4))
        cuts = null.cutoffs(rule.threshold)
        found = _call_rows(bins, values, sign, cuts, rule.min_length, rows, starts, ends, totals)
        p_values = null.p_values(ends[:found] - starts[:found], totals[:found])
        begin = np.maximum(starts[:found] - rule.flank, 0)
        stop = np.minimum(ends[:found] + rule.flank, values.shape[1])
        attribution = _span_sums(values, rows[:found], begin, stop)
        return _frame([rows[:found], begin, stop, attribution, p_values])


def _frame(columns: list[NDArray[Any]]) -> pd.DataFrame:
    kinds = (np.int64, np.int64, np.int64, np.float64, np.float64)
    arrays = columns or [np.zeros(0)] * len(COLUMNS)
    return pd.DataFrame({name: np.asarray(a, kind) for name, a, kind in zip(COLUMNS, arrays, kinds, strict=True)})


def call_seqlets(
    projected: Any,
    method: str = "recursive",
    *,
    threshold: float = 0.01,
    min_length: int = 4,
    max_length: int = 25,
    flank: int = 0,
    bins: int = 1000,
    clip: float = 0.9999,
) -> pd.DataFrame:
    """Seqlets of an attribution track in memory.

    Parameters
    ----------
    projected : (rows, length) contribution of the base that is there, at every position
    method : ``recursive``, see the module's text
    threshold : a span is significant when its p-value is below this
    min_length, max_length : positions
    flank : positions added at both ends of a call (cut at the row's ends)
    bins : bins of the null's histogram
    clip : values beyond this quantile, and below one minus it, count as the quantile

    Returns
    -------
    DataFrame with row, start, end (0-based, half-open), attribution (sum over the span, negative for negative
    seqlets) and p_value, sorted by row and start

    Raises
    ------
    UsageError : unknown method, bad parameter, or not a two-dimensional array
    InputError : NaN or infinite values
    """
    if method != "recursive":
        raise UsageError(f"unknown seqlet method {method!r}", fix="known: recursive")
    rule = RecursiveRule(threshold, min_length, max_length, flank, bins, clip)
    rule.check()
    values = np.ascontiguousarray(projected, dtype=np.float32)
    if values.ndim != 2:
        raise UsageError(f"call_seqlets wants a (rows, length) array, got shape {values.shape}")
    edges = clipped_edges(survey(values), clip=clip, bins=bins)
    return Caller.build(rule, edges, histogram(values, edges))(values)
