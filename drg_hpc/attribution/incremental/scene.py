"""What is known of a trace while its steps are chosen, and the choice for operations that treat positions alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node

from drg_hpc.attribution.incremental.axes import Blocks, Flat, Positions, Stacked, is_float, is_pointwise, shape_of
from drg_hpc.attribution.incremental.step import Step
from drg_hpc.attribution.incremental.steps_values import Packed
from drg_hpc.attribution.trace import Trace

Kind = Positions | Flat | Blocks | Stacked
Found = tuple[Step | None, Kind | None]
"""The step, and what its value is; (None, Flat) for a flattened value, which is never made."""
NOTHING: Found = (None, None)


@dataclass(frozen=True)
class Scene:
    """What is known of a trace of one row.

    Parameters
    ----------
    reached : nodes that an edit changes
    kinds : of those of them that have positions
    number : of each node
    like : a tensor of the device and type computed with
    """

    trace: Trace
    reached: frozenset[Node]
    kinds: Mapping[Node, Kind]
    number: Mapping[Node, int]
    like: torch.Tensor

    def positions(self, node: Any) -> Positions | None:
        """Of a changed node that has an axis of them."""
        kind = self.kinds.get(node)
        return kind.positions if isinstance(kind, Blocks) else kind if isinstance(kind, Positions) else None

    def changed(self, node: Any) -> bool:
        """Whether an edit changes the value of an argument."""
        return isinstance(node, Node) and node in self.reached

    def constant(self, node: Any) -> torch.Tensor | None:
        """An argument's value where it is the same for all sequences."""
        found = self.trace.constants.get(node)
        return found if isinstance(found, torch.Tensor) else None


def source_of(node: Node, scene: Scene) -> tuple[Node, Positions] | None:
    """The first argument, where it is the one changed and has positions."""
    first = node.args[0]
    positions = scene.positions(first)
    others = [used for used in node.all_input_nodes if used is not first and scene.changed(used)]
    return None if positions is None or others or not isinstance(first, Node) else (first, positions)


def out_of(node: Node, axis: int) -> Positions:
    shape = shape_of(node)
    assert shape is not None
    return Positions(shape, axis)


def packed(
    node: Node, scene: Scene, *, linear: bool = False, axis: int | None = None, shape: bool = False,
    call: Node | None = None, item: int | None = None, joins: bool = False,
) -> Found:  # fmt: skip
    """An operation on packed values, where all its arguments stand alike along the positions.

    Parameters
    ----------
    linear, shape, call, item : see :class:`~drg_hpc.attribution.incremental.steps_values.Packed`
    axis : of positions in the value, None where it is that of the arguments, counted from the last
    joins : whether arguments are put next to each other, so that one of a single position is not spread over others
    """
    made = call or node
    nodes = [used for used in made.all_input_nodes if scene.changed(used)]
    known = [p for used in nodes if (p := scene.positions(used)) is not None]
    first, out_shape = known[0] if known else None, shape_of(node)
    if first is None or out_shape is None or len(known) < len(nodes):
        return NOTHING
    if any(p.length != first.length or (axis is None and p.from_right != first.from_right) for p in known):
        return NOTHING
    place = len(out_shape) + first.from_right if axis is None else axis
    if not 0 < place < len(out_shape) or out_shape[place] != first.length:
        return NOTHING
    others = [used for used in made.all_input_nodes if used not in nodes]
    along = _along(others, scene, first, ndim=len(out_shape), joins=joins) if joins or is_pointwise(made) else {}
    if along is None:
        return NOTHING
    out = Positions(out_shape, place)
    linear = linear and all(is_float(used) for used in nodes)
    return Packed(node, tuple(nodes), tuple(known), out, made, item, along, linear, shape), out


def _along(
    others: Sequence[Node], scene: Scene, like: Positions, *, ndim: int, joins: bool
) -> dict[Node, Positions] | None:
    """Unchanged arguments that have a value of their own for each position; None where one does not fit."""
    found: dict[Node, Positions] = {}
    for used in others:
        constant = scene.constant(used)
        shape = shape_of(used) if constant is None else tuple(constant.shape)
        if shape is None:
            return None
        if len(shape) < -like.from_right or (shape[like.from_right] == 1 and not joins):
            continue
        if shape[like.from_right] != like.length:
            return None
        full = (1,) * (ndim - len(shape)) + shape
        found[used] = Positions(full, len(full) + like.from_right)
    return found
