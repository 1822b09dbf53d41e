"""Rules of what chooses: comparisons, logic of their outcomes, ``where`` and ``masked_fill``.

Outcomes are numbers 0 and 1 here, on both sides, so that they can carry multipliers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from drg_hpc.attribution import rules_elementwise
from drg_hpc.attribution.rules_call import Call, Gradients, Rule, common_shape, still


def _as_numbers(value: Any, like: torch.Tensor) -> Any:
    return value.to(like.dtype) if isinstance(value, torch.Tensor) else value


def comparison(call: Call) -> tuple[Any, Any]:
    """0 or 1, as a step function of the difference of the two sides."""
    call.broadcast()
    dtype = torch.promote_types(call.x.dtype, torch.get_default_dtype()) if not call.x.is_floating_point() else None

    def outcome(args: tuple[Any, ...]) -> torch.Tensor:
        found: torch.Tensor = call.target(*args, **call.kwargs)
        return found.to(dtype or call.x.dtype)

    def margin(args: tuple[Any, ...]) -> torch.Tensor:
        difference: torch.Tensor = args[0] - args[1]
        return difference

    r_args = tuple(still(value) for value in call.r_args)
    out_x, out_r = outcome(call.x_args), outcome(r_args)
    d_in = torch.sub(*call.pairing.side_by_side(margin(call.x_args), margin(r_args)))
    d_out = torch.sub(*call.pairing.side_by_side(out_x, out_r))
    slope = torch.where(d_in == 0, torch.zeros_like(d_in), d_out / d_in).reshape(out_r.shape)
    signs = [1 if position == 0 else -1 for position in call.varying]
    return out_x, call.result(out_r, lambda grad: tuple(sign * grad * slope for sign in signs))


def logical(call: Call) -> tuple[Any, Any]:
    """and, or, xor, not of numbers 0 and 1."""
    name = call.name.removeprefix("bitwise_").removeprefix("logical_")
    like = next(value for i, value in enumerate(call.x_args) if i in call.varying)
    forms: dict[str, Callable[..., Any]] = {
        "and": lambda a, b: a * b,
        "or": lambda a, b: a + b - a * b,
        "xor": lambda a, b: a + b - 2 * a * b,
        "not": lambda a: 1 - a,
    }
    form = forms[name]
    x_args, r_args = (tuple(_as_numbers(v, like) for v in args) for args in (call.x_args, call.r_args))
    if len(call.varying) == 1:
        return form(*x_args), form(*r_args)  # linear in the one that varies
    inner = Call(torch.mul, "mul", x_args, r_args, {}, call.varying, call.pairing)
    both_x, both_r = rules_elementwise.product(inner)
    share = {"and": 0, "or": 1, "xor": 2}[name]
    if share == 0:
        return both_x, both_r
    return x_args[0] + x_args[1] - share * both_x, r_args[0] + r_args[1] - share * both_r


def choice(call: Call) -> tuple[Any, Any]:
    """``where`` and ``masked_fill`` with a condition c that varies: ``c a + (1 - c) b`` by the midpoint rule."""
    order = (1, 2, 0) if call.name == "masked_fill" else (0, 1, 2)
    like = call.x_args[order[1]] if isinstance(call.x_args[order[1]], torch.Tensor) else call.x_args[order[2]]

    def parts(args: tuple[Any, ...]) -> list[torch.Tensor]:
        types = (None, like.dtype, like.dtype)
        found = [torch.as_tensor(args[i], dtype=t, device=like.device) for i, t in zip(order, types, strict=True)]
        shape = common_shape(found)
        return [part.expand(shape) for part in found]

    (c, a, b), r_parts = parts(call.x_args), parts(call.r_args)
    c_r, a_r, b_r = (part.detach() for part in r_parts)
    out_x, out_r = torch.where(c > 0.5, a, b), torch.where(c_r > 0.5, a_r, b_r)
    pair = call.pairing.side_by_side
    middle = torch.add(*pair(c.to(like.dtype), c_r.to(like.dtype))).mul(0.5).reshape(out_r.shape)
    gap = torch.sub(torch.add(*pair(a, a_r)), torch.add(*pair(b, b_r))).mul(0.5).reshape(out_r.shape)
    gap = torch.where((middle == 0) | (middle == 1), torch.zeros_like(gap), gap)

    def backward(grad: torch.Tensor) -> Gradients:
        found = (grad * gap, grad * middle, grad * (1 - middle))
        return tuple(found[order.index(position)] for position in call.varying)

    call.r_args = tuple(r_parts[order.index(i)] for i in range(3))
    return out_x, call.result(out_r, backward)


RULES: dict[str, Rule] = {
    **dict.fromkeys(("gt", "ge", "lt", "le", "eq", "ne"), comparison),
    **{f"{kind}_{name}": logical for kind in ("bitwise", "logical") for name in ("and", "or", "xor", "not")},
    "where": choice,
    "masked_fill": choice,
}
