"""Pads, crops, strided slices, mirrors, blocks: positions move, values stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.fx import Node

from drg_hpc.attribution.incremental.axes import Positions
from drg_hpc.attribution.incremental.kernels import Windows
from drg_hpc.attribution.incremental.run import Run, same
from drg_hpc.attribution.incremental.step import Bounds, Span, Step, in_blocks


@dataclass
class Move(Step):
    """Position i becomes ``i + shift``: a pad, or a slice with step 1."""

    node: Node
    sources: tuple[Node, ...]
    out: Positions
    shift: int
    wants = "same"

    def changed(self, given: Mapping[Node, Windows]) -> Bounds:
        w = given[self.sources[0]]
        return w.lo + self.shift, w.hi + self.shift

    def needed(self, span: Span) -> Span:
        return span[0] - self.shift, span[1] - self.shift

    def run(self, run: Run) -> None:
        state, out = run.states[self.sources[0]], run.windows[self.node]
        back = Windows(out.lo - self.shift, out.hi - self.shift)
        whole = same(back, state.windows)
        rows = state.on(state.windows if whole else back, state.known)
        run.state(self.node, self.out, pairs=state.pairs if whole else None, **{state.known: rows})


@dataclass
class Same(Step):
    """Rows that are those of the source: only axes of one, or the shape of features, are others."""

    node: Node
    sources: tuple[Node, ...]
    out: Positions
    wants = "same"

    def bytes(self, windows: Mapping[Node, Windows]) -> int:
        return 0

    def run(self, run: Run) -> None:
        state = run.states[self.sources[0]]
        if same(run.windows[self.node], state.windows):
            run.states[self.node] = state.renamed(self.node, self.out)
        else:
            run.state(self.node, self.out, **{state.known: state.on(run.windows[self.node], state.known)})


@dataclass
class Pick(Step):
    """Position q is position ``of[q]`` of the source, never one before the last: an upsampling, a slice with a step, or
    chosen positions."""

    node: Node
    sources: tuple[Node, ...]
    out: Positions
    of: NDArray[np.int64]
    wants = "same"

    def changed(self, given: Mapping[Node, Windows]) -> Bounds:
        w = given[self.sources[0]]
        return np.searchsorted(self.of, w.lo), np.searchsorted(self.of, w.hi)

    def needed(self, span: Span) -> Span:
        return (int(self.of[span[0]]), int(self.of[span[1] - 1]) + 1) if span[0] < span[1] else (0, 0)

    def run(self, run: Run) -> None:
        state, out = run.states[self.sources[0]], run.windows[self.node]
        w = state.windows
        at = self.of[out.positions] + np.repeat(w.offsets[:-1] - w.lo, out.widths)
        rows = state.rows(state.known)
        run.state(self.node, self.out, **{state.known: rows[torch.from_numpy(at).to(rows.device)]})


@dataclass
class Mirror(Step):
    """Positions in reverse order, and perhaps features too."""

    node: Node
    sources: tuple[Node, ...]
    given: Positions
    out: Positions
    dims: tuple[int, ...]
    wants = "same"

    def changed(self, given: Mapping[Node, Windows]) -> Bounds:
        w = given[self.sources[0]]
        return self.out.length - w.hi, self.out.length - w.lo

    def needed(self, span: Span) -> Span:
        return self.out.length - span[1], self.out.length - span[0]

    def run(self, run: Run) -> None:
        state, out = run.states[self.sources[0]], run.windows[self.node]
        back = Windows(self.out.length - out.hi, self.out.length - out.lo)
        rows = state.on(back, state.known)
        packed = self.given.pack(rows)
        turned = self.out.unpack(packed.flip(self.dims) if self.dims else packed)
        at = np.repeat(back.offsets[:-1] + back.widths - 1, back.widths)
        at -= np.arange(back.total) - np.repeat(back.offsets[:-1], back.widths)
        run.state(self.node, self.out, **{state.known: turned[torch.from_numpy(at).to(rows.device)]})


@dataclass
class Cut(Step):
    """Positions cut into blocks: whole blocks, with what the reference has around the change."""

    node: Node
    sources: tuple[Node, ...]
    given: Positions
    out: Positions
    size: int
    wants = "same"

    def changed(self, given: Mapping[Node, Windows]) -> Bounds:
        w = given[self.sources[0]]
        return in_blocks(w.lo, w.hi, self.size)

    def needed(self, span: Span) -> Span:
        return span[0] * self.size, span[1] * self.size

    def run(self, run: Run) -> None:
        state, out = run.states[self.sources[0]], run.windows[self.node]
        whole = Windows(out.lo * self.size, out.hi * self.size)
        packed = self.given.pack(state.on(whole, state.known))
        rows = self.out.unpack(packed.reshape(self.out.packed_shape(out.total)))
        run.state(self.node, self.out, **{state.known: rows})


@dataclass
class Joined(Step):
    """Blocks and the places in them become positions again."""

    node: Node
    sources: tuple[Node, ...]
    given: Positions
    out: Positions
    size: int
    wants = "same"

    def changed(self, given: Mapping[Node, Windows]) -> Bounds:
        w = given[self.sources[0]]
        return w.lo * self.size, w.hi * self.size

    def needed(self, span: Span) -> Span:
        return span[0] // self.size, -(-span[1] // self.size)

    def run(self, run: Run) -> None:
        state, out = run.states[self.sources[0]], run.windows[self.node]
        whole = Windows(state.windows.lo * self.size, state.windows.hi * self.size)
        packed = self.given.pack(state.rows(state.known))
        rows = self.out.unpack(packed.reshape(self.out.packed_shape(whole.total)))
        if not same(whole, out):
            rows = run.kernels.refit(rows, whole, out, None)
        run.state(self.node, self.out, **{state.known: rows})


@dataclass
class Sum(Step):
    """The sum, or the difference, of values with positions: differences are added up where windows meet.

    Parameters
    ----------
    factors : of each source; a source that no edit changes is not among them
    """

    node: Node
    sources: tuple[Node, ...]
    out: Positions
    factors: tuple[float, ...]
    wants = "delta"

    def run(self, run: Run) -> None:
        out = run.windows[self.node]
        states = [run.states[source] for source in self.sources]
        order = sorted(range(len(states)), key=lambda i: -states[i].windows.total)
        widest = states[order[0]]
        rows = widest.on(out, "delta") * self.factors[order[0]]
        for i in order[1:]:
            delta, factor = states[i].delta(), self.factors[i]
            run.kernels.accumulate(rows, out, delta if factor == 1 else delta * factor, states[i].windows)
        run.state(self.node, self.out, delta=rows)
