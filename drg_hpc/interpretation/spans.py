"""The recursive rule on one row: spans of which every part is significant, longest first.

A span is good when it is significant and both spans one shorter inside it are good, so the good spans of one length are
found from those of the length before, and only they are kept. A span already called is at least as long as those that
still wait, so it overlaps one of them only where it covers one of its two ends.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from drg_hpc.compiled import compiled

_INSERTION = 48


@compiled
def _order(keys: Any, count: int, order: Any) -> None:  # pragma: no cover - compiled
    """Stable ascending order of ``keys[:count]``."""
    if count > _INSERTION:
        order[:count] = np.argsort(keys[:count], kind="mergesort")
        return
    for i in range(count):
        at = i
        while at > 0 and keys[order[at - 1]] > keys[i]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = i


@compiled
def _good_spans(
    sums: Any, cuts: Any, min_length: int, tail: Any, offsets: Any, spans: Any, worst: Any, counts: Any
) -> int:  # pragma: no cover - compiled
    """Starts of the good spans of every length; returns the number of lengths that have some.

    Where ``tail`` is not empty, ``worst`` gets each span's largest p-value over its prefixes.
    """
    length = sums.size - 1
    count, cut, level = 0, cuts[min_length], 0
    for k in range(length - min_length + 1):
        spans[0, count] = k
        if sums[k + min_length] - sums[k] >= cut:
            count += 1
    counts[0] = count
    if tail.size:
        for a in range(count):
            k = spans[0, a]
            worst[0, a] = tail[offsets[min_length] + np.int64(sums[k + min_length] - sums[k])]
    for n in range(min_length + 1, min(cuts.size - 1, length) + 1):
        if count == 0:
            break
        before, level, cut = count, n - min_length, cuts[n]
        count = 0
        for a in range(before - 1):
            k = spans[level - 1, a]
            if spans[level - 1, a + 1] == k + 1 and sums[k + n] - sums[k] >= cut:
                spans[level, count] = k
                if tail.size:
                    own = tail[offsets[n] + np.int64(sums[k + n] - sums[k])]
                    worst[level, count] = max(own, worst[level - 1, a])
                count += 1
        counts[level] = count
    return level + 1 if count else level


@compiled
def decode_row(
    values: Any, sums: Any, sign: int, cuts: Any, min_length: int, tail: Any, offsets: Any, spans: Any, worst: Any,
    counts: Any, called: Any, keys: Any, order: Any, waiting: Any, starts: Any, ends: Any,
) -> int:  # fmt: skip  # pragma: no cover - compiled
    """Seqlets of one row: fills ``starts`` and ``ends``, returns their number.

    Parameters
    ----------
    values : (L,) attributions
    sums : (L + 1,) prefix sums of what the null is about: bins, or the values themselves
    sign : 1 or -1; a span whose own sum of values has the other sign is not taken, 0: any is
    cuts : by length, the smallest sum that is significant
    tail, offsets : p-values by sum, of length n from ``offsets[n]`` on; empty: spans of one length go by their sum,
        else by their largest p-value over prefixes; ties go to the leftmost
    spans, worst, counts, called, keys, order, waiting : scratch; ``called`` (L,) is all zero before and after
    """
    found = 0
    for level in range(_good_spans(sums, cuts, min_length, tail, offsets, spans, worst, counts) - 1, -1, -1):
        n, count = level + min_length, 0
        for a in range(counts[level]):
            k = spans[level, a]
            if not (called[k] or called[k + n - 1]):
                waiting[count] = k
                keys[count] = worst[level, a] if tail.size else -np.float64(sums[k + n] - sums[k])
                count += 1
        _order(keys, count, order)
        for a in range(count):
            k = waiting[order[a]]
            if called[k] or called[k + n - 1]:
                continue
            total = 0.0
            for i in range(k, k + n):
                total += values[i]
            if sign != 0 and total * sign <= 0:
                continue
            called[k : k + n] = True
            starts[found], ends[found] = k, k + n
            found += 1
    for a in range(found):
        called[starts[a] : ends[a]] = False
    return found


@compiled
def decode_rows(
    bins: Any, values: Any, last: int, cuts: Any, min_length: int, flank: int, tail: Any, offsets: Any, out: Any,
    attributions: Any,
) -> int:  # fmt: skip  # pragma: no cover - compiled
    """All rows of binned values, positive seqlets and then negative ones: returns the number of seqlets.

    Parameters
    ----------
    bins, values : (rows, L)
    last : the last bin; negative seqlets are called on bins counted down from it
    cuts : (1 or 2, lengths) of the positive seqlets, and of the negative ones; the first alone: tangermeme's rule
    out : (5, room) gets row, start, end, sum of bins, sign
    attributions : (room,) gets the sum of values in double precision, with ``flank`` positions at both ends
    """
    n_rows, length = bins.shape
    levels = cuts.shape[1] - min_length
    spans, worst = np.empty((levels, length + 1), np.int32), np.empty((levels, length + 1))
    counts, called = np.zeros(levels, np.int64), np.zeros(length, np.bool_)
    keys, order, waiting = np.empty(length + 1), np.empty(length + 1, np.int64), np.empty(length + 1, np.int64)
    sums = np.zeros(length + 1, np.int64)
    found = 0
    for row in range(n_rows):
        for i in range(length):
            sums[i + 1] = sums[i] + bins[row, i]
        for which in range(cuts.shape[0]):
            if which:
                for i in range(length + 1):
                    sums[i] = i * last - sums[i]
            sign = 1 - 2 * which
            count = decode_row(
                values[row], sums, sign if cuts.shape[0] > 1 else 0, cuts[which], min_length, tail, offsets, spans,
                worst, counts, called, keys, order, waiting, out[1, found:], out[2, found:],
            )  # fmt: skip
            for i in range(found, found + count):
                out[0, i], out[4, i] = row, sign
                out[3, i] = sums[out[2, i]] - sums[out[1, i]]
                attributions[i] = 0.0
                for k in range(max(out[1, i] - flank, 0), min(out[2, i] + flank, length)):
                    attributions[i] += values[row, k]
            found += count
    return found


@compiled
def span_sums(values: Any, rows: Any, starts: Any, ends: Any) -> Any:  # pragma: no cover - compiled
    """Sums of ``values[row, start:end]`` in double precision."""
    out = np.zeros(rows.size)
    for i in range(rows.size):
        for k in range(starts[i], ends[i]):
            out[i] += values[rows[i], k]
    return out
