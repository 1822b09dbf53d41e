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


@_compiled
def _secants(first: int, last: int, copies: int, size: int, steps: NDArray[np.int64],
             x: Flat, r: Flat, fx: Flat, fr: Flat, small: float, coarse: float, out: Flat, near: Flat) -> None:  # fmt: skip
    least, share = out.dtype.type(small), out.dtype.type(coarse)
    for pair in range(first, last):
        row, at = pair // copies, pair * size
        at_x, at_r, at_fx, at_fr = row * steps[0], pair * steps[1], row * steps[2], pair * steps[3]
        for i in range(size):
            d, v, w = x[at_x + i] - r[at_r + i], fx[at_fx + i], fr[at_fr + i]
            out[at + i] = (v - w) / d
            near[at + i] = abs(d) < max(least, share * (abs(v) + abs(w)))


@_compiled
def _of_two(first: int, last: int, copies: int, size: int, steps: NDArray[np.int64],
            a: Flat, b: Flat, a_r: Flat, b_r: Flat, sign: int, to_a: Flat, to_b: Flat) -> None:  # fmt: skip
    one, zero = to_a.dtype.type(1), to_a.dtype.type(0)
    for pair in range(first, last):
        at_a, at_b, at_ar, at_br = (
            pair // copies * steps[0],
            pair // copies * steps[1],
            pair * steps[2],
            pair * steps[3],
        )
        at = pair * size
        for i in range(size):
            va, vb, ra, rb = sign * a[at_a + i], sign * b[at_b + i], sign * a_r[at_ar + i], sign * b_r[at_br + i]
            wins, wins_r = va >= vb, ra >= rb
            o, o_r = max(va, vb), max(ra, rb)
            top = max(o, o_r)
            up, down = top - o_r, o - top
            given_a = (up if wins else zero) + (down if wins_r else zero)
            given_b = (zero if wins else up) + (zero if wins_r else down)
            to_a[at + i] = (one if wins else zero) if va == ra else given_a / (va - ra)
            to_b[at + i] = (zero if wins else one) if vb == rb else given_b / (vb - rb)


@_compiled
def _log_mean(d: float, high: float, low: float) -> float:
    """``(high - low) / d`` for ``d = log(high / low)``: a series for (exp(d) - 1) / d where the difference cancels."""
    if abs(d) < 0.25:
        series = 1 / 10 * d + 1
        for k in range(9, 1, -1):
            series = series * d / k + 1
        return low * series
    return (high - low) / d


@_compiled
def _softmax(first: int, last: int, copies: int, size: int, steps: NDArray[np.int64],
             x: Flat, r: Flat, y: Flat, y_r: Flat, groups: Flat, width: int,
             by_y: Flat, by_sum: Flat) -> None:  # fmt: skip
    per_row = size // width
    for pair in range(first, last):
        row, at = pair // copies, pair * size
        at_x, at_r, at_y, at_yr = row * steps[0], pair * steps[1], row * steps[2], pair * steps[3]
        for group in range(per_row):
            d_log, s, s_r, mean = groups[pair * per_row + group]
            for i in range(group * width, (group + 1) * width):
                d = x[at_x + i] - r[at_r + i]
                if d != d:
                    d = by_y.dtype.type(0)  # both are -inf
                v, v_r = y[at_y + i], y_r[at_yr + i]
                by_y[at + i] = _log_mean(d - d_log, v, v_r)
                by_sum[at + i] = _log_mean(d, v * s, v_r * s_r) / mean


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
    """``(f(x) - f(r)) / (x - r)``, and where ``|x - r|`` is below ``small`` or ``coarse (|f(x)| + |f(r)|)``.

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
    a, _, a_r, _ = values
    if not _serves(pairing, a, a_r):
        return None
    made, flats = _like(a_r, 2)
    _run(_of_two, a_r, _copies(pairing, a, a_r), list(values), [sign, *flats])
    return made[0], made[1]


def softmax(
    pairing: Pairing, values: tuple[torch.Tensor, ...], groups: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Slopes of :func:`drg_hpc.attribution.rules_softmax.softmax` over the last axis.

    Parameters
    ----------
    values : x, r, softmax(x), softmax(r)
    groups : (…, 4), of each sum for each pair: difference of the logarithms of the sums, both sums, and their
        logarithmic mean
    """
    x, r = values[:2]
    if not _serves(pairing, x, r):
        return None
    made, flats = _like(r, 2)
    rest = [groups.contiguous().view(-1, 4).numpy(), r.shape[-1], *flats]
    _run(_softmax, r, _copies(pairing, x, r), list(values), rest)
    return made[0], made[1]
