"""DeepLIFT's hot formulas on CPUs in one pass over memory, where tensor operations take ten or more.

Rows of references: those of sequence i are rows ``i * copies`` to ``(i + 1) * copies - 1``. Where these do not serve
(another device or type, a batch that is not the first axis) they give None, and rules take their tensor formulas, which
give the same numbers to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from drg_hpc.attribution.rules_call import Pairing

F = TypeVar("F", bound=Callable[..., Any])
Flat = NDArray[Any]


def _compiled(function: F) -> F:
    return cast(F, njit(cache=True, nogil=True, error_model="numpy")(function))


# Loops go over parts of their own, write one array alone and have no branches: so they become vector instructions.


@_compiled
def _part(values: Flat, first: int, size: int) -> Flat:
    return values[first : first + size]


@_compiled
def _secants(first: int, last: int, copies: int, size: int, steps: NDArray[np.int64],
             x: Flat, r: Flat, fx: Flat, fr: Flat, small: float, coarse: float,
             out: Flat, near: Flat) -> None:  # fmt: skip
    least, share, tenth = out.dtype.type(small), out.dtype.type(coarse), out.dtype.type(0.1)
    for pair in range(first, last):
        row, at = pair // copies, pair * size
        u, w = _part(x, row * steps[0], size), _part(r, pair * steps[1], size)
        fu, fw = _part(fx, row * steps[2], size), _part(fr, pair * steps[3], size)
        slope, small_there = _part(out, at, size), _part(near, at, size)
        for i in range(size):
            slope[i] = (fu[i] - fw[i]) / (u[i] - w[i])
        for i in range(size):
            d, limit = abs(u[i] - w[i]), share * (abs(fu[i]) + abs(fw[i]) + tenth * (abs(u[i]) + abs(w[i])))
            small_there[i] = (d < least) | (d < limit)


@_compiled
def _of_two(first: int, last: int, copies: int, size: int, steps: NDArray[np.int64],
            a: Flat, b: Flat, a_r: Flat, b_r: Flat, sign: int, is_second: bool, out: Flat) -> None:  # fmt: skip
    """Slopes of the argument ``a``; of equals the first counts, and a may be the second."""
    one, zero, turn = out.dtype.type(1), out.dtype.type(0), out.dtype.type(sign)
    for pair in range(first, last):
        row, at = pair // copies, pair * size
        one_x, two_x = _part(a, row * steps[0], size), _part(b, row * steps[1], size)
        one_r, two_r = _part(a_r, pair * steps[2], size), _part(b_r, pair * steps[3], size)
        slope = _part(out, at, size)
        for i in range(size):
            va, vb, ra, rb = turn * one_x[i], turn * two_x[i], turn * one_r[i], turn * two_r[i]
            wins, wins_r = (va > vb) | ((va == vb) & (not is_second)), (ra > rb) | ((ra == rb) & (not is_second))
            o, o_r = (va if va > vb else vb), (ra if ra > rb else rb)
            top = o if o > o_r else o_r
            given = (top - o_r if wins else zero) + (o - top if wins_r else zero)
            share = given / (va - ra)
            slope[i] = (one if wins else zero) if va == ra else share


@_compiled
def _log_means(first: int, last: int, copies: int, size: int, steps: NDArray[np.int64],
               x: Flat, r: Flat, y: Flat, y_r: Flat, groups: Flat, width: int, out: Flat) -> None:  # fmt: skip
    """``scale L(y s, y_r s_r)`` with ``L(p, q) = (p - q) / log(p / q)`` and ``log(p / q) = x - r - shift``.

    ``groups`` has (shift, s, s_r, scale) of each stretch of ``width`` elements. Where the difference cancels,
    (exp(d) - 1) / d is a series.
    """
    kind = out.dtype.type
    least, c2, c3, c4, c5 = kind(0.25), kind(1 / 2), kind(1 / 6), kind(1 / 24), kind(1 / 120)
    c6, c7, c8, c9, c10, c11 = (kind(1 / 720), kind(1 / 5040), kind(1 / 40320), kind(1 / 362880), kind(1 / 3628800),
                                kind(1 / 39916800))  # fmt: skip
    one, zero, per_row = kind(1), kind(0), size // width
    for pair in range(first, last):
        row, at = pair // copies, pair * size
        for group in range(per_row):
            begin = group * width
            shift, s, s_r, scale = groups[pair * per_row + group]
            u, w = _part(x, row * steps[0] + begin, width), _part(r, pair * steps[1] + begin, width)
            v, v_r = _part(y, row * steps[2] + begin, width), _part(y_r, pair * steps[3] + begin, width)
            slope = _part(out, at + begin, width)
            for i in range(width):
                difference = u[i] - w[i]
                d = (difference if difference == difference else zero) - shift  # both are -inf where it is NaN
                p, q = v[i] * s, v_r[i] * s_r
                low = c6 + d * (c7 + d * (c8 + d * (c9 + d * (c10 + d * c11))))
                series = one + d * (c2 + d * (c3 + d * (c4 + d * (c5 + d * low))))
                far = (p - q) / d
                slope[i] = scale * (q * series if abs(d) < least else far)


def _serves(pairing: Pairing, x: torch.Tensor, r: torch.Tensor) -> bool:
    if r.device.type != "cpu" or r.dtype not in (torch.float32, torch.float64) or x.dtype != r.dtype or not r.numel():
        return False
    axis = pairing.axis(x, r)
    return axis is None or (axis == 0 and len(x) == pairing.rows)


def _flat(tensor: torch.Tensor) -> tuple[int, Flat]:
    """Distance of rows, and the memory from the first value on, with each row in one piece."""
    tensor = tensor.detach()
    if not tensor[0].is_contiguous():
        tensor = tensor.contiguous()
    size = tensor[0].numel()
    step = tensor.stride(0) if len(tensor) > 1 else size
    return step, tensor.as_strided((step * (len(tensor) - 1) + size,), (1,)).numpy()


def _run(
    kernel: Callable[..., None], r: torch.Tensor, copies: int, inputs: list[torch.Tensor], rest: list[Any]
) -> None:
    """Call a kernel for all rows of ``r``, on as many threads as torch uses."""
    flats = [_flat(tensor) for tensor in inputs]
    steps = np.array([step for step, _ in flats], np.int64)
    arguments = (copies, r[0].numel(), steps, *(flat for _, flat in flats), *rest)
    rows, threads = len(r), min(torch.get_num_threads(), len(r))
    if threads == 1:
        kernel(0, rows, *arguments)
        return
    bounds = [rows * i // threads for i in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda i: kernel(bounds[i], bounds[i + 1], *arguments), range(threads)))


def _copies(pairing: Pairing, x: torch.Tensor, r: torch.Tensor) -> int:
    return len(r) // len(x)


def _like(r: torch.Tensor, count: int) -> tuple[list[torch.Tensor], list[Flat]]:
    made = [torch.empty(r.shape, dtype=r.dtype) for _ in range(count)]
    return made, [tensor.view(-1).numpy() for tensor in made]


def secants(
    pairing: Pairing, values: tuple[torch.Tensor, ...], *, small: float, coarse: float
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """``(f(x) - f(r)) / (x - r)``, and where ``|x - r|`` is below ``small`` or
    ``coarse (|f(x)| + |f(r)| + (|x| + |r|) / 10)``.

    Parameters
    ----------
    values : x, r, f(x), f(r), all of one shape but for the rows

    Returns
    -------
    in the shape of r; and numbers of elements, counted over all of r
    """
    x, r = values[:2]
    if not _serves(pairing, x, r):
        return None
    (out,), (flat,) = _like(r, 1)
    near = np.empty(r.numel(), np.bool_)
    _run(_secants, r, _copies(pairing, x, r), list(values), [small, coarse, flat, near])
    return out, torch.from_numpy(np.flatnonzero(near))


def of_two(
    pairing: Pairing, values: tuple[torch.Tensor, ...], *, sign: int
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Slopes of :func:`drg_hpc.attribution.rules_max.of_two`.

    Parameters
    ----------
    values : a, b of sequences, a, b of references
    """
    a, b, a_r, b_r = values
    if not _serves(pairing, a, a_r):
        return None
    made, flats = _like(a_r, 2)
    copies = _copies(pairing, a, a_r)
    _run(_of_two, a_r, copies, [a, b, a_r, b_r], [sign, False, flats[0]])
    _run(_of_two, a_r, copies, [b, a, b_r, a_r], [sign, True, flats[1]])
    return made[0], made[1]


def softmax(
    pairing: Pairing, values: tuple[torch.Tensor, ...], sums: tuple[torch.Tensor, ...]
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Slopes of :func:`drg_hpc.attribution.rules_softmax.softmax` over the last axis.

    Parameters
    ----------
    values : x, r, softmax(x), softmax(r)
    sums : of each sum for each pair: difference of the logarithms of the sums, both sums, and their logarithmic mean
    """
    x, r = values[:2]
    if not _serves(pairing, x, r):
        return None
    made, flats = _like(r, 2)
    d_log, s, s_r, mean = sums
    one, none = torch.ones_like(mean), torch.zeros_like(mean)
    copies = _copies(pairing, x, r)
    for flat, parts in zip(flats, ((d_log, one, one, one), (none, s, s_r, 1 / mean)), strict=True):
        groups = torch.stack(parts, dim=-1).view(-1, 4).numpy()
        _run(_log_means, r, copies, list(values), [groups, r.shape[-1], flat])
    return made[0], made[1]
