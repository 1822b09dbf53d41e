"""Compiled loops of the CPU kernels: poolings and sums over windows. See :mod:`.loops`."""

from __future__ import annotations

import numpy as np

from drg_hpc.attribution.incremental.loops import Flat, Ints, compiled, copy, part


@compiled
def _larger(o: Flat, x: Flat) -> None:
    for i in range(len(o)):
        v = x[i]
        o[i] = v if (v > o[i]) | (v != v) else o[i]  # a NaN, once there, stays


@compiled
def max_pool(value: Flat, ref: Flat, lo: Ints, offsets: Ints, lo_out: Ints, offsets_out: Ints, size: int,
             window: int, stride: int, pad: int, dilation: int, out: Flat) -> None:  # fmt: skip
    length = len(ref) // size
    for e in range(len(lo)):
        count = offsets[e + 1] - offsets[e]
        for row in range(offsets_out[e], offsets_out[e + 1]):
            start = (lo_out[e] + row - offsets_out[e]) * stride - pad
            o, begun = part(out, row * size, size), False
            for t in range(window):
                i = start + t * dilation
                if i < 0 or i >= length:
                    continue
                own = i - lo[e]
                x = part(value, (offsets[e] + own) * size, size) if 0 <= own < count else part(ref, i * size, size)
                if begun:
                    _larger(o, x)
                else:
                    copy(o, x)
                    begun = True
            if not begun:
                o[:] = -np.inf


@compiled
def pool_sum(delta: Flat, lo: Ints, offsets: Ints, lo_out: Ints, offsets_out: Ints, size: int, window: int,
             stride: int, pad: int, weight: Flat, out: Flat) -> None:  # fmt: skip
    for e in range(len(lo)):
        count = offsets[e + 1] - offsets[e]
        for row in range(offsets_out[e], offsets_out[e + 1]):
            q, o = lo_out[e] + row - offsets_out[e], part(out, row * size, size)
            first = q * stride - pad - lo[e]
            o[:] = 0
            for own in range(max(first, 0), min(first + window, count)):
                x = part(delta, (offsets[e] + own) * size, size)
                for i in range(size):
                    o[i] += x[i]
            factor = weight[q]
            for i in range(size):
                o[i] *= factor


@compiled
def segment_sum(rows: Flat, offsets: Ints, size: int, out: Flat) -> None:
    for e in range(len(offsets) - 1):
        o = part(out, e * size, size)
        o[:] = 0
        for row in range(offsets[e], offsets[e + 1]):
            x = part(rows, row * size, size)
            for i in range(size):
                o[i] += x[i]


@compiled
def segment_max(rows: Flat, offsets: Ints, size: int, out: Flat) -> None:
    for e in range(len(offsets) - 1):
        o = part(out, e * size, size)
        o[:] = -np.inf
        for row in range(offsets[e], offsets[e + 1]):
            _larger(o, part(rows, row * size, size))


@compiled
def place(ref: Flat, rows: Flat, lo: Ints, offsets: Ints, size: int, out: Flat) -> None:
    for e in range(len(lo)):
        o, n = part(out, e * len(ref), len(ref)), (offsets[e + 1] - offsets[e]) * size
        copy(o, ref)
        if n > 0:
            copy(part(o, lo[e] * size, n), part(rows, offsets[e] * size, n))


@compiled
def _pieces(q: int, window: int, length: int, lo: int, count: int) -> tuple[int, int, int, int]:
    """Of a block: first and last position of its own rows, and where the tables before and after are read (-1: not)."""
    begin, end = q * window, min((q + 1) * window, length)
    first, last = max(begin, lo), min(end, lo + count)
    if last <= first:
        return begin, begin, -1, begin
    return first, last, first if first > begin else -1, last if last < end else -1


@compiled
def count_edges(lo: Ints, offsets: Ints, lo_out: Ints, offsets_out: Ints, window: int, length: int) -> int:
    """Number of table entries that :func:`softmax_logits` needs."""
    n = 0
    for e in range(len(lo)):
        for j in range(offsets_out[e + 1] - offsets_out[e]):
            pieces = _pieces(lo_out[e] + j, window, length, lo[e], offsets[e + 1] - offsets[e])
            n += (pieces[2] >= 0) + (pieces[3] >= 0)
    return n


@compiled
def _less_top(o: Flat, x: Flat, top: Flat) -> None:
    for i in range(len(o)):
        o[i] = x[i] - top[i]


@compiled
def softmax_logits(a: Flat, before: Flat, after: Flat, lo: Ints, offsets: Ints, lo_out: Ints, offsets_out: Ints,
                   size: int, window: int, length: int, own: Flat, edges: Flat) -> None:  # fmt: skip
    """Logits minus the largest of their block: of all own rows, and of the table entries before and after them."""
    top, edge = np.empty(size, a.dtype), 0
    for e in range(len(lo)):
        move = offsets[e] - lo[e]
        for j in range(offsets_out[e + 1] - offsets_out[e]):
            pieces = _pieces(lo_out[e] + j, window, length, lo[e], offsets[e + 1] - offsets[e])
            top[:] = -np.inf
            if pieces[2] >= 0:
                _larger(top, part(before, pieces[2] * size, size))
            for i in range(pieces[0], pieces[1]):
                _larger(top, part(a, (move + i) * size, size))
            if pieces[3] >= 0:
                _larger(top, part(after, pieces[3] * size, size))
            if pieces[2] >= 0:
                _less_top(part(edges, edge * size, size), part(before, pieces[2] * size, size), top)
                edge += 1
            for i in range(pieces[0], pieces[1]):
                _less_top(part(own, (move + i) * size, size), part(a, (move + i) * size, size), top)
            if pieces[3] >= 0:
                _less_top(part(edges, edge * size, size), part(after, pieces[3] * size, size), top)
                edge += 1


@compiled
def _add_products(o: Flat, x: Flat, y: Flat) -> None:
    for i in range(len(o)):
        o[i] += x[i] * y[i]


@compiled
def softmax_sums(v: Flat, before: Flat, after: Flat, lo: Ints, offsets: Ints, lo_out: Ints, offsets_out: Ints,
                 size: int, window: int, length: int, own: Flat, edges: Flat, out: Flat) -> None:  # fmt: skip
    """Weighted means of blocks from the exponentials of :func:`softmax_logits`."""
    sums, edge, table = np.empty(size, v.dtype), 0, length * size
    for e in range(len(lo)):
        move = offsets[e] - lo[e]
        for row in range(offsets_out[e], offsets_out[e + 1]):
            q, o = lo_out[e] + row - offsets_out[e], part(out, row * size, size)
            pieces = _pieces(q, window, length, lo[e], offsets[e + 1] - offsets[e])
            sums[:] = 0
            o[:] = 0
            if pieces[2] >= 0:
                share, at = part(edges, edge * size, size), pieces[2] * size
                _add_products(sums, share, part(before, table + at, size))
                _add_products(o, share, part(before, 2 * table + at, size))
                edge += 1
            for i in range(pieces[0], pieces[1]):
                share = part(own, (move + i) * size, size)
                for c in range(size):
                    sums[c] += share[c]
                _add_products(o, share, part(v, (move + i) * size, size))
            if pieces[3] >= 0:
                share, at = part(edges, edge * size, size), pieces[3] * size
                _add_products(sums, share, part(after, table + at, size))
                _add_products(o, share, part(after, 2 * table + at, size))
                edge += 1
            for c in range(size):
                o[c] /= sums[c]
