"""Steps for operations over windows of positions: convolutions, poolings, linear layers of flattened values."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.fx import Node

from drg_hpc.attribution.incremental.axes import Flat
from drg_hpc.attribution.incremental.scene import NOTHING, Found, Scene, out_of, source_of
from drg_hpc.attribution.incremental.steps_conv import Convolution, FlatLinear, PoolSum
from drg_hpc.attribution.incremental.steps_values import MaxPool
from drg_hpc.attribution.trace import op_name


def flat_linear(node: Node, scene: Scene) -> Found:
    name = op_name(node)
    args: Any = node.args
    at = {"addmm": 1, "mm": 0}.get(name)
    if at is None or node.kwargs:
        return NOTHING
    flat, matrix = scene.kinds.get(args[at]), scene.constant(args[at + 1])
    if not isinstance(flat, Flat) or matrix is None or (at == 1 and scene.changed(node.args[0])):
        return NOTHING
    given = flat.positions
    before = math.prod(given.shape[: given.axis])
    by_position = matrix.view(before, given.length, -1, matrix.shape[1]).movedim(1, 0)
    weight = by_position.reshape(given.length, given.width, -1).contiguous()
    return FlatLinear(node, scene.number[node], (flat.source,), weight), None


def convolution(node: Node, scene: Scene) -> Found:
    found = source_of(node, scene)
    weight = scene.constant(node.args[1])
    if found is None or weight is None or weight.ndim != 3 or found[1].axis != 2:
        return NOTHING
    args: Any = node.args
    (step,), (pad,), (apart,) = args[3:6]
    transposed, groups = args[6], args[8]
    taps = weight.shape[2]
    if transposed:  # (in channels, out channels of a group, taps)
        by_group = weight.view(groups, -1, *weight.shape[1:]).transpose(2, 3)
        shifts = tuple(tap * apart - pad for tap in range(taps))
    else:  # (out channels, in channels of a group, taps)
        by_group = weight.view(groups, -1, *weight.shape[1:]).permute(0, 2, 3, 1)
        shifts = tuple(pad - tap * apart for tap in range(taps))
    positions = out_of(node, 2)
    up, down = (step, 1) if transposed else (1, step)
    made = Convolution(
        node, (found[0],), found[1], positions, node, positions, by_group.contiguous(), shifts, down, up, relu=False
    )
    return made, positions


def _pool_numbers(node: Node) -> tuple[int, int, int, int, bool] | None:
    """Size, stride, pad, dilation and rounding of a pooling ``max_pool2d_with_indices`` over the last axis."""
    args: Any = list(node.args) + [None] * 6
    kernel = list(args[1])
    stride = list(args[2] or kernel)
    pad, dilation = list(args[3] or [0, 0]), list(args[4] or [1, 1])
    if kernel[0] != 1 or pad[0] != 0:
        return None
    return kernel[1], stride[1], pad[1], dilation[1], bool(args[5])


def max_pool(node: Node, producer: Node, scene: Scene) -> Found:
    found, numbers = source_of(producer, scene), _pool_numbers(producer)
    if found is None or numbers is None or found[1].from_right != -1:
        return NOTHING
    size, stride, pad, dilation, _ = numbers
    out = out_of(node, found[1].axis)
    return MaxPool(node, (found[0],), found[1], out, size, stride, pad, dilation), out


def mean_pool(node: Node, scene: Scene) -> Found:
    found = source_of(node, scene)
    args: Any = list(node.args) + [None] * 7
    kernel = list(args[1])
    stride, pad = list(args[2] or kernel), list(args[3] or [0] * len(kernel))
    if found is None or found[1].from_right != -1 or any(k != 1 for k in kernel[:-1]) or any(pad[:-1]):
        return NOTHING
    size, step, edge, length = kernel[-1], stride[-1], pad[-1], found[1].length
    out = out_of(node, found[1].axis)
    starts = torch.arange(out.length) * step - edge
    real = ((starts + size).clamp(max=length) - starts.clamp(min=0)).clamp(min=1)
    ones = torch.ones(1, 1, *[1] * (len(kernel) - 1), length, dtype=torch.float64)
    weight = node.target(ones, *node.args[1:], **node.kwargs).flatten() / real  # type: ignore[operator]
    return PoolSum(node, (found[0],), out, size, step, edge, weight.to(scene.like)), out
