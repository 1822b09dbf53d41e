"""Rules of softmax, log softmax and log-sum-exp.

With s the sum of exponentials and y = exp(x) / s: the secant of exp, that of log s, and for exp(x) / s the logarithmic
means of y and of s. With L(p, q) = (p - q) / (log p - log q), multipliers g of the outputs become (as in tangermeme)

    ``g_j L(y_j, y_r,j) - L(e^x_j, e^r_j) / L(s, s_r) * sum_k g_k L(y_k, y_r,k)``

and all of it follows from y, y_r and differences of logarithms, without a further exponential of an element.
"""

from __future__ import annotations

from typing import Any

import torch

from drg_hpc.attribution import kernels
from drg_hpc.attribution.rules_call import Call, Gradients, Rule, moved


def _log_mean(d: torch.Tensor, high: torch.Tensor, low: torch.Tensor) -> torch.Tensor:
    """``(high - low) / d`` for ``d = log(high / low)``; ``low`` where d is 0."""
    ratio = torch.where(d == 0, torch.ones_like(d), torch.expm1(d) / d)
    return torch.where(d.abs() < 0.25, low * ratio, (high - low) / d)


def _log_sum(x: torch.Tensor, y: torch.Tensor, dims: list[int]) -> torch.Tensor:
    """Logarithm of the sum of exponentials, from x and its softmax y: ``x - log y`` at the largest."""
    return x.amax(dims, keepdim=True) - torch.log(y.amax(dims, keepdim=True))


class _Sums:
    """The sums of a softmax for each pair.

    Attributes
    ----------
    dims : axes of the sums, in the paired shapes
    d_log : log s - log s_r
    s, s_r : both sums, divided by the larger one
    mean : their logarithmic mean
    """

    def __init__(self, call: Call, dims: list[int], sides: tuple[torch.Tensor, torch.Tensor]) -> None:
        axis = call.pairing.axis(call.x, call.r)
        if axis is not None and axis in dims:
            raise NotImplementedError("a softmax over the batch mixes its rows")
        logs = (_log_sum(x, y, dims) for x, y in zip((call.x, call.r), sides, strict=True))
        x, r = call.pairing.side_by_side(*logs)
        self.dims = [dim if axis is None or dim < axis else dim + 2 for dim in dims]
        self.d_log = (x - r).nan_to_num(nan=0.0)
        self.s, self.s_r = torch.exp(self.d_log.clamp(max=0.0)), torch.exp(-self.d_log.clamp(min=0.0))
        self.mean = _log_mean(self.d_log, self.s, self.s_r)


def _slopes(call: Call, dims: list[int], sides: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """L(y, y_r) and L(exp x, exp r) / L(s, s_r), in the shape of the references' side."""
    sums = _Sums(call, dims, sides)
    if dims == [call.x.ndim - 1]:
        parts = (sums.d_log, sums.s, sums.s_r, sums.mean)
        found = kernels.softmax(call.pairing, (call.x, call.r, *sides), parts)
        if found is not None:
            return found
    x, r = call.pairing.side_by_side(call.x, call.r)
    y, y_r = call.pairing.side_by_side(*sides)
    d = (x - r).nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf)  # both -inf: no difference
    by_y = _log_mean(d - sums.d_log, y, y_r)
    by_sum = _log_mean(d, y * sums.s, y_r * sums.s_r) / sums.mean
    return by_y.reshape(call.r.shape), by_sum.reshape(call.r.shape)


def softmax(call: Call) -> tuple[Any, Any]:
    """``softmax(x, dim)``."""
    out_x, out_r = call.both(lambda value: call.target(value, *call.x_args[1:], **call.kwargs))
    dim = call.x_args[1] % call.x.ndim
    by_y, by_sum = _slopes(call, [dim], (out_x, out_r))

    def backward(grad: torch.Tensor) -> Gradients:
        passed = grad * by_y
        return (torch.addcmul(passed, by_sum, passed.sum(dim, keepdim=True), value=-1),)

    return out_x, call.result(out_r, backward)


def _log_sum_slopes(call: Call, dims: list[int]) -> torch.Tensor:
    """Multipliers of a log-sum-exp, in the shape of the references' side: L(exp x, exp r) / L(s, s_r)."""
    sides = tuple(torch.exp(value - torch.logsumexp(value, dims, keepdim=True)) for value in (call.x, call.r))
    return _slopes(call, dims, (sides[0], sides[1]))[1]


def log_softmax(call: Call) -> tuple[Any, Any]:
    """``x - logsumexp(x)``."""
    out_x, out_r = call.both(lambda value: call.target(value, *call.x_args[1:], **call.kwargs))
    dim = call.x_args[1] % call.x.ndim
    slopes = _log_sum_slopes(call, [dim])
    return out_x, call.result(out_r, lambda grad: (torch.addcmul(grad, slopes, grad.sum(dim, keepdim=True), value=-1),))


def log_sum_exp(call: Call) -> tuple[Any, Any]:
    """``logsumexp(x, dims, keepdim)``."""
    axes = moved(call.argument(1, None), call.x.ndim)
    keep = bool(call.argument(2, call.kwargs.get("keepdim", False)))
    out_x, out_r = call.both(lambda value: torch.logsumexp(value, axes, keepdim=True))
    slopes = _log_sum_slopes(call, axes)
    result = call.result(out_r, lambda grad: (grad * slopes,))
    return (out_x, result) if keep else (out_x.squeeze(axes), result.squeeze(axes))


RULES: dict[str, Rule] = {
    "_softmax": softmax,
    "_safe_softmax": softmax,
    "_log_softmax": log_softmax,
    "logsumexp": log_sum_exp,
}
