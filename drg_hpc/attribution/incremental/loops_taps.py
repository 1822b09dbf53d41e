"""Compiled loops of the CPU kernels: sums of a convolution's products over its taps. See :mod:`.loops`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drg_hpc.attribution.incremental.loops import Flat, Ints, compiled, copy, part

_LONG = 3
"""Of a longer run of positions with the same taps, the sums are made in one loop over all."""


@compiled
def _run_first(rows: int, size: int, o: Flat, at: int, x: Flat, x_0: int, x_step: int,
               a: Flat, a_0: int, a_step: int, b: Flat, b_0: int, b_step: int,
               c: Flat, c_0: int, c_step: int, d: Flat, d_0: int, d_step: int,
               less: Flat, l_0: int, l_step: int, floor: float) -> None:  # fmt: skip
    """``max(floor, x + a + b + c + d) - less`` of some positions after each other; a NaN stays."""
    for _ in range(rows):
        u, s, w = part(o, at, size), part(x, x_0, size), part(less, l_0, size)
        p, q, r, t = part(a, a_0, size), part(b, b_0, size), part(c, c_0, size), part(d, d_0, size)
        for i in range(size):
            v = (((s[i] + p[i]) + q[i]) + r[i]) + t[i]
            u[i] = (floor if v < floor else v) - w[i]
        at, x_0, l_0 = at + size, x_0 + x_step, l_0 + l_step
        a_0, b_0, c_0, d_0 = a_0 + a_step, b_0 + b_step, c_0 + c_step, d_0 + d_step


@compiled
def _run_more(rows: int, size: int, o: Flat, at: int,
              a: Flat, a_0: int, a_step: int, b: Flat, b_0: int, b_step: int,
              c: Flat, c_0: int, c_step: int, d: Flat, d_0: int, d_step: int,
              less: Flat, l_0: int, l_step: int, floor: float) -> None:  # fmt: skip
    """:func:`_run_first` with what is there already for ``x``."""
    for _ in range(rows):
        u, w = part(o, at, size), part(less, l_0, size)
        p, q, r, t = part(a, a_0, size), part(b, b_0, size), part(c, c_0, size), part(d, d_0, size)
        for i in range(size):
            v = (((u[i] + p[i]) + q[i]) + r[i]) + t[i]
            u[i] = (floor if v < floor else v) - w[i]
        at, l_0 = at + size, l_0 + l_step
        a_0, b_0, c_0, d_0 = a_0 + a_step, b_0 + b_step, c_0 + c_step, d_0 + d_step


@compiled
def _run(rows: int, size: int, out: Flat, at: int, x: Flat, x_0: int, x_step: int, parts: Flat, places: Ints, n: int,
         step: int, less: Flat, l_0: int, l_step: int, floor: float, low: float, zeros: Flat) -> None:  # fmt: skip
    """Sums of a run of positions with the same taps: four taps for each pass; missing ones are zeros."""
    for j in range(0, max(n, 1), 4):
        a, a_0, a_step = (parts, places[j], step) if n > j else (zeros, 0, 0)
        b, b_0, b_step = (parts, places[j + 1], step) if n > j + 1 else (zeros, 0, 0)
        c, c_0, c_step = (parts, places[j + 2], step) if n > j + 2 else (zeros, 0, 0)
        d, d_0, d_step = (parts, places[j + 3], step) if n > j + 3 else (zeros, 0, 0)
        w, w_0, w_step, least = (less, l_0, l_step, floor) if n <= j + 4 else (zeros, 0, 0, low)
        if j == 0:
            _run_first(rows, size, out, at, x, x_0, x_step, a, a_0, a_step, b, b_0, b_step, c, c_0, c_step,
                       d, d_0, d_step, w, w_0, w_step, least)  # fmt: skip
        else:
            _run_more(rows, size, out, at, a, a_0, a_step, b, b_0, b_step, c, c_0, c_step, d, d_0, d_step,
                      w, w_0, w_step, least)  # fmt: skip


@compiled
def _one_first(o: Flat, x: Flat, parts: Flat, places: Ints, n: int) -> int:
    """``x`` and the first taps; how many."""
    size = len(o)
    if n == 0:
        copy(o, x)
        return 0
    if n == 1:
        a = part(parts, places[0], size)
        for i in range(size):
            o[i] = x[i] + a[i]
        return 1
    a, b = part(parts, places[0], size), part(parts, places[1], size)
    for i in range(size):
        o[i] = (x[i] + a[i]) + b[i]
    return 2


@compiled
def _one_more(o: Flat, parts: Flat, places: Ints, j: int, n: int) -> None:
    """The taps from the ``j``-th on."""
    size = len(o)
    while j + 4 <= n:
        a, b = part(parts, places[j], size), part(parts, places[j + 1], size)
        c, d = part(parts, places[j + 2], size), part(parts, places[j + 3], size)
        for i in range(size):
            o[i] = (((o[i] + a[i]) + b[i]) + c[i]) + d[i]
        j += 4
    while j < n:
        a = part(parts, places[j], size)
        for i in range(size):
            o[i] += a[i]
        j += 1


@compiled
def _finish(o: Flat, floor: float, less: Flat) -> None:
    for i in range(len(o)):
        v = o[i]
        o[i] = (floor if v < floor else v) - less[i]


@compiled
def _places(q: int, shifts: Ints, stride: int, up: int, first: int, count: int, row_0: int,
            which: NDArray[np.int32], by_table: bool, size: int, places: Ints) -> tuple[int, int]:  # fmt: skip
    """Where the products are that a position sums, in the order of taps.

    Returns
    -------
    their number; and for how many positions from here on there are the same taps, one row further each
    """
    n, taps, run = 0, len(shifts), 1 << 40
    for k in range(taps):
        i = q * stride - shifts[k]
        if up != 1:
            if i % up != 0:
                continue
            i //= up
        i -= first
        if i < 0:
            run = min(run, -i)
        elif i < count:
            run = min(run, count - i)
            row = which[row_0 + i] if by_table else row_0 + i
            places[n] = (row * taps + k) * size
            n += 1
    return n, 1 if by_table or stride != 1 or up != 1 else run


@compiled
def taps(parts: Flat, which: NDArray[np.int32], by_table: bool, lo: Ints, offsets: Ints, lo_out: Ints,
         offsets_out: Ints, shifts: Ints, stride: int, up: int, size: int, base: Flat, has_base: bool, relu: bool,
         less: Flat, has_less: bool, out: Flat) -> None:  # fmt: skip
    places, zeros = np.empty(len(shifts) + 4, np.int64), np.zeros(size, out.dtype)
    low = out.dtype.type(-np.inf)
    floor = out.dtype.type(0) if relu else low
    x, x_step = (base, size) if has_base else (zeros, 0)
    minus, l_step = (less, size) if has_less else (zeros, 0)
    for e in range(len(lo)):
        q, row, end = lo_out[e], offsets_out[e], offsets_out[e + 1]
        count = offsets[e + 1] - offsets[e]
        while row < end:
            n, run = _places(q, shifts, stride, up, lo[e], count, offsets[e], which, by_table, size, places)
            if run > _LONG:
                run = min(run, end - row)
                _run(run, size, out, row * size, x, q * x_step, x_step, parts, places, n, len(shifts) * size,
                     minus, q * l_step, l_step, floor, low, zeros)  # fmt: skip
            else:
                run, o = 1, part(out, row * size, size)
                done = _one_first(o, part(x, q * x_step, size), parts, places, n)
                if n > done:
                    _one_more(o, parts, places, done, n)
                if relu or has_less:
                    _finish(o, floor, part(minus, q * l_step, size))
            row += run
            q += run


@compiled
def _add_tap(parts: Flat, which: NDArray[np.int32], by_table: bool, row_0: int, first: int, count: int,
             q_0: int, move: int, stride: int, up: int, o: Flat) -> None:  # fmt: skip
    """Add one tap's products of one channel to all positions of an edit."""
    if stride == 1 and up == 1 and not by_table:
        begin = max(first + move, q_0)
        n = min(first + count + move, q_0 + len(o)) - begin
        if n > 0:
            u, x = part(o, begin - q_0, n), part(parts, row_0 + begin - move - first, n)
            for i in range(n):
                u[i] += x[i]
        return
    for j in range(len(o)):
        i = (q_0 + j) * stride - move
        if i % up == 0:
            i = i // up - first
            if 0 <= i < count:
                o[j] += parts[which[row_0 + i] if by_table else row_0 + i]


@compiled
def taps_narrow(parts: Flat, which: NDArray[np.int32], by_table: bool, lo: Ints, offsets: Ints, lo_out: Ints,
                offsets_out: Ints, shifts: Ints, stride: int, up: int, size: int, base: Flat, has_base: bool,
                relu: bool, less: Flat, has_less: bool, out: Flat) -> None:  # fmt: skip
    zero, columns = out.dtype.type(0), len(parts) // (len(shifts) * size)
    widest = 0
    for e in range(len(lo)):
        widest = max(widest, offsets_out[e + 1] - offsets_out[e])
    sums = np.empty(widest, out.dtype)
    for e in range(len(lo)):
        q, n, count = lo_out[e], offsets_out[e + 1] - offsets_out[e], offsets[e + 1] - offsets[e]
        for c in range(size):
            o = part(sums, 0, n)
            for j in range(n):
                o[j] = base[(q + j) * size + c] if has_base else zero
            for k in range(len(shifts)):
                row = part(parts, (k * size + c) * columns, columns)
                _add_tap(row, which, by_table, offsets[e], lo[e], count, q, shifts[k], stride, up, o)
            for j in range(n):
                v = zero if relu and o[j] < zero else o[j]
                out[(offsets_out[e] + j) * size + c] = v - less[(q + j) * size + c] if has_less else v
