"""Which ATen operations DeepLIFT treats how: linear ones by their gradient, others by a rule."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Node

from drg_hpc.attribution import rules_choice, rules_elementwise, rules_max, rules_norm, rules_softmax
from drg_hpc.attribution.rules_call import Call, Gradients, Rule
from drg_hpc.attribution.trace import Trace, op_name

_MOVING = [
    "_unsafe_view", "alias", "as_strided_copy", "cat", "channel_shuffle", "clone", "col2im", "constant_pad_nd",
    "contiguous", "diag_embed", "diagonal", "diagonal_scatter", "expand", "flip", "getitem", "im2col", "lift_fresh",
    "lift_fresh_copy", "numpy_T", "permute", "pixel_shuffle", "pixel_unshuffle", "reflection_pad1d", "reflection_pad2d",
    "repeat", "replication_pad1d", "replication_pad2d", "reshape", "roll", "rot90", "select", "select_scatter", "slice",
    "slice_scatter", "split", "split_with_sizes", "squeeze", "stack", "t", "transpose", "tril", "triu", "unbind",
    "unfold", "unsafe_split", "unsafe_split_with_sizes", "unsqueeze", "view",
]  # fmt: skip
_ADDING = [
    "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "_upsample_nearest_exact1d", "_upsample_nearest_exact2d",
    "adaptive_avg_pool1d", "add", "avg_pool1d", "avg_pool2d", "avg_pool3d", "cumsum", "mean", "neg", "positive", "rsub",
    "sub", "sum", "trace", "upsample_bilinear2d", "upsample_linear1d", "upsample_nearest1d", "upsample_nearest2d",
]  # fmt: skip
LINEAR = frozenset(_MOVING + _ADDING)
"""Linear in all their tensors together."""
LINEAR_IN: dict[str, frozenset[int]] = {
    "div": frozenset({0}),
    "where": frozenset({1, 2}),
    "masked_fill": frozenset({0, 2}),
    "lerp": frozenset({0, 1}),
    "index": frozenset({0}),
    "index_select": frozenset({0}),
    "gather": frozenset({0}),
    "scatter": frozenset({0, 3}),
    "scatter_add": frozenset({0, 3}),
    "index_add": frozenset({0, 3}),
    "index_put": frozenset({0, 2}),
    "grid_sampler_2d": frozenset({0}),
}
"""Linear in the arguments at these positions, if no other one varies."""
PRODUCTS: dict[str, tuple[int, ...]] = {
    "mul": (0, 1), "mm": (0, 1), "bmm": (0, 1), "mv": (0, 1), "dot": (0, 1), "addmm": (1, 2), "addmv": (1, 2),
    "baddbmm": (1, 2), "addbmm": (1, 2), "linear": (0, 1), "convolution": (0, 1), "_trilinear": (0, 1, 2),
    "addcmul": (1, 2),
}  # fmt: skip
"""Positions of the factors; linear in everything else, and where one factor alone varies."""


def bilinear(call: Call) -> tuple[Any, Any]:
    """The midpoint rule: the gradient of the product at the mean of sequence and reference, for two factors."""
    factors = PRODUCTS[call.name]
    if sum(position in call.varying for position in factors) > 2:
        raise NotImplementedError("a product of three varying tensors")
    if call.name == "mul":
        return rules_elementwise.product(call)
    out_x = call.target(*call.x_args, **call.kwargs)
    r_args = [value.detach() if i in call.varying else value for i, value in enumerate(call.r_args)]
    out_r = call.target(*r_args, **call.kwargs)
    middles = {
        i: rules_elementwise.midpoint(call, i).requires_grad_() if i in factors else r_args[i].requires_grad_()
        for i in call.varying
    }
    at = call.target(*(middles.get(i, value) for i, value in enumerate(r_args)), **call.kwargs)

    def backward(grad: torch.Tensor) -> Gradients:
        return torch.autograd.grad(at, list(middles.values()), grad, retain_graph=True)

    return out_x, call.result(out_r, backward)


def matrix_product(call: Call) -> tuple[Any, Any]:
    """The midpoint rule for ``mm`` and ``bmm``."""
    out_x, out_r = call.both(call.target)
    left, right = (rules_elementwise.midpoint(call, position).transpose(-1, -2) for position in (0, 1))
    return out_x, call.result(out_r, lambda grad: (grad @ right, left @ grad))


def cast(call: Call) -> tuple[Any, Any]:
    """``_to_copy`` to another type of floating-point numbers; to bool it is ``x != 0``."""
    wanted = call.kwargs.get("dtype")
    if wanted == torch.bool:
        inner = Call(torch.ne, "ne", (call.x, 0.0), (call.r_args[0], 0.0), {}, (0,), call.pairing)
        return rules_choice.comparison(inner)
    if wanted is not None and not wanted.is_floating_point:
        raise NotImplementedError(f"a conversion to {wanted}")
    return tuple(call.target(args[0], **call.kwargs) for args in (call.x_args, call.r_args))


def is_narrow_convolution(node: Node, trace: Trace) -> bool:
    """Whether a linear node is a convolution of few channels, such as the one of a sequence, on a CPU."""
    if op_name(node) != "convolution" or varying_positions(node, trace) != (0,):
        return False
    weight = trace.constants.get(node.args[1])  # type: ignore[arg-type]
    stride, _, dilation, transposed, _, groups = node.args[3:]
    plain = stride == dilation == [1] and not transposed and groups == 1
    if weight is None or weight.device.type != "cpu" or weight.ndim != 3 or not plain:
        return False
    return bool(weight.shape[1] <= 8 and weight.shape[0] >= 8 * weight.shape[1])


def narrow_convolution(call: Call) -> tuple[Any, Any]:
    """A convolution (stride 1) whose gradient is one matrix product for the taps of all positions, and a sum of taps.

    PyTorch's own gradient takes twice as long for four channels on a CPU.
    """
    out_x, out_r = call.both(lambda value: call.target(value, *call.x_args[1:]))
    weight, padding = call.x_args[1], call.x_args[4][0]
    channels, size = weight.shape[1:]
    taps = weight.permute(1, 2, 0).reshape(channels * size, -1)
    length = call.r.shape[-1]

    def backward(grad: torch.Tensor) -> Gradients:
        rows, _, positions = grad.shape
        width = positions + size  # in rows one longer than wanted, tap t of position i stands at [t, i + t]
        given = torch.nn.functional.pad((taps @ grad).view(rows, channels, size, positions), (0, size))
        skewed = given.reshape(rows, channels, -1)[..., : size * (width - 1)].view(rows, channels, size, width - 1)
        return (skewed.sum(2)[..., padding : padding + length],)

    return out_x, call.result(out_r, backward)


def detached(call: Call) -> tuple[Any, Any]:
    """``detach``: here the same values, which differ between sequence and reference, so they count."""
    return call.x_args[0], call.r_args[0]


def copied(call: Call) -> tuple[Any, Any]:
    """``copy(into, source)``: the source in the shape and type of ``into``."""
    return tuple(args[1].to(args[0].dtype).expand(args[0].shape) for args in (call.x_args, call.r_args))


RULES: dict[str, Rule] = {
    **rules_elementwise.RULES,
    **rules_choice.RULES,
    **rules_max.RULES,
    **rules_norm.RULES,
    **rules_softmax.RULES,
    **dict.fromkeys(PRODUCTS, bilinear),
    "mm": matrix_product,
    "bmm": matrix_product,
    "_to_copy": cast,
    "copy": copied,
    "detach": detached,
    "maximum": lambda call: (rules_max.of_two if len(call.varying) == 2 else rules_elementwise.rescale)(call),
    "minimum": lambda call: (rules_max.of_two if len(call.varying) == 2 else rules_elementwise.rescale)(call),
}
"""By the name of the operation."""


def varying_positions(node: Node, trace: Trace) -> tuple[int | str, ...]:
    """Arguments of a node that depend on the sequences: positions, or names."""

    def varies(value: Any) -> bool:
        if isinstance(value, Node):
            return value in trace.varying
        return isinstance(value, list | tuple) and any(varies(item) for item in value)

    named = (key for key, value in node.kwargs.items() if varies(value))
    return (*(i for i, value in enumerate(node.args) if varies(value)), *named)


def is_linear(node: Node, trace: Trace) -> bool:
    """Whether a varying node is linear (plus a constant) in what varies."""
    name, varying = op_name(node), set(varying_positions(node, trace))
    if name in LINEAR:
        return True
    if name in PRODUCTS:
        return sum(position in varying for position in PRODUCTS[name]) <= 1 and all(
            isinstance(position, int) for position in varying
        )
    if name in ("native_batch_norm", "cudnn_batch_norm", "miopen_batch_norm"):
        return varying == {0} and not node.args[5]  # in training mode it is not
    if name == "_native_batch_norm_legit_no_training":
        return varying == {0}
    return name in LINEAR_IN and varying <= LINEAR_IN[name] and node.kwargs.get("rounding_mode") is None


def find_rule(node: Node, trace: Trace) -> Rule | None:
    """The rule of a varying node that is not linear; None if there is none."""
    rule = RULES.get(op_name(node))
    if rule is None or any(isinstance(position, str) for position in varying_positions(node, trace)):
        return None
    others = [user for user in node.users if op_name(user) == "getitem" and user.args[1] != 0 and user in trace.needed]
    return None if others else rule  # places, or statistics: nothing may be computed from them
