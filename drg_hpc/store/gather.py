"""Rows of memory-mapped base codes into batches, as codes or as one-hot, without Python's lock.

Written as plain loops over one row: the compiler turns them into wide moves, which copies by slices do not become.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
Array = NDArray[Any]


def _compiled(function: F) -> F:
    return cast(F, njit(cache=True, nogil=True)(function))


@_compiled
def _copy(line: Array, start: int, window: Array) -> None:
    """The bases from ``start`` on; 4 where there are none."""
    stored, length = len(line), len(window)
    first = min(max(-start, 0), length)
    last = max(min(stored - start, length), first)
    bases, inside = line[start + first : start + last], window[first:last]
    for j in range(last - first):
        inside[j] = bases[j]
    window[:first] = 4
    window[last:] = 4


@_compiled
def gather_codes(source: Array, rows: Array, starts: Array, out: Array, places: Array) -> None:
    """Copy windows of rows.

    Parameters
    ----------
    source : uint8 (any, stored), base codes
    rows, starts : int64 (n,): row, and position in it where the window begins; what lies off the row becomes 4
    out : uint8 (batch, length)
    places : int64 (n,): which row of ``out`` each window becomes
    """
    for i in range(len(rows)):
        _copy(source[rows[i]], starts[i], out[places[i]])


@_compiled
def gather_onehot(source: Array, rows: Array, starts: Array, turned: Array, out: Array, places: Array) -> None:
    """As :func:`gather_codes`, to one-hot float32 (batch, 4, length), unknown bases zero.

    Parameters
    ----------
    turned : bool (n,): windows that become their reverse complement
    """
    length = out.shape[2]
    padded = np.empty(length, np.uint8)
    for i in range(len(rows)):
        line, window, start = source[rows[i]], out[places[i]], starts[i]
        if start >= 0 and start + length <= len(line):
            bases = line[start : start + length]
        else:
            _copy(line, start, padded)
            bases = padded
        if turned[i]:
            _onehot(bases[::-1], window[3], window[2], window[1], window[0])
        else:
            _onehot(bases, window[0], window[1], window[2], window[3])


@_compiled
def _onehot(bases: Array, a: Array, c: Array, g: Array, t: Array) -> None:
    for j in range(len(bases)):
        base = bases[j]
        a[j] = np.float32(base == 0)
        c[j] = np.float32(base == 1)
        g[j] = np.float32(base == 2)
        t[j] = np.float32(base == 3)
