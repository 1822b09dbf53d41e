"""Rules of normalisations and of spread: layer, group, instance and root-mean-square norm, variance, vector norms.

With a = x - mean, v = (var + eps)^(-1/2) and D values: the midpoint rule for the product a v, the exact secant
``-v^2 v_r^2 / (v + v_r)`` of v by the variance, and ``a + a_r`` of a square.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from drg_hpc.attribution.rules_call import Call, Gradients, Rule, moved


def _paired_dims(call: Call, dims: list[int]) -> list[int]:
    axis = call.pairing.axis(call.x, call.r)
    if axis is not None and axis in dims:
        raise NotImplementedError("statistics over the batch mix its rows")
    return [dim if axis is None or dim < axis else dim + 2 for dim in dims]


def _normalise(call: Call, dims: list[int], *, eps: float, centred: bool) -> Callable[[torch.Tensor], torch.Tensor]:
    """Backward pass of ``(x - mean) / sqrt(var + eps)`` over some axes, in the shape of the argument."""
    x, r = call.pairing.side_by_side(call.x, call.r)
    axes = _paired_dims(call, dims)
    a, a_r = (value - value.mean(axes, keepdim=True) if centred else value for value in (x, r))
    v, v_r = (torch.rsqrt(value.square().mean(axes, keepdim=True) + eps) for value in (a, a_r))
    middle, total = (v + v_r) / 2, a + a_r
    size = math.prod(call.r.shape[dim] for dim in dims)
    by_variance = -((v * v_r) ** 2) / (v + v_r) / (2 * size) * total
    shape, paired = call.r.shape, total.shape

    def backward(grad: torch.Tensor) -> torch.Tensor:
        grad = grad.reshape(paired)
        kept = grad - grad.mean(axes, keepdim=True) if centred else grad
        return (middle * kept + by_variance * (grad * total).sum(axes, keepdim=True)).reshape(shape)

    return backward


def layer_norm(call: Call) -> tuple[Any, Any]:
    """``native_layer_norm(x, shape, weight, bias, eps)`` and ``_fused_rms_norm(x, shape, weight, eps)``."""
    centred = call.name == "native_layer_norm"
    ndim, weight = call.x.ndim, call.argument(2, None)
    eps = call.argument(4 if centred else 3, None)
    dims = list(range(ndim - len(call.x_args[1]), ndim))
    out_x, out_r = (call.target(value, *call.x_args[1:], **call.kwargs) for value in (call.x, call.r))
    eps = torch.finfo(call.x.dtype).eps if eps is None else eps
    inner = _normalise(call, dims, eps=eps, centred=centred)
    replaced = call.result(out_r[0], lambda grad: (inner(grad if weight is None else grad * weight),))
    return out_x, (replaced, *out_r[1:])


def group_norm(call: Call) -> tuple[Any, Any]:
    """``native_group_norm(x, weight, bias, rows, channels, positions, groups, eps)``."""
    weight, groups, eps = call.x_args[1], call.x_args[6], call.x_args[7]
    out_x, out_r = (call.target(*args, **call.kwargs) for args in (call.x_args, (call.r, *call.r_args[1:])))
    split = [value.reshape(len(value), groups, -1) for value in (call.x, call.r)]
    grouped = Call(call.target, call.name, (split[0],), (split[1],), {}, (0,), call.pairing)
    inner = _normalise(grouped, [2], eps=eps, centred=True)
    shape = call.r.shape

    def backward(grad: torch.Tensor) -> Gradients:
        if weight is not None:
            grad = grad * weight.reshape(-1, *(1 for _ in shape[2:]))
        return (inner(grad.reshape(split[1].shape)).reshape(shape),)

    return out_x, (call.result(out_r[0], backward), *out_r[1:])


def batch_norm(call: Call) -> tuple[Any, Any]:
    """``native_batch_norm(x, weight, bias, mean, var, training, momentum, eps)`` with statistics of the values.

    Instance norm comes so, with the rows among the channels; over the rows themselves it is refused.
    """
    weight, bias, eps = call.x_args[1], call.x_args[2], call.x_args[7]
    dims = [0, *range(2, call.x.ndim)]
    inner = _normalise(call, dims, eps=eps, centred=True)
    sides = [(call.x, weight, bias), (call.r, call.r_args[1], call.r_args[2])]
    outs = [torch.native_batch_norm(v, w, b, None, None, True, 0.0, eps)[0] for v, w, b in sides]
    scale = None if weight is None else call.r_args[1].reshape(-1, *(1 for _ in range(call.x.ndim - 2)))
    replaced = call.result(outs[1], lambda grad: (inner(grad if scale is None else grad * scale),))
    return (outs[0], None, None), (replaced, None, None)


def variance(call: Call) -> tuple[Any, Any]:
    """``var(x, dims, correction=, keepdim=)`` and ``std``."""
    dims = moved(call.argument(1, None), call.x.ndim)
    correction = call.kwargs.get("correction", 1)
    correction = 1 if correction is None else correction
    x, r = call.pairing.side_by_side(call.x, call.r)
    axes = _paired_dims(call, dims)
    degrees = math.prod(call.r.shape[dim] for dim in dims) - correction
    a, a_r = (value - value.mean(axes, keepdim=True) for value in (x, r))
    slope = (a + a_r) / degrees
    if call.name == "std":
        slope = slope / _safe(sum(torch.std(v, axes, correction=correction, keepdim=True) for v in (x, r)))
    return _reduced(call, dims, slope)


def _safe(total: Any) -> torch.Tensor:
    """A divisor in which 0 becomes infinite."""
    return torch.where(total == 0, torch.full_like(total, torch.inf), total)


def _reduced(call: Call, dims: list[int], slope: torch.Tensor) -> tuple[Any, Any]:
    """A statistic over axes, whose multipliers are its output's times ``slope``."""
    keep = bool(call.kwargs.get("keepdim", call.argument(3, False)))
    options = {key: value for key, value in call.kwargs.items() if key != "keepdim"}
    out_x, out_r = (call.target(value, *call.x_args[1:3], keepdim=True, **options) for value in (call.x, call.r))
    slope = slope.reshape(call.r.shape)
    result = call.result(out_r, lambda grad: (grad * slope,))
    return (out_x, result) if keep else (out_x.squeeze(dims), result.squeeze(dims))


def vector_norm(call: Call) -> tuple[Any, Any]:
    """``linalg_vector_norm(x, 2, dims)``."""
    order = call.argument(1, 2)
    if order != 2:
        raise NotImplementedError(f"a vector norm of order {order}")
    dims = moved(call.argument(2, None), call.x.ndim)
    x, r = call.pairing.side_by_side(call.x, call.r)
    axes = _paired_dims(call, dims)
    slope = (x + r) / _safe(sum(torch.linalg.vector_norm(v, dim=axes, keepdim=True) for v in (x, r)))
    return _reduced(call, dims, slope)


RULES: dict[str, Rule] = {
    "native_layer_norm": layer_norm,
    "_fused_rms_norm": layer_norm,
    "native_group_norm": group_norm,
    "native_batch_norm": batch_norm,
    "var": variance,
    "std": variance,
    "linalg_vector_norm": vector_norm,
}
