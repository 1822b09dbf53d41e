"""What is known of a trace while its steps are chosen, and the choice for operations that treat positions alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node

from drg_hpc.attribution.incremental.axes import Blocks, Flat, Positions, is_pointwise, shape_of
from drg_hpc.attribution.incremental.step import Step
from drg_hpc.attribution.incremental.steps_values import Packed
from drg_hpc.attribution.trace import Trace

Kind = Positions | Flat | Blocks
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
    """An operation on packed values, where all its arguments stand alike along the positions."""
    made = call or node
    nodes = [used for used in made.all_input_nodes if scene.changed(used)]
    positions = [scene.positions(used) for used in nodes]
    if any(p is None for p in positions):
        return NOTHING
    known = [p for p in positions if p is not None]
    first = known[0]
    if any(p.length != first.length or (axis is None and p.from_right != first.from_right) for p in known):
        return NOTHING
    out_shape = shape_of(node)
    assert out_shape is not None
    place = len(out_shape) + first.from_right if axis is None else axis
    if not 0 < place < len(out_shape) or out_shape[place] != first.length:
        return NOTHING
    along: dict[Node, Positions] = {}
    for used in made.all_input_nodes:
        other = shape_of(used) if not isinstance(scene.trace.constants.get(used), torch.Tensor) else None
        if used in nodes:
            continue
        constant = scene.constant(used)
        found = tuple(constant.shape) if constant is not None else other
        if found is None:
            return NOTHING
        alike = joins or is_pointwise(made)
        if alike and len(found) >= -first.from_right and found[first.from_right] != 1:
            if found[first.from_right] != first.length:
                return NOTHING
            full = (1,) * (len(out_shape) - len(found)) + found
            along[used] = Positions(full, len(full) + first.from_right)
    out = Positions(out_shape, place)
    return Packed(node, tuple(nodes), tuple(known), out, made, item, along, linear, shape), out
