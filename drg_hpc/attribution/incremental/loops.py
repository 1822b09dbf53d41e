"""Compiled loops of the CPU kernels.

Arrays are flat, all of one floating type; ``size``-long stretches of them are features of one position. Loops run over
stretches of their own and write one array alone, so that they become vector instructions; there is no ``fastmath``, so
that sums have one order everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
Flat = NDArray[Any]
Ints = NDArray[np.int64]


def compiled(function: F) -> F:
    """Compile with numba, without Python's lock and with the machine code kept on disk."""
    return cast(F, njit(cache=True, nogil=True, error_model="numpy")(function))


@compiled
def part(values: Flat, first: int, size: int) -> Flat:
    return values[first : first + size]


@compiled
def copy(o: Flat, x: Flat) -> None:
    for i in range(len(o)):
        o[i] = x[i]


@compiled
def take(ref: Flat, lo: Ints, offsets: Ints, size: int, out: Flat) -> None:
    for e in range(len(lo)):
        n = (offsets[e + 1] - offsets[e]) * size
        if n > 0:
            copy(part(out, offsets[e] * size, n), part(ref, lo[e] * size, n))


@compiled
def shift(rows: Flat, ref: Flat, sign: int, lo: Ints, offsets: Ints, size: int, out: Flat) -> None:
    """``rows + sign ref``."""
    factor = out.dtype.type(sign)
    for e in range(len(lo)):
        n = (offsets[e + 1] - offsets[e]) * size
        if n > 0:
            o, x, r = part(out, offsets[e] * size, n), part(rows, offsets[e] * size, n), part(ref, lo[e] * size, n)
            for i in range(n):
                o[i] = x[i] + factor * r[i]


@compiled
def refit(rows: Flat, lo: Ints, offsets: Ints, lo_out: Ints, offsets_out: Ints, size: int,
          ref: Flat, has_ref: bool, out: Flat) -> None:  # fmt: skip
    zero = out.dtype.type(0)
    for e in range(len(lo)):
        q, n = lo_out[e], offsets_out[e + 1] - offsets_out[e]
        first = min(max(lo[e], q), q + n)
        last = max(min(lo[e] + offsets[e + 1] - offsets[e], q + n), first)
        for begin, end in ((q, first), (last, q + n)):
            if end > begin:
                o = part(out, (offsets_out[e] + begin - q) * size, (end - begin) * size)
                if has_ref:
                    copy(o, part(ref, begin * size, (end - begin) * size))
                else:
                    o[:] = zero
        if last > first:
            o = part(out, (offsets_out[e] + first - q) * size, (last - first) * size)
            copy(o, part(rows, (offsets[e] + first - lo[e]) * size, (last - first) * size))


@compiled
def accumulate(target: Flat, lo_t: Ints, offsets_t: Ints, rows: Flat, lo: Ints, offsets: Ints, size: int) -> None:
    for e in range(len(lo)):
        first = max(lo[e], lo_t[e])
        last = min(lo[e] + offsets[e + 1] - offsets[e], lo_t[e] + offsets_t[e + 1] - offsets_t[e])
        n = (last - first) * size
        if n > 0:
            o = part(target, (offsets_t[e] + first - lo_t[e]) * size, n)
            x = part(rows, (offsets[e] + first - lo[e]) * size, n)
            for i in range(n):
                o[i] += x[i]
