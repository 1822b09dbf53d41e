"""Rules of maxima: pooling with any window, step, padding and dilation, over axes, and of two tensors.

With o, o_r the maxima of sequence and reference and u = max(o, o_r), the position that has the sequence's maximum is
given u - o_r and the one that has the reference's o - u (as in DeepLIFT); what a position is given by all windows,
divided by its own difference, is its multiplier. A position without a difference gets the gradient at the sequence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from drg_hpc.attribution import kernels
from drg_hpc.attribution.rules_call import Call, Gradients, Rule, moved


def _shares(given: torch.Tensor, d_in: torch.Tensor, *, otherwise: float) -> torch.Tensor:
    return torch.where(d_in == 0, torch.full_like(d_in, otherwise), given / d_in)


def _scattered(
    call: Call, *, x: torch.Tensor, r: torch.Tensor, tops: tuple[torch.Tensor, ...], shape: Callable[..., torch.Tensor]
) -> Callable[[torch.Tensor], Gradients]:
    """Backward pass of maxima over the last axis.

    Parameters
    ----------
    x, r : what maxima are taken of, (…, n)
    tops : maxima of both, and where on the last axis they are, (…, m) each: o, o_r, at, at_r
    shape : from (…, n) to the shape of the argument
    """
    o, o_r, at, at_r = tops
    at, x = call.pairing.spread(at, at_r), call.pairing.spread(x, r)
    o = call.pairing.spread(o, o_r)
    top = torch.maximum(o, o_r)
    to_x = _shares(top - o_r, o - r.gather(-1, at), otherwise=1.0)
    to_r = _shares(o - top, x.gather(-1, at_r) - o_r, otherwise=0.0)

    def backward(grad: torch.Tensor) -> Gradients:
        grad = grad.reshape(at.shape)
        given = grad.new_zeros(r.shape).scatter_add_(-1, at, grad * to_x)
        return (shape(given.scatter_add_(-1, at_r, grad * to_r)),)

    return backward


def max_pool(call: Call) -> tuple[Any, Any]:
    """Pooling that gives maxima and their places, counted over all pooled axes."""
    spatial = 3 if "3d" in call.name else 2
    (o, at), (o_r, at_r) = (call.target(args, *call.x_args[1:], **call.kwargs) for args in (call.x, call.r))
    flat = [value.flatten(-spatial) for value in (call.x, call.r, o, o_r, at, at_r)]
    form = call.r.shape
    backward = _scattered(call, x=flat[0], r=flat[1], tops=tuple(flat[2:]), shape=lambda given: given.reshape(form))
    return (o, at), (call.result(o_r, backward), at_r)


def _over_axes(call: Call, dims: list[int], *, sign: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Maximum (``sign`` 1) or minimum (-1) over axes, which are kept with length 1."""
    ndim = call.x.ndim
    kept = [dim for dim in range(ndim) if dim not in dims]
    order = kept + dims

    def last(value: torch.Tensor) -> torch.Tensor:
        return (value * sign).permute(order).flatten(len(kept))

    moved_shape = [call.r.shape[dim] for dim in order]
    back = [order.index(dim) for dim in range(ndim)]

    def shape(given: torch.Tensor) -> torch.Tensor:
        return given.reshape(moved_shape).permute(back)

    x, r = last(call.x), last(call.r)
    (o, at), (o_r, at_r) = x.max(-1, keepdim=True), r.max(-1, keepdim=True)
    backward = _scattered(call, x=x, r=r, tops=(o, o_r, at, at_r), shape=shape)

    def with_axes(value: torch.Tensor) -> torch.Tensor:
        return (value * sign).reshape(*value.shape[:-1], *(1 for _ in dims)).permute(back)

    def turned(grad: torch.Tensor) -> Gradients:
        return backward(grad.permute(order))

    return with_axes(o), call.result(with_axes(o_r), turned)


def _without(value: torch.Tensor, dims: list[int], keep: bool) -> torch.Tensor:
    return value if keep else value.squeeze(dims)


def extreme(call: Call) -> tuple[Any, Any]:
    """``amax(x, dims, keepdim)`` and ``amin``, ``any`` and ``all`` of numbers 0 and 1 over one or several axes."""
    dims = moved(call.argument(1, None), call.x.ndim)
    keep = bool(call.argument(2, call.kwargs.get("keepdim", False)))
    x, r = _over_axes(call, dims, sign=-1 if call.name in ("amin", "all") else 1)
    return _without(x, dims, keep), _without(r, dims, keep)


def extreme_with_place(call: Call) -> tuple[Any, Any]:
    """``max(x, dim)`` and ``min``, which also give places."""
    if len(call.x_args) == 1:
        raise NotImplementedError("the maximum of a whole batch mixes its rows")
    values = extreme(Call(call.target, f"a{call.name}", call.x_args, call.r_args, {}, call.varying, call.pairing))
    return (values[0], None), (values[1], None)


def of_two(call: Call) -> tuple[Any, Any]:
    """``maximum`` and ``minimum`` of two varying tensors: a pooling over the two; of equals the first one counts."""
    sign = -1 if "min" in call.name else 1
    call.broadcast()
    out_x, out_r = call.both(call.target)
    values = (*call.x_args[:2], *(value.detach() for value in call.r_args[:2]))
    slopes = kernels.of_two(call.pairing, values, sign=sign) or _slopes_of_two(call, values, sign)
    return out_x, call.result(out_r, lambda grad: (grad * slopes[0], grad * slopes[1]))


def _slopes_of_two(call: Call, values: tuple[torch.Tensor, ...], sign: int) -> tuple[torch.Tensor, torch.Tensor]:
    a, a_r = (value * sign for value in call.pairing.side_by_side(values[0], values[2]))
    b, b_r = (value * sign for value in call.pairing.side_by_side(values[1], values[3]))
    o, o_r = torch.maximum(a, b), torch.maximum(a_r, b_r)
    top = torch.maximum(o, o_r)
    first, first_r = a >= b, a_r >= b_r
    up, down = top - o_r, o - top
    slopes = []
    for wins, wins_r, difference in ((first, first_r, a - a_r), (~first, ~first_r, b - b_r)):
        given = up * wins + down * wins_r
        share = torch.where(difference == 0, wins.to(given.dtype), given / difference)
        slopes.append(share.reshape(values[2].shape))
    return slopes[0], slopes[1]


RULES: dict[str, Rule] = {
    "max_pool2d_with_indices": max_pool,
    "max_pool3d_with_indices": max_pool,
    "adaptive_max_pool2d": max_pool,
    "adaptive_max_pool3d": max_pool,
    "amax": extreme,
    "amin": extreme,
    "any": extreme,
    "all": extreme,
    "max": extreme_with_place,
    "min": extreme_with_place,
}
