"""Steps for sums, products, norms and reductions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.fx import Node

from drg_hpc.attribution.incremental.axes import Blocks, Positions, dims_of, shape_of
from drg_hpc.attribution.incremental.scene import NOTHING, Found, Scene, out_of, packed, source_of
from drg_hpc.attribution.incremental.steps_moves import Sum
from drg_hpc.attribution.incremental.steps_values import (
    MaximumOverPositions,
    SoftmaxPool,
    Through,
    TotalOverPositions,
)
from drg_hpc.attribution.rules import is_linear
from drg_hpc.attribution.trace import op_name


def added(node: Node, scene: Scene) -> Found:
    """``add`` and ``sub``."""
    args: Any = node.args
    left, right = args[:2]
    kwargs: Any = node.kwargs
    alpha = float(kwargs.get("alpha", 1))
    factors = {0: 1.0, 1: alpha if op_name(node) == "add" else -alpha}
    changed = [i for i, value in enumerate((left, right)) if scene.changed(value)]
    sources = tuple(args[i] for i in changed)
    positions = [scene.positions(source) for source in sources]
    shape = shape_of(node)
    assert shape is not None
    if any(p is None or p.shape != shape for p in positions) or len({p.axis for p in positions if p}) != 1:
        return packed(node, scene)
    out = positions[0]
    assert out is not None
    if len(sources) == 1 and factors[changed[0]] == 1:
        return Through(node, sources, out, out), out
    return Sum(node, sources, out, tuple(factors[i] for i in changed)), out


def product(node: Node, scene: Scene) -> Found:
    """``mul`` and ``div``, linear where one factor alone changes."""
    linear = sum(scene.changed(value) for value in node.args[:2]) == 1 and is_linear(node, scene.trace)
    others = [used for used in node.all_input_nodes if not scene.changed(used)]
    return packed(node, scene, linear=linear and all(scene.constant(used) is not None for used in others))


def named(*positions: int, linear: bool = True) -> Callable[[Node, Scene], Found]:
    """An operation over the dimensions in some arguments, none of which may be that of positions."""

    def make(node: Node, scene: Scene) -> Found:
        found = source_of(node, scene)
        if found is None:
            return NOTHING
        ndim = len(found[1].shape)
        for position in positions:
            given = node.args[position] if position < len(node.args) else None
            if found[1].axis in dims_of(given, ndim):
                return NOTHING
        return packed(node, scene, linear=linear)

    return make


def batch_norm(node: Node, producer: Node, scene: Scene, found: tuple[Node, Positions]) -> Found:
    factor = norm_factor(producer, scene)
    if factor is None or found[1].axis == 1:
        return NOTHING
    out = out_of(node, found[1].axis)
    shaped = factor.view(1, -1, *[1] * (len(out.shape) - 2))
    return Through(node, (found[0],), found[1], out, shaped), out


def norm_factor(producer: Node, scene: Scene) -> torch.Tensor | None:
    """What a batch norm in eval mode multiplies each channel by."""
    args: Any = producer.args
    _, weight, _, _, variance, training, _, eps = args
    scale, spread = scene.constant(weight), scene.constant(variance)
    if training or spread is None or (weight is not None and scale is None):
        return None
    factor: torch.Tensor = (spread + eps).rsqrt()
    return factor if scale is None else factor * scale


def total(node: Node, scene: Scene) -> Found:
    """``sum`` and ``mean``."""
    found = source_of(node, scene)
    shape = shape_of(node)
    assert shape is not None
    if found is None or node.kwargs.get("dtype") is not None:
        return NOTHING
    first, given = found
    ndim = len(given.shape)
    dims = dims_of(node.args[1] if len(node.args) > 1 else None, ndim)
    if 0 in dims:
        return NOTHING
    pooled = _softmax_pool(node, scene, dims)
    if pooled is not None:
        return pooled
    if given.axis not in dims:
        return packed(node, scene, linear=True, axis=_axis_left(given, dims, shape))
    features = tuple(dim - (dim > given.axis) for dim in dims if dim != given.axis)
    factor = 1.0 / math.prod(given.shape[dim] for dim in dims) if op_name(node) == "mean" else 1.0
    step = TotalOverPositions(node, scene.number[node], (first,), given, features, shape, factor)
    return step, None


def _softmax_pool(node: Node, scene: Scene, dims: list[int]) -> Found | None:
    """``(softmax(logits) * values).sum(-1)`` over the places of blocks."""
    product = node.args[0]
    assert isinstance(product, Node)
    given = scene.positions(product)
    if (op_name(node), op_name(product)) != ("sum", "mul") or given is None:
        return None
    if len(given.shape) - 1 != given.axis + 1 or dims != [given.axis + 1]:
        return None
    args: Any = product.args
    a, b = args[:2]
    for weights, values in ((b, a), (a, b)):
        if not isinstance(weights, Node) or op_name(weights) not in ("_softmax", "softmax"):
            continue
        logits: Any = weights.args[0]
        last = dims_of(weights.args[1], len(given.shape))[0]
        cuts = scene.kinds.get(values), scene.kinds.get(logits)
        if last != given.axis + 1 or not all(isinstance(cut, Blocks) for cut in cuts):
            continue
        cut, other = cuts
        assert isinstance(cut, Blocks) and isinstance(other, Blocks)
        positions = scene.positions(cut.source)
        if positions is None or cut.size != other.size or shape_of(cut.source) != shape_of(other.source):
            continue
        sources = (cut.source,) if cut.source is other.source else (cut.source, other.source)
        out = out_of(node, given.axis)
        return SoftmaxPool(node, sources, positions, out, cut.size), out
    return None


def extreme(node: Node, scene: Scene, producer: Node, found: tuple[Node, Positions]) -> Found:
    """``max(dim)`` and ``min(dim)``, their values."""
    first, given = found
    dim = dims_of(producer.args[1], len(given.shape))[0]
    shape = shape_of(node)
    assert shape is not None
    if dim == given.axis:
        if op_name(producer) != "max":
            return NOTHING
        return MaximumOverPositions(node, scene.number[node], (first,), given, shape), None
    return packed(node, scene, call=producer, item=0, axis=_axis_left(given, [dim], shape))


def largest(node: Node, scene: Scene) -> Found:
    """``amax`` and ``amin``."""
    found = source_of(node, scene)
    shape = shape_of(node)
    assert shape is not None
    if found is None:
        return NOTHING
    first, given = found
    dims = dims_of(node.args[1] if len(node.args) > 1 else None, len(given.shape))
    if 0 in dims:
        return NOTHING
    if dims == [given.axis] and op_name(node) == "amax":
        return MaximumOverPositions(node, scene.number[node], (first,), given, shape), None
    if given.axis in dims:
        return NOTHING
    return packed(node, scene, axis=_axis_left(given, dims, shape))


def reduced(node: Node, scene: Scene) -> Found:
    """A reduction of features that is not linear."""
    found = source_of(node, scene)
    shape = shape_of(node)
    if found is None or shape is None:
        return NOTHING
    given = found[1]
    dims = dims_of(node.args[1], len(given.shape))
    if given.axis in dims or 0 in dims:
        return NOTHING
    return packed(node, scene, axis=_axis_left(given, dims, shape))


def _axis_left(given: Positions, dims: Sequence[int], shape: Sequence[int]) -> int:
    """The axis of positions after a reduction of features, which keeps their axes or not."""
    return given.axis if len(shape) == len(given.shape) else given.axis - sum(dim < given.axis for dim in dims)
