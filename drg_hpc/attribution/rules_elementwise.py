"""Rules of operations on single elements: activations, and functions of two tensors.

One varying argument: the rescale rule (Shrikumar et al. 2017, arXiv:1704.02685). Two: each argument gets the mean of
its two secants, with the other one held at either end (Shapley's split); of a product that is the midpoint rule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from drg_hpc.attribution import kernels
from drg_hpc.attribution.rules_call import Call, Rule, secant, still

SMALL = 1e-6
"""Differences of the input below this take the derivative at the sequence, as in tangermeme 1.6."""
_COARSE = 3e-3
"""Differences below this share of |f(x)| + |f(r)|, or a tenth of it of |x| + |r|, are those of which single precision
leaves few digits; rounding of the layers before can make them too, where sequence and reference have the same bases."""
Slope = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Of x, r, f(x), f(r): the secant's slope, exact where they are equal or nearly so."""

_RESCALED = [
    "_prelu_kernel", "abs", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "celu", "clamp", "clamp_max",
    "clamp_min", "copysign", "cos", "cosh", "digamma", "elu", "erf", "erfc", "erfinv", "exp2", "expm1", "fmax", "fmin",
    "fmod", "frac", "gelu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "hypot", "leaky_relu", "lgamma",
    "log10", "log1p", "log2", "log_sigmoid_forward", "logaddexp", "logaddexp2", "logit", "maximum", "minimum", "mish",
    "nan_to_num", "pow", "relu", "relu6", "remainder", "rrelu_with_noise", "rrelu_with_noise_functional", "silu", "sin",
    "sinc", "sinh", "softplus", "softshrink", "special_log_ndtr", "special_ndtr", "special_xlog1py", "tan", "tanh",
    "threshold", "xlogy",
]  # fmt: skip
_STEPS = ["ceil", "floor", "heaviside", "round", "sgn", "sign", "trunc"]


def _exp(x: torch.Tensor, r: torch.Tensor, fx: torch.Tensor, fr: torch.Tensor) -> torch.Tensor:
    d = x - r
    near = torch.where(d == 0, torch.ones_like(d), torch.expm1(d) / d) * fr
    return torch.where(d.abs() < 1, near, (fx - fr) / d)


def _log(x: torch.Tensor, r: torch.Tensor, fx: torch.Tensor, fr: torch.Tensor) -> torch.Tensor:
    d = x - r
    near = torch.where(d == 0, torch.ones_like(d), torch.log1p(d / r) / (d / r)) / r
    return torch.where(d.abs() < 0.5 * r.abs(), near, (fx - fr) / d)


def _sigmoid(x: torch.Tensor, r: torch.Tensor, fx: torch.Tensor, fr: torch.Tensor) -> torch.Tensor:
    d = x - r
    near = torch.where(d == 0, torch.ones_like(d), -torch.expm1(-d) / d) * fx * (1 - fr)
    return torch.where(d.abs() < 1, near, (fx - fr) / d)


def _square(x: torch.Tensor, r: torch.Tensor, fx: torch.Tensor, fr: torch.Tensor) -> torch.Tensor:
    return x + r


def _sqrt(x: torch.Tensor, r: torch.Tensor, fx: torch.Tensor, fr: torch.Tensor) -> torch.Tensor:
    total = fx + fr
    return torch.where(total == 0, torch.zeros_like(total), 1 / total)


def _rsqrt(x: torch.Tensor, r: torch.Tensor, fx: torch.Tensor, fr: torch.Tensor) -> torch.Tensor:
    return -((fx * fr) ** 2) / (fx + fr)


def _reciprocal(x: torch.Tensor, r: torch.Tensor, fx: torch.Tensor, fr: torch.Tensor) -> torch.Tensor:
    return -fx * fr


_EXACT: dict[str, Slope] = {
    "exp": _exp, "sigmoid": _sigmoid, "log": _log, "square": _square, "sqrt": _sqrt, "rsqrt": _rsqrt,
    "reciprocal": _reciprocal,
}  # fmt: skip
_POWERS: dict[float, Slope] = {2.0: _square, 0.5: _sqrt, -0.5: _rsqrt, -1.0: _reciprocal}


def _first(value: Any) -> torch.Tensor:
    first: torch.Tensor = value[0] if isinstance(value, tuple) else value
    return first


def _exact_slope(call: Call) -> Slope | None:
    if call.name == "pow" and call.varying == (0,) and not isinstance(call.x_args[1], torch.Tensor):
        return _POWERS.get(float(call.x_args[1]))
    return _EXACT.get(call.name) if call.varying == (0,) else None


def _derivative(call: Call, position: int) -> torch.Tensor:
    """Of the operation at the sequences, by one varying argument (which has the shape of the output)."""
    at = call.x_args[position].detach().requires_grad_()
    args = [*call.x_args[:position], at, *call.x_args[position + 1 :]]
    with torch.enable_grad():
        out = _first(call.target(*args, **call.kwargs))
        found: torch.Tensor = torch.autograd.grad(out.sum(), at)[0]
    return found


def _near(call: Call, slope: torch.Tensor, at: torch.Tensor) -> None:
    """Put right the slopes of small differences, at some elements counted over all of the references' side.

    Below :data:`SMALL` it is the derivative at the sequence. Otherwise it is the secant in double precision, where the
    model has single: few digits are left of f(x) - f(r) there.
    """
    position = call.varying[0]
    x, r = call.pairing.at(call.x, call.r, at), call.r.reshape(-1)[at]

    def f(values: torch.Tensor) -> torch.Tensor:
        args = [
            value.detach().expand(call.r.shape).reshape(-1)[at].to(values.dtype) if _is_array(value) else value
            for value in call.r_args
        ]
        args[position] = values
        return _first(call.target(*args, **call.kwargs))

    with torch.enable_grad():
        x.requires_grad_()
        (found,) = torch.autograd.grad(f(x).sum(), x)
    x = x.detach()
    if x.dtype == torch.float32:
        x, r = x.double(), r.double()
        found = torch.where((x - r).abs() < SMALL, found, (f(x) - f(r)) / (x - r)).to(slope.dtype)
    slope.view(-1)[at] = found


def _is_array(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.ndim > 0


def _secants(call: Call, fx: torch.Tensor, fr: torch.Tensor) -> torch.Tensor:
    """Slopes in the shape of the references' side."""
    coarse = _COARSE if call.r.dtype == torch.float32 else 0.0
    found = kernels.secants(call.pairing, (call.x, call.r, fx, fr), small=SMALL, coarse=coarse)
    if found is None:
        x, r = call.pairing.side_by_side(call.x, call.r)
        v, w = call.pairing.side_by_side(fx, fr)
        d_in, size = x - r, v.abs() + w.abs() + 0.1 * (x.abs() + r.abs())
        near = d_in.abs() < (size * coarse).clamp(min=SMALL)
        found = ((v - w) / d_in).reshape(fr.shape).contiguous(), near.reshape(-1).nonzero()[:, 0]
    slope, at = found
    if len(at):
        _near(call, slope, at)
    return slope


def rescale(call: Call) -> tuple[Any, Any]:
    """The rescale rule for a function of one varying argument."""
    call.broadcast()
    out_x = call.target(*call.x_args, **call.kwargs)
    out_r = call.target(*(still(value) for value in call.r_args), **call.kwargs)
    fx, fr = _first(out_x), _first(out_r)
    exact = _exact_slope(call)
    if exact is None and call.name not in _STEPS:
        slope = _secants(call, fx, fr)
    else:
        x, r = call.pairing.side_by_side(call.x, call.r)
        paired = call.pairing.side_by_side(fx, fr)
        if exact is not None:
            slope = exact(x, r, *paired).reshape(fr.shape)
        else:
            step = secant(torch.sub(*paired), x - r, torch.zeros_like(paired[1]), least=torch.finfo(x.dtype).tiny)
            slope = step.reshape(fr.shape)
    replaced = call.result(fr, lambda grad: (grad * slope,))
    return out_x, (replaced, *out_r[1:]) if isinstance(out_r, tuple) else replaced


def shapley(call: Call) -> tuple[Any, Any]:
    """Mean secants of a function of two varying arguments: exact, since both orders of change sum to f(x) - f(r)."""
    call.broadcast()

    def f(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = call.target(a, b, *call.x_args[2:], **call.kwargs)
        return value

    out_x, out_r = call.both(f)
    a, a_r = call.pairing.side_by_side(call.x_args[0], call.r_args[0].detach())
    b, b_r = call.pairing.side_by_side(call.x_args[1], call.r_args[1].detach())
    fx, fr = call.pairing.side_by_side(out_x, out_r)
    a_alone, b_alone = f(a, b_r), f(a_r, b)
    slopes = []
    for position, (one, other) in enumerate(((a_alone, b_alone), (b_alone, a_alone))):
        x, r = ((a, a_r), (b, b_r))[position]
        at_x = call.pairing.side_by_side(_derivative(call, position), out_r)[0]
        mean = secant((fx - other + one - fr) / 2, x - r, at_x, least=SMALL)
        slopes.append(mean.reshape(out_r.shape))
    return out_x, call.result(out_r, lambda grad: (grad * slopes[0], grad * slopes[1]))


def product(call: Call) -> tuple[Any, Any]:
    """The midpoint rule: each factor's multiplier is the mean of the other one."""
    call.broadcast()
    out_x, out_r = call.both(torch.mul)
    middles = [midpoint(call, position) for position in (1, 0)]
    return out_x, call.result(out_r, lambda grad: (grad * middles[0], grad * middles[1]))


def midpoint(call: Call, position: int) -> torch.Tensor:
    """Mean of an argument for sequence and reference, in the shape of the reference's."""
    r: torch.Tensor = call.r_args[position].detach()
    x, r_view = call.pairing.side_by_side(call.x_args[position], r)
    return torch.lerp(r_view, x.expand_as(r_view), 0.5).reshape(r.shape)


def quotient(call: Call) -> tuple[Any, Any]:
    """``a / b`` as the product of a and 1 / b, whose secant is ``-1 / (b b_r)``."""
    if call.kwargs.get("rounding_mode") is not None:
        return (rescale if len(call.varying) == 1 else shapley)(call)
    call.broadcast()
    out_x, out_r = call.target(*call.x_args), call.target(*(still(value) for value in call.r_args))
    b, b_r = call.pairing.side_by_side(call.x_args[1], call.r_args[1].detach())
    if call.varying == (1,):
        slope = -call.r_args[0] / (b * b_r).reshape(out_r.shape)
        return out_x, call.result(out_r, lambda grad: (grad * slope,))
    middle = midpoint(call, 0)
    by_a = ((1 / b + 1 / b_r) * 0.5).reshape(out_r.shape)
    by_b = -middle / (b * b_r).reshape(out_r.shape)
    return out_x, call.result(out_r, lambda grad: (grad * by_a, grad * by_b))


def glu(call: Call) -> tuple[Any, Any]:
    """``a * sigmoid(b)`` of the two halves of an axis: the midpoint rule and the secant of the sigmoid."""
    dim = call.argument(1, -1)
    out_x, out_r = call.both(lambda value: call.target(value, dim))
    (a, b), (a_r, b_r) = (value.chunk(2, dim) for value in (call.x, call.r))
    s, s_r = b.sigmoid(), b_r.sigmoid()
    pair = call.pairing.side_by_side
    d_in, d_out = torch.sub(*pair(b, b_r)), torch.sub(*pair(s, s_r))
    slope = secant(d_out, d_in, pair(s * (1 - s), s_r)[0], least=SMALL).reshape(b_r.shape)
    by_a = torch.add(*pair(s, s_r)).mul(0.5).reshape(a_r.shape)
    by_b = torch.add(*pair(a, a_r)).mul(0.5).reshape(a_r.shape) * slope
    return out_x, call.result(out_r, lambda grad: (torch.cat([grad * by_a, grad * by_b], dim),))


def _choose(one: Rule, two: Rule) -> Rule:
    return lambda call: (one if len(call.varying) == 1 else two)(call)


RULES: dict[str, Rule] = {
    **{name: _choose(rescale, shapley) for name in [*_RESCALED, *_STEPS, *_EXACT]},
    "mul": product,
    "div": quotient,
    "glu": glu,
}
