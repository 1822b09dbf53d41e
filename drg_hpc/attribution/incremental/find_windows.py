"""Steps for operations over windows of positions: convolutions, poolings, linear layers of flattened values."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.fx import Node

from drg_hpc.attribution.incremental.axes import Flat, Positions, Stacked, shape_of
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


def stacked_linear(node: Node, scene: Scene) -> Found:
    """A linear layer of the features of each position, which torch computes with positions in place of the batch."""
    name, args = op_name(node), list[Any](node.args)
    at = {"addmm": 1, "mm": 0, "reshape": 0}.get(name)
    stacked = None if at is None else scene.kinds.get(args[at])
    if at is None or not isinstance(stacked, Stacked) or node.kwargs:
        return NOTHING
    if name != "reshape":
        matrix = scene.constant(args[at + 1])
        if matrix is None or stacked.matrix is not None or (at == 1 and scene.changed(args[0])):
            return NOTHING
        return None, Stacked(stacked.source, stacked.positions, matrix)
    out, given = out_of(node, 1), stacked.positions
    if stacked.matrix is None or out.shape != (1, given.length, stacked.matrix.shape[1]):
        return NOTHING
    weight = stacked.matrix[None, :, None, :].contiguous()
    made = Convolution(node, (stacked.source,), given, out, node, out, weight, (0,), 1, 1, relu=False)
    return made, out


def convolution(node: Node, scene: Scene) -> Found:
    """A convolution along positions; one over two dimensions whose kernel takes in the other one whole, as well."""
    found = source_of(node, scene)
    weight = scene.constant(node.args[1])
    if found is None or weight is None or found[1].axis < 2:
        return NOTHING
    given, along, args = found[1], found[1].axis - 2, list[Any](node.args)
    steps, pads, dilations, transposed, _, groups = args[3:9]
    others = [i for i in range(weight.ndim - 2) if i != along]
    whole = all(weight.shape[2 + i] == given.shape[2 + i] and pads[i] == 0 for i in others)
    if not whole or (transposed and others):
        return NOTHING
    step, pad, apart = steps[along], pads[along], dilations[along]
    weight = weight.movedim(given.axis, -1).flatten(1, -2)
    taps = weight.shape[2]
    if transposed:  # (in channels, out channels of a group, taps)
        by_group = weight.reshape(groups, -1, *weight.shape[1:]).transpose(2, 3)
        shifts = tuple(tap * apart - pad for tap in range(taps))
    else:  # (out channels, in channels of a group, taps)
        by_group = weight.reshape(groups, -1, *weight.shape[1:]).permute(0, 2, 3, 1)
        shifts = tuple(pad - tap * apart for tap in range(taps))
    out = out_of(node, given.axis)
    up, down = (step, 1) if transposed else (1, step)
    made = Convolution(node, (found[0],), given, out, node, out, by_group.contiguous(), shifts, down, up, relu=False)
    return made, out


def _pool_numbers(node: Node, given: Positions, ndim: int) -> tuple[int, int, int, int] | None:
    """Size, stride and pad of a pooling over positions alone, and its place in the lists of numbers.

    Parameters
    ----------
    ndim : dimensions that it goes over, the last ones
    """
    args: Any = list(node.args) + [None] * 4
    kernel = list(args[1])
    stride, pad = list(args[2] or kernel), list(args[3] or [0] * ndim)
    along = given.from_right + ndim
    for i in range(ndim):
        if i != along and (kernel[i] != 1 or pad[i] != 0 or (stride[i] != 1 and given.shape[i - ndim] != 1)):
            return None
    return None if along < 0 else (kernel[along], stride[along], pad[along], along)


def max_pool(node: Node, producer: Node, scene: Scene) -> Found:
    found = source_of(producer, scene)
    numbers = None if found is None else _pool_numbers(producer, found[1], 2)
    if found is None or numbers is None:
        return NOTHING
    size, stride, pad, along = numbers
    args: Any = producer.args
    dilation = list(args[4])[along] if len(args) > 4 else 1
    out = out_of(node, found[1].axis)
    return MaxPool(node, (found[0],), found[1], out, size, stride, pad, dilation), out


def mean_pool(node: Node, scene: Scene) -> Found:
    found = source_of(node, scene)
    ndim = int(op_name(node)[-2])
    numbers = None if found is None else _pool_numbers(node, found[1], ndim)
    if found is None or numbers is None:
        return NOTHING
    (size, step, edge, along), length = numbers, found[1].length
    out = out_of(node, found[1].axis)
    starts = torch.arange(out.length) * step - edge
    real = ((starts + size).clamp(max=length) - starts.clamp(min=0)).clamp(min=1)
    ones = torch.ones(1, 1, *[length if i == along else 1 for i in range(ndim)], dtype=torch.float64)
    weight = node.target(ones, *node.args[1:], **node.kwargs).flatten() / real  # type: ignore[operator]
    return PoolSum(node, (found[0],), out, size, step, edge, weight.to(scene.like)), out


def _even_bins(node: Node, found: tuple[Node, Positions] | None) -> int | None:
    """Positions of each bin of an adaptive pooling, where all bins have as many and features are not pooled."""
    shape = shape_of(node)
    if found is None or shape is None or found[1].axis < 2 or not shape[found[1].axis]:
        return None
    given = found[1]
    out = Positions(shape, given.axis)
    return given.length // out.length if given.features == out.features and given.length % out.length == 0 else None


def adaptive_mean_pool(node: Node, scene: Scene) -> Found:
    found = source_of(node, scene)
    size = _even_bins(node, found)
    if found is None or size is None:
        return NOTHING
    out = out_of(node, found[1].axis)
    weight = torch.full((out.length,), 1 / size, dtype=torch.float64).to(scene.like)
    return PoolSum(node, (found[0],), out, size, size, 0, weight), out


def adaptive_max_pool(node: Node, producer: Node, scene: Scene) -> Found:
    found = source_of(producer, scene)
    size = _even_bins(node, found)
    if found is None or size is None:
        return NOTHING
    out = out_of(node, found[1].axis)
    return MaxPool(node, (found[0],), found[1], out, size, size, 0, 1), out
