"""Recursive seqlets with cut-offs of each sequence's own: quantiles of span sums in attributions of its shuffles.

A span of n positions is significant when its p-value is below the threshold, the p-value being (1 + spans of n
positions in the shuffles of the same sequence with a sum as large or larger) / (1 + all spans of n positions in them);
sums are of attributions, not of bins. The rest is the rule of :mod:`drg_hpc.interpretation.recursive`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.compiled import compiled
from drg_hpc.errors import InputError
from drg_hpc.interpretation.recursive import RecursiveRule, frame
from drg_hpc.interpretation.spans import decode_row, span_sums

Float32 = NDArray[np.float32]


@compiled
def _all_sums(shuffles: Any, sign: int, n: int, out: Any) -> None:  # pragma: no cover - compiled
    """Sums of all spans of ``n`` positions, times ``sign``; ``out`` is filled."""
    at = 0
    for row in range(shuffles.shape[0]):
        total = 0.0
        before = np.zeros(shuffles.shape[1] + 1)
        for i in range(shuffles.shape[1]):
            total += sign * np.float64(shuffles[row, i])
            before[i + 1] = total
        for i in range(shuffles.shape[1] - n + 1):
            out[at] = before[i + n] - before[i]
            at += 1


@compiled
def _cutoffs(shuffles: Any, sign: int, min_length: int, allowed: Any, cuts: Any) -> None:  # pragma: no cover - compiled
    """Smallest significant sum by length: above all but ``allowed[n]`` of the null's."""
    for n in range(min_length, cuts.size):
        sums = np.empty(shuffles.shape[0] * (shuffles.shape[1] - n + 1))
        _all_sums(shuffles, sign, n, sums)
        at = sums.size - 1 - allowed[n]
        cuts[n] = np.nextafter(np.partition(sums, at)[at], np.inf)


@compiled
def _row(
    values: Any, sign: int, cuts: Any, min_length: int, starts: Any, ends: Any
) -> int:  # pragma: no cover - compiled
    length = values.size
    sums = np.zeros(length + 1)
    for i in range(length):
        sums[i + 1] = sums[i] + sign * np.float64(values[i])
    levels = cuts.size - min_length
    spans, worst = np.empty((levels, length + 1), np.int32), np.empty((levels, length + 1))
    return decode_row(
        values, sums, sign, cuts, min_length, np.empty(0), np.zeros(1, np.int64), spans, worst,
        np.zeros(levels, np.int64), np.zeros(length, np.bool_), np.empty(length + 1), np.empty(length + 1, np.int64),
        np.empty(length + 1, np.int64), starts, ends,
    )  # fmt: skip


def _p_values(shuffles: Float32, sign: int, values: Float32, starts: Any, ends: Any) -> NDArray[np.float64]:
    """Chances of the spans found in one row."""
    out = np.empty(len(starts))
    lengths = ends - starts
    totals = np.cumsum(np.concatenate([[0.0], sign * values.astype(np.float64)]))
    for n in np.unique(lengths):
        sums = np.empty(len(shuffles) * (shuffles.shape[1] - n + 1))
        _all_sums(shuffles, sign, int(n), sums)
        sums.sort()
        here = lengths == n
        larger = len(sums) - np.searchsorted(sums, totals[ends[here]] - totals[starts[here]], side="left")
        out[here] = (1 + larger) / (1 + len(sums))
    return out


def _allowed(rule: RecursiveRule, longest: int, length: int, copies: int, name: str) -> NDArray[np.int64]:
    """How many spans of a null may be as large as a significant one, by length.

    Raises
    ------
    InputError : too few shuffles for the threshold
    """
    out = np.zeros(longest + 1, np.int64)
    for n in range(rule.min_length, longest + 1):
        spans = copies * (length - n + 1)
        out[n] = math.ceil(rule.threshold * (1 + spans) - 1e-9) - 2
        if out[n] < 0:
            least = f"its smallest p-value is {1 / (1 + spans):.2g}, --threshold is {rule.threshold:g}"
            what = f"row {name} has {spans} spans of {n} positions in {copies} shuffle{'s'[: copies > 1]}: {least}"
            raise InputError(what, fix="make more shuffles of each sequence, or raise --threshold")
    return out


def call_against_shuffles(
    rule: RecursiveRule, projected: Float32, shuffles: Sequence[Float32], names: Sequence[str]
) -> pd.DataFrame:
    """Seqlets of one track, sorted by row, start, end.

    Parameters
    ----------
    projected : (rows, L)
    shuffles : for every row (copies, L), attributions of its shuffles
    names : of the rows, for messages

    Raises
    ------
    InputError : a row has too few shuffles
    """
    values = np.ascontiguousarray(projected, dtype=np.float32)
    length = values.shape[1]
    longest = min(rule.max_length, length)
    room = length // rule.min_length + 1
    starts, ends = np.empty(room, np.int64), np.empty(room, np.int64)
    found = [frame([])]
    for row, (null, name) in enumerate(zip(shuffles, names, strict=True)):
        allowed = _allowed(rule, longest, length, len(null), name)
        for sign in (1, -1):
            cuts = np.full(longest + 1, np.inf)
            _cutoffs(null, sign, rule.min_length, allowed, cuts)
            count = _row(values[row], sign, cuts, rule.min_length, starts, ends)
            first, last = starts[:count].copy(), ends[:count].copy()
            p_values = _p_values(null, sign, values[row], first, last)
            begin, stop = np.maximum(first - rule.flank, 0), np.minimum(last + rule.flank, length)
            rows = np.full(count, row)
            found.append(
                frame([rows, begin, stop, span_sums(values, rows, begin, stop), p_values, np.full(count, sign)])
            )
    table = pd.concat(found, ignore_index=True)
    return table.sort_values(["row", "start", "end", "attribution"], kind="stable", ignore_index=True)
