"""Which step computes an operation of a trace at some positions only; none where all of them are needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.fx import Node

from drg_hpc.attribution.incremental import find_moves as moves
from drg_hpc.attribution.incremental import find_sums as sums
from drg_hpc.attribution.incremental import find_windows as windows
from drg_hpc.attribution.incremental.axes import (
    Blocks,
    Flat,
    Positions,
    Stacked,
    dims_of,
    is_float,
    is_pointwise,
    shape_of,
)
from drg_hpc.attribution.incremental.scene import NOTHING, Found, Scene, packed, source_of
from drg_hpc.attribution.incremental.steps_values import Packed
from drg_hpc.attribution.trace import op_name


def classify(node: Node, scene: Scene) -> Found:
    """The step for a node that an edit changes, all of whose changed arguments have positions or are flat."""
    changed = [used for used in node.all_input_nodes if scene.changed(used)]
    shape = shape_of(node)
    if shape is None or not changed:
        return NOTHING
    if any(isinstance(scene.kinds.get(used), Flat) for used in changed):
        return windows.flat_linear(node, scene)
    if any(isinstance(scene.kinds.get(used), Stacked) for used in changed):
        return windows.stacked_linear(node, scene)
    name = op_name(node)
    found = _MAKERS[name](node, scene) if name in _MAKERS else NOTHING
    if found == NOTHING and is_pointwise(node):
        found = packed(node, scene)
    step, kind = found
    if step is not None and not isinstance(step, Packed) and not all(is_float(used) for used in step.sources):
        return NOTHING  # truth values and whole numbers have no differences
    positions = kind.positions if isinstance(kind, Blocks) else kind
    return NOTHING if isinstance(positions, Positions) and positions.shape[0] != 1 else (step, kind)


def _item(node: Node, scene: Scene) -> Found:
    """One of several results."""
    producer, index = node.args
    assert isinstance(producer, Node) and isinstance(index, int)
    name = op_name(producer)
    if name == "max_pool2d_with_indices":
        return windows.max_pool(node, producer, scene) if index == 0 else NOTHING
    if name == "adaptive_max_pool2d":
        return windows.adaptive_max_pool(node, producer, scene) if index == 0 else NOTHING
    found = source_of(producer, scene)
    if found is None:
        return NOTHING
    ndim = len(found[1].shape)
    if name in ("split", "split_with_sizes", "chunk", "unsafe_split", "unbind"):
        dim = producer.args[2 if name != "unbind" else 1] if len(producer.args) > (2 if name != "unbind" else 1) else 0
        if dims_of(dim, ndim)[0] == found[1].axis:
            return NOTHING
        axis = found[1].axis - (name == "unbind" and dims_of(dim, ndim)[0] < found[1].axis)
        return packed(node, scene, linear=True, call=producer, item=index, axis=axis)
    if index == 0 and name == "native_batch_norm":
        return sums.batch_norm(node, producer, scene, found)
    if index == 0 and name == "native_layer_norm":
        normalized: Any = producer.args[1]
        if found[1].axis >= ndim - len(normalized):
            return NOTHING
        return packed(node, scene, call=producer, item=0)
    if index == 0 and name in ("max", "min"):
        return sums.extreme(node, scene, producer, found)
    return NOTHING


def _negative(node: Node, scene: Scene) -> Found:
    return packed(node, scene, linear=True)


_MAKERS: dict[str, Callable[[Node, Scene], Found]] = {
    "convolution": windows.convolution,
    "avg_pool2d": windows.mean_pool,
    "avg_pool1d": windows.mean_pool,
    "_adaptive_avg_pool2d": windows.adaptive_mean_pool,
    "constant_pad_nd": moves.padded,
    "slice": moves.sliced,
    "flip": moves.flipped,
    "reshape": moves.reshaped,
    "add": sums.added,
    "sub": sums.added,
    "mul": sums.product,
    "div": sums.product,
    "neg": _negative,
    "alias": moves.renamed,
    "detach": moves.renamed,
    "contiguous": moves.renamed,
    "transpose": moves.turned,
    "permute": moves.turned,
    "unsqueeze": moves.turned,
    "squeeze": moves.turned,
    "select": moves.turned,
    "expand": moves.spread,
    "repeat": moves.repeated,
    "cat": moves.joined,
    "stack": moves.joined,
    "getitem": _item,
    "sum": sums.total,
    "mean": sums.total,
    "amax": sums.largest,
    "amin": sums.largest,
    "index": moves.indexed,
    "index_select": moves.index_selected,
    "upsample_nearest1d": moves.upsampled,
    "_upsample_nearest_exact1d": moves.upsampled,
    "_softmax": sums.named(1, linear=False),
    "_log_softmax": sums.named(1, linear=False),
    "glu": sums.named(1, linear=False),
    "logsumexp": lambda node, scene: sums.reduced(node, scene),
}
"""By the name of the operation; pointwise ones need no entry."""
