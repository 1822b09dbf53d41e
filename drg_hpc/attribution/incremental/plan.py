"""The plan of an incremental pass: which operations are computed where edits can change them, which in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.fx import Node

from drg_hpc.attribution.incremental.axes import Flat, Positions, Stacked, shape_of
from drg_hpc.attribution.incremental.classify import classify
from drg_hpc.attribution.incremental.kernels import Windows
from drg_hpc.attribution.incremental.scene import Kind, Scene
from drg_hpc.attribution.incremental.step import Collapse, Span, Step, hull_of_span
from drg_hpc.attribution.incremental.steps_conv import Convolution
from drg_hpc.attribution.incremental.steps_values import Through
from drg_hpc.attribution.trace import Trace, op_name

_WHOLE_FROM = 1.5
"""Share of all multiply-adds from which on windows are not worth their trouble."""


@dataclass
class Plan:
    """Steps for the edits of one input, in order.

    Attributes
    ----------
    trace : of one row
    source : the input that is edited
    steps : of nodes with positions, and those that end in none
    kinds : of nodes that edits change, with positions
    reached : nodes that edits change
    whole : nodes that are computed in full, a row an edit
    spans : positions of each node that the output is made of
    """

    trace: Trace
    source: Node
    steps: list[Step]
    kinds: dict[Node, Kind]
    reached: frozenset[Node]
    whole: list[Node]
    spans: dict[Node, Span] = field(default_factory=dict)

    def windows(self, lo: NDArray[np.int64], hi: NDArray[np.int64]) -> dict[Node, Windows]:
        """Positions of every node that some edits can change, of which the output is made."""
        found = {self.source: self._cut(self.source, lo, hi)}
        for step in self.steps:
            if not isinstance(step, Collapse):
                found[step.node] = self._cut(step.node, *step.changed(found))
        return found

    def _cut(self, node: Node, lo: NDArray[np.int64], hi: NDArray[np.int64]) -> Windows:
        first, last = self.spans[node]
        cut = np.clip(lo, first, last)
        return Windows(cut, np.maximum(np.clip(hi, first, last), cut))

    def macs(self, windows: Mapping[Node, Windows]) -> int:
        """Multiply-adds of some edits, operations in full left out."""
        return sum(step.macs(windows) for step in self.steps)


def make_plan(trace: Trace, source: Node, like: torch.Tensor) -> Plan:
    """The plan for edits of an input, with full computation from where windows cover most of what there is.

    Parameters
    ----------
    trace : of one row
    source : placeholder of the input
    like : a tensor of the device and type computed with
    """
    plan = _build(trace, source, like, until=len(trace.nodes))
    number = {node: i for i, node in enumerate(trace.nodes)}
    middle = shape_of(source)[2] // 2  # type: ignore[index]
    windows = plan.windows(np.array([middle]), np.array([middle + 1]))
    costs = [(number[step.node], step.macs(windows), step.full_macs()) for step in plan.steps]
    for i in range(len(costs)):
        mine, full = (sum(cost[k] for cost in costs[i:]) for k in (1, 2))
        if full and mine > _WHOLE_FROM * full:
            return _build(trace, source, like, until=costs[i][0])
    return plan


def _build(trace: Trace, source: Node, like: torch.Tensor, *, until: int) -> Plan:
    number = {node: i for i, node in enumerate(trace.nodes)}
    reached = trace.reached([source])
    shape = shape_of(source)
    assert shape is not None
    kinds: dict[Node, Kind] = {source: Positions(shape, 2)}
    scene = Scene(trace, frozenset(reached), kinds, number, like)
    steps: list[Step] = []
    whole: list[Node] = []
    for i, node in enumerate(trace.nodes):
        if node not in reached or node.op != "call_function":
            continue
        changed = [used for used in node.all_input_nodes if used in reached]
        makers = [used for used in changed if shape_of(used) is None]  # of several results
        known = [used for used in changed if used not in makers] + [
            used for maker in makers for used in maker.all_input_nodes if used in reached
        ]
        if shape_of(node) is None:
            continue  # its results are looked at one by one
        step, kind = classify(node, scene) if i < until and all(used in kinds for used in known) else (None, None)
        if step is not None:
            steps.append(step)
        if kind is not None:
            kinds[node] = kind
        if step is None and kind is None:
            whole.append(node)
    plan = Plan(trace, source, steps, kinds, frozenset(reached), whole)
    _fuse(plan)
    _prune(plan)
    _spans(plan)
    _wants(plan)
    return plan


def _users(plan: Plan, node: Node) -> list[Node]:
    return [user for user in node.users if user in plan.trace.needed]


def _fuse(plan: Plan) -> None:
    """Put batch norms and ReLUs into the convolutions before them, where nothing else reads what lies between."""
    by_node = {step.node: i for i, step in enumerate(plan.steps)}
    for i, step in enumerate(plan.steps):
        if not isinstance(step, Convolution):
            continue
        while (after := _only_reader(plan, step.node, by_node)) is not None:
            at = by_node[after]
            following = plan.steps[at]
            if step.relu:
                break
            if isinstance(following, Through) and following.factor is not None:
                groups = step.weight.shape[0]
                factor = following.factor.reshape(groups, 1, 1, -1)
                step = replace(step, node=after, before=after, weight=step.weight * factor)
            elif op_name(after) == "relu" and step.out == following.out:
                step = replace(step, node=after, relu=True)
            else:
                break
            plan.steps[i] = step
            plan.steps[at] = _Gone(after)
            by_node[after] = i
    plan.steps = [step for step in plan.steps if not isinstance(step, _Gone)]


def _only_reader(plan: Plan, node: Node, by_node: Mapping[Node, int]) -> Node | None:
    """The step's node that alone reads a node, through the several results of an operation where there are any."""
    users = _users(plan, node)
    if len(users) == 1 and shape_of(users[0]) is None:
        users = _users(plan, users[0])
    return users[0] if len(users) == 1 and users[0] in by_node else None


class _Gone(Through):
    """A step that another one does."""

    def __init__(self, node: Node) -> None:
        self.node, self.sources = node, ()


def _prune(plan: Plan) -> None:
    """Leave out steps that nothing reads, such as the parts of a softmax pooling."""
    wanted = {plan.trace.output, *_read_in_full(plan)}
    kept: list[Step] = []
    for step in reversed(plan.steps):
        if step.node in wanted or isinstance(step, Collapse):
            kept.append(step)
            wanted.update(step.sources)
    plan.steps = kept[::-1]


def _read_in_full(plan: Plan) -> list[Node]:
    """Nodes with positions all of which are read."""
    found = [used for node in plan.whole for used in _read_by(plan, node)]
    return found + _placed(plan, plan.trace.output)


def _read_by(plan: Plan, node: Node) -> list[Node]:
    """Nodes with positions that a node computed in full reads."""
    return [found for used in node.all_input_nodes for found in _placed(plan, used)]


def _placed(plan: Plan, node: Node) -> list[Node]:
    """Nodes with positions that a value is put together from, through several results and values that are not made."""
    kind = plan.kinds.get(node)
    if isinstance(kind, Flat | Stacked):
        return [kind.source]
    if kind is not None:
        return [node]
    return _read_by(plan, node) if node in plan.reached and shape_of(node) is None else []


def _spans(plan: Plan) -> None:
    """Positions of each node that the output is made of, from the end to the beginning."""
    spans: dict[Node, Span] = {}

    def positions(node: Node) -> Positions:
        kind = plan.kinds[node]
        return kind if isinstance(kind, Positions) else kind.positions

    def need(node: Node, span: Span) -> None:
        length = positions(node).length
        inside = min(max(span[0], 0), length), max(min(span[1], length), 0)
        spans[node] = hull_of_span(spans.get(node), (inside[0], max(inside)))

    for used in _read_in_full(plan):
        need(used, (0, positions(used).length))
    for step in reversed(plan.steps):
        for source in step.sources:
            whole = isinstance(step, Collapse)
            need(source, (0, positions(source).length) if whole else step.needed(spans[step.node]))
    spans.setdefault(plan.source, (0, positions(plan.source).length))
    plan.spans = spans


def _wants(plan: Plan) -> None:
    """Whether steps should give values or differences: values where one reader wants them."""
    wanted: dict[Node, set[str]] = {used: {"value"} for used in _read_in_full(plan)}
    for step in reversed(plan.steps):
        step.gives = "value" if "value" in wanted.get(step.node, ()) else "delta"
        for source in step.sources:
            wanted.setdefault(source, set()).add(step.gives if step.wants == "same" else step.wants)


def read_without_edits(plan: Plan) -> set[Node]:
    """Nodes whose values without edits a pass may ask for."""
    found = {plan.source, plan.trace.output}
    for step in plan.steps:
        found.update((step.node, *step.sources, *step.reads()))
    whole: Sequence[Node] = [step.node for step in plan.steps] + plan.whole
    for node in whole:
        found.update(used for used in node.all_input_nodes if used not in plan.reached)
        for maker in node.all_input_nodes:
            if shape_of(maker) is None:
                found.update(used for used in maker.all_input_nodes if used not in plan.reached)
    return found
