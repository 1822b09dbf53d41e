"""Operations that treat positions alike, on packed values; poolings and reductions over positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node
from torch.fx.node import map_arg

from drg_hpc.attribution.incremental.axes import Positions
from drg_hpc.attribution.incremental.kernels import Windows
from drg_hpc.attribution.incremental.run import Run
from drg_hpc.attribution.incremental.step import Bounds, Collapse, Span, Step, in_blocks, union
from drg_hpc.attribution.incremental.steps_conv import pooled, unpooled


@dataclass
class Packed(Step):
    """An operation that treats every position alike, run on packed values as it is.

    Parameters
    ----------
    positions : of each source
    call : the node that is called; ``node`` itself, or where that takes one result of several, the node that makes them
    item : which result
    along : arguments with a value of their own for each position that no edit changes -> axis of positions
    linear : differences go through it as values do
    shape : whether the last argument is the shape of the value
    """

    node: Node
    sources: tuple[Node, ...]
    positions: tuple[Positions, ...]
    out: Positions
    call: Node
    item: int | None
    along: Mapping[Node, Positions]
    linear: bool
    shape: bool = False

    @property
    def wants(self) -> str:  # type: ignore[override]
        """Linear ones take what is there."""
        return "same" if self.linear else "value"

    def reads(self) -> tuple[Node, ...]:
        return tuple(self.along)

    def run(self, run: Run) -> None:
        out = run.windows[self.node]
        states = [run.states[source] for source in self.sources]
        kind = "value"
        if self.linear:
            kinds = {state.known for state in states}
            kind = self.gives if len(kinds) > 1 else kinds.pop()
        packed: dict[Node, Any] = {
            source: positions.pack(state.on(out, kind))
            for source, positions, state in zip(self.sources, self.positions, states, strict=True)
        }
        for node, positions in self.along.items():
            packed[node] = positions.pack(run.kernels.take(run.reference.rows(node, positions), out))

        def known(node: Node) -> Any:
            return packed[node] if node in packed else run.constant(node)

        args, kwargs = map_arg((self.call.args, self.call.kwargs), known)
        if self.shape:
            args = (args[0], self.out.packed_shape(out.total))
        found = self.call.target(*args, **kwargs)  # type: ignore[operator]
        run.state(self.node, self.out, **{kind: self.out.unpack(found if self.item is None else found[self.item])})


@dataclass
class Through(Step):
    """A value whose differences are those of its source: a constant was added, or it only has another name."""

    node: Node
    sources: tuple[Node, ...]
    given: Positions
    out: Positions
    factor: torch.Tensor | None = None
    wants = "delta"

    def run(self, run: Run) -> None:
        delta = run.states[self.sources[0]].on(run.windows[self.node], "delta")
        if self.factor is not None:
            delta = self.out.unpack(self.given.pack(delta) * self.factor)
        run.state(self.node, self.out, delta=delta)


@dataclass
class MaxPool(Step):
    """A maximum over windows of positions."""

    node: Node
    sources: tuple[Node, ...]
    given: Positions
    out: Positions
    size: int
    stride: int
    pad: int
    dilation: int
    wants = "value"

    def changed(self, given: Mapping[Node, Windows]) -> Bounds:
        return pooled(given[self.sources[0]], self.size, self.stride, self.pad, self.dilation)

    def needed(self, span: Span) -> Span:
        return unpooled(span, self.size, self.stride, self.pad, self.dilation)

    def reads(self) -> tuple[Node, ...]:
        return self.sources

    def run(self, run: Run) -> None:
        state = run.states[self.sources[0]]
        rows = run.kernels.max_pool(
            state.value(), state.reference, state.windows, run.windows[self.node],
            size=self.size, stride=self.stride, pad=self.pad, dilation=self.dilation,
        )  # fmt: skip
        run.state(self.node, self.out, value=rows)


@dataclass
class SoftmaxPool(Step):
    """The softmax-weighted mean of each block: what lies outside of the changed positions is summed beforehand.

    Parameters
    ----------
    sources : values, and logits where they are another value
    """

    node: Node
    sources: tuple[Node, ...]
    given: Positions
    out: Positions
    size: int
    wants = "value"

    def changed(self, given: Mapping[Node, Windows]) -> Bounds:
        return in_blocks(*union(given, self.sources), self.size)

    def needed(self, span: Span) -> Span:
        return span[0] * self.size, span[1] * self.size

    def reads(self) -> tuple[Node, ...]:
        return self.sources

    def run(self, run: Run) -> None:
        values, logits = run.states[self.sources[0]], run.states[self.sources[-1]]
        lo, hi = union(run.windows, self.sources)
        inside = values.windows if values is logits else Windows(lo, hi)
        v = values.on(inside, "value")
        a = v if values is logits else logits.on(inside, "value")
        tables = run.reference.made(
            self.node, lambda: run.kernels.softmax_tables(logits.reference, values.reference, self.size)
        )
        rows = run.kernels.softmax_pool(a, v, tables, inside, run.windows[self.node], self.size)
        run.state(self.node, self.out, value=rows)


@dataclass
class TotalOverPositions(Collapse):
    """A sum or mean over positions, and perhaps over features besides.

    Parameters
    ----------
    dims : of features that are summed too, in the shape (edits, features)
    shape : of the value
    factor : that the sum is multiplied by
    """

    node: Node
    number: int
    sources: tuple[Node, ...]
    given: Positions
    dims: tuple[int, ...]
    shape: tuple[int, ...]
    factor: float
    wants = "delta"

    def run(self, run: Run) -> None:
        state = run.states[self.sources[0]]
        total = run.kernels.segment_sum(state.delta(), state.windows).view(run.edits, *self.given.features)
        if self.dims:
            total = total.sum(self.dims)
        change = (total * self.factor).reshape(run.edits, *self.shape[1:])
        run.whole[self.number] = run.reference.values[self.node] + change


@dataclass
class MaximumOverPositions(Collapse):
    """A maximum over all positions."""

    node: Node
    number: int
    sources: tuple[Node, ...]
    given: Positions
    shape: tuple[int, ...]
    wants = "value"

    def reads(self) -> tuple[Node, ...]:
        return self.sources

    def run(self, run: Run) -> None:
        state = run.states[self.sources[0]]
        before, after = run.reference.made(self.node, lambda: run.kernels.outer_max(state.reference))
        lo, hi = (torch.from_numpy(ends).to(before.device) for ends in (state.windows.lo, state.windows.hi))
        inside = run.kernels.segment_max(state.value(), state.windows)
        found = torch.maximum(torch.maximum(before[lo], after[hi]), inside)
        run.whole[self.number] = found.reshape(run.edits, *self.shape[1:])
