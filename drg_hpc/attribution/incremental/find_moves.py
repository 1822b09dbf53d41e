"""Steps for operations that move values: pads, slices, reshapes, transposes, joins."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.fx import Node

from drg_hpc.attribution.incremental.axes import (
    Blocks,
    Flat,
    Positions,
    Stacked,
    cut_axis,
    dims_of,
    joined_axis,
    kept_axis,
    shape_of,
)
from drg_hpc.attribution.incremental.scene import NOTHING, Found, Scene, out_of, packed, source_of
from drg_hpc.attribution.incremental.steps_moves import Cut, Joined, Mirror, Move, Pick, Same
from drg_hpc.attribution.trace import op_name


def padded(node: Node, scene: Scene) -> Found:
    found = source_of(node, scene)
    if found is None:
        return NOTHING
    first, given = found
    pads: Any = node.args[1]
    by_axis = {-1 - i: (pads[2 * i], pads[2 * i + 1]) for i in range(len(pads) // 2)}
    own = by_axis.pop(given.from_right, (0, 0))
    if any(both != (0, 0) for both in by_axis.values()):
        return NOTHING
    out = out_of(node, given.axis)
    return Move(node, (first,), out, own[0]), out


def sliced(node: Node, scene: Scene) -> Found:
    found = source_of(node, scene)
    if found is None:
        return NOTHING
    first, given = found
    args: Any = list(node.args) + [None] * 5
    dim = (args[1] or 0) % len(given.shape)
    if dim != given.axis:
        return packed(node, scene, linear=True)
    start = args[2] or 0
    start = max(0, start + given.length) if start < 0 else min(start, given.length)
    step = args[4] or 1
    out = out_of(node, given.axis)
    if step == 1:
        return Move(node, (first,), out, -start), out
    return Pick(node, (first,), out, start + step * np.arange(out.length)), out


def flipped(node: Node, scene: Scene) -> Found:
    found = source_of(node, scene)
    if found is None:
        return NOTHING
    first, given = found
    dims = dims_of(node.args[1], len(given.shape))
    if given.axis not in dims:
        return packed(node, scene, linear=True)
    out = out_of(node, given.axis)
    others = tuple(dim for dim in dims if dim != given.axis)
    return Mirror(node, (first,), given, out, others), out


def reshaped(node: Node, scene: Scene) -> Found:
    found = source_of(node, scene)
    shape = shape_of(node)
    assert shape is not None
    if found is None:
        return NOTHING
    first, given = found
    axis = kept_axis(given, shape)
    if axis is not None:
        return renamed(node, scene, axis)
    kind = scene.kinds[first]
    axis = joined_axis(given, shape)
    if axis is not None:
        positions = Positions(shape, axis)
        return Joined(node, (first,), given, positions, given.shape[given.axis + 1]), positions
    axis = cut_axis(given, shape)
    if axis is not None and isinstance(kind, Positions):
        blocks = Blocks(first, Positions(shape, axis), shape[axis + 1])
        return Cut(node, (first,), given, blocks.positions, blocks.size), blocks
    if len(shape) == 2 and shape[0] == 1 and isinstance(kind, Positions):
        return None, Flat(first, given)
    if given.axis == 1 and shape == (given.length, given.width) and isinstance(kind, Positions):
        return None, Stacked(first, given)
    return NOTHING


def turned(node: Node, scene: Scene) -> Found:
    """``transpose`` and ``permute``, ``unsqueeze`` and ``squeeze``, ``select``: the axis of positions may move."""
    found = source_of(node, scene)
    if found is None:
        return NOTHING
    given, name = found[1], op_name(node)
    ndim = len(given.shape)
    if name == "permute":
        axis = dims_of(node.args[1], ndim).index(given.axis)
    elif name == "transpose":
        a, b = (dims_of(value, ndim)[0] for value in node.args[1:3])
        axis = {a: b, b: a}.get(given.axis, given.axis)
    elif name == "unsqueeze":
        dim = dims_of(node.args[1], ndim + 1)[0]
        axis = given.axis + (dim <= given.axis)
    else:  # squeeze and select take dimensions out
        dims = dims_of(node.args[1] if len(node.args) > 1 else None, ndim)
        if given.axis in dims or 0 in dims:
            return NOTHING
        dims = [dim for dim in dims if name == "select" or given.shape[dim] == 1]
        axis = given.axis - sum(dim < given.axis for dim in dims)
    if name in ("unsqueeze", "squeeze") or (name == "permute" and _in_order(node.args[1], given.axis)):
        return renamed(node, scene, axis)
    return packed(node, scene, linear=True, axis=axis)


def _in_order(dims: Any, axis: int) -> bool:
    """Whether a permutation leaves the features in their order."""
    features = [dim for dim in dims if dim not in (0, axis)]
    return next(iter(dims)) == 0 and features == sorted(features)


def renamed(node: Node, scene: Scene, axis: int | None = None) -> Found:
    """A value whose rows are those of its source.

    Parameters
    ----------
    axis : of positions, None where it is that of the source
    """
    found = source_of(node, scene)
    if found is None:
        return NOTHING
    out = out_of(node, found[1].axis if axis is None else axis)
    kind = scene.kinds[found[0]]
    known = Blocks(kind.source, out, kind.size) if isinstance(kind, Blocks) and axis is None else out
    return Same(node, (found[0],), out), known


def spread(node: Node, scene: Scene) -> Found:
    """``expand``: positions are not what is repeated."""
    found = source_of(node, scene)
    shape = shape_of(node)
    if found is None or shape is None or len(shape) != len(found[1].shape):
        return NOTHING
    return packed(node, scene, linear=True, shape=True)


def repeated(node: Node, scene: Scene) -> Found:
    found = source_of(node, scene)
    times: Any = node.args[1]
    if found is None or len(times) != len(found[1].shape) or times[found[1].axis] != 1:
        return NOTHING
    return packed(node, scene, linear=True)


def joined(node: Node, scene: Scene) -> Found:
    """``cat`` and ``stack`` along features."""
    parts: Any = node.args[0]
    stacks = op_name(node) == "stack"
    changed = [scene.positions(part) for part in parts if scene.changed(part)]
    first = changed[0]
    if first is None or any(p is None or p.axis != first.axis for p in changed):
        return NOTHING
    dim = dims_of(node.args[1] if len(node.args) > 1 else 0, len(first.shape) + stacks)[0]
    linear = len(changed) == len(parts)
    if stacks:
        return packed(node, scene, linear=True, axis=first.axis + (dim <= first.axis)) if linear else NOTHING
    return NOTHING if dim == first.axis else packed(node, scene, linear=linear, joins=True)


def indexed(node: Node, scene: Scene) -> Found:
    """``index`` with numbers of features, or of positions in order."""
    found = source_of(node, scene)
    indices: Any = node.args[1]
    if found is None:
        return NOTHING
    taken = [dim for dim, index in enumerate(indices) if index is not None]
    tensors = [scene.constant(indices[dim]) for dim in taken]
    if len(taken) != 1 or tensors[0] is None or tensors[0].ndim != 1:
        return NOTHING
    return _chosen(node, scene, found, taken[0], tensors[0])


def index_selected(node: Node, scene: Scene) -> Found:
    """``index_select``: as :func:`indexed`."""
    found, numbers = source_of(node, scene), scene.constant(node.args[2])
    if found is None or numbers is None or numbers.ndim != 1:
        return NOTHING
    return _chosen(node, scene, found, dims_of(node.args[1], len(found[1].shape))[0], numbers)


def _chosen(node: Node, scene: Scene, found: tuple[Node, Positions], dim: int, numbers: torch.Tensor) -> Found:
    first, given = found
    if dim != given.axis:
        return packed(node, scene, linear=True) if dim else NOTHING
    of = numbers.cpu().numpy().astype(np.int64)
    of = np.where(of < 0, of + given.length, of)
    if numbers.dtype == torch.bool or (np.diff(of) < 0).any():
        return NOTHING
    out = out_of(node, given.axis)
    return Pick(node, (first,), out, of), out


def upsampled(node: Node, scene: Scene) -> Found:
    """Upsampling to the nearest position: which one that is, torch itself says."""
    found = source_of(node, scene)
    if found is None or found[1].axis != 2:
        return NOTHING
    numbers = torch.arange(found[1].length).to(scene.like)[None, None]
    of = node.target(numbers, *node.args[1:], **node.kwargs)[0, 0]  # type: ignore[operator]
    out = out_of(node, 2)
    return Pick(node, (found[0],), out, of.cpu().numpy().astype(np.int64)), out
