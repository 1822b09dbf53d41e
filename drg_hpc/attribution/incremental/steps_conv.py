"""Convolutions, sums of windows, and linear layers of flattened values: only what changed is multiplied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.fx import Node

from drg_hpc.attribution.incremental.axes import Positions
from drg_hpc.attribution.incremental.kernels import Windows
from drg_hpc.attribution.incremental.run import Run, State, same
from drg_hpc.attribution.incremental.step import Bounds, Collapse, Span, Step

_NARROW = 4
"""Channels up to which positions, not channels, are what a loop goes over."""
BASE_CODES = 5
"""A, C, G, T, none."""


@dataclass
class Convolution(Step):
    """A convolution of one dimension, and what may follow it in the same pass: a batch norm, a ReLU.

    Position i reaches position q through tap k where ``i * up + shifts[k] == q * stride``. One matrix product gives the
    shares of all taps; they are added up where they belong.

    Parameters
    ----------
    node : whose value is given, the last of the chain
    before : the value before the ReLU; the same as ``node`` without one
    weight : (groups, in channels, taps, out channels) of each group, norm included
    """

    node: Node
    sources: tuple[Node, ...]
    given: Positions
    out: Positions
    before: Node
    before_positions: Positions
    weight: torch.Tensor
    shifts: tuple[int, ...]
    stride: int
    up: int
    relu: bool
    wants = "delta"
    _table: torch.Tensor | None = field(default=None, repr=False)

    def changed(self, given: Mapping[Node, Windows]) -> Bounds:
        w = given[self.sources[0]]
        lo = -(-(w.lo * self.up + min(self.shifts)) // self.stride)
        hi = ((w.hi - 1) * self.up + max(self.shifts)) // self.stride + 1
        return lo, np.where(w.hi > w.lo, np.maximum(hi, lo), lo)

    def needed(self, span: Span) -> Span:
        first, last = span[0] * self.stride, (span[1] - 1) * self.stride
        return -(-(first - max(self.shifts)) // self.up), (last - min(self.shifts)) // self.up + 1

    def reads(self) -> tuple[Node, ...]:
        return (self.before,)

    def macs(self, windows: Mapping[Node, Windows]) -> int:
        return windows[self.sources[0]].total * self.weight.numel()

    def full_macs(self) -> int:
        return (self.given.length if self.up > 1 else self.out.length) * self.weight.numel()

    def bytes(self, windows: Mapping[Node, Windows]) -> int:
        parts = windows[self.sources[0]].total * self.weight.numel() // self.weight.shape[1]
        return 4 * (windows[self.node].total * self.out.width + parts)

    def run(self, run: Run) -> None:
        state, out = run.states[self.sources[0]], run.windows[self.node]
        taps = len(self.shifts)
        channels = self.weight.shape[0] * self.weight.shape[3]
        reference = run.reference
        base = reference.rows(self.before, self.before_positions) if self.relu or self.gives == "value" else None
        less = reference.rows(self.node, self.out) if self.relu and self.gives == "delta" else None
        how: dict[str, Any] = {
            "shifts": self.shifts, "stride": self.stride, "up": self.up, "base": base, "relu": self.relu, "less": less
        }  # fmt: skip
        if state.pairs is not None:
            rows = run.kernels.taps(self.table(), state.windows, out, which=state.pairs, **how)
        elif channels <= _NARROW and taps > _NARROW and len(self.weight) == 1:
            flat = self.weight[0].permute(1, 2, 0).reshape(taps * channels, -1)
            rows = run.kernels.taps_narrow(flat @ state.delta().T, state.windows, out, **how)
        else:
            parts = self.parts(state.delta())
            plain = taps == 1 and base is None and same(state.windows, out) and self.shifts == (0,)
            if plain and self.stride == self.up == 1:
                rows = parts
            else:
                rows = run.kernels.taps(parts, state.windows, out, **how)
        run.state(self.node, self.out, **{self.gives: rows})

    def parts(self, delta: torch.Tensor) -> torch.Tensor:
        """Shares of every tap, (R, taps * channels)."""
        groups, inside, taps, outside = self.weight.shape
        if groups == 1:
            return delta @ self.weight.view(inside, taps * outside)
        by_group = delta.view(len(delta), groups, inside)
        return torch.einsum("rgc,gcko->rkgo", by_group, self.weight).reshape(len(delta), -1)

    def table(self) -> torch.Tensor:
        """Shares of every tap for each pair of an old and a new base: what a first layer looks up."""
        if self._table is None:
            onehot = torch.eye(BASE_CODES, 4, dtype=self.weight.dtype, device=self.weight.device)
            old = onehot.repeat_interleave(BASE_CODES, 0)
            self._table = self.parts(onehot.repeat(BASE_CODES, 1) - old)
        return self._table


@dataclass
class PoolSum(Step):
    """A mean over windows of positions."""

    node: Node
    sources: tuple[Node, ...]
    out: Positions
    size: int
    stride: int
    pad: int
    weight: torch.Tensor
    wants = "delta"

    def changed(self, given: Mapping[Node, Windows]) -> Bounds:
        return pooled(given[self.sources[0]], self.size, self.stride, self.pad)

    def needed(self, span: Span) -> Span:
        return unpooled(span, self.size, self.stride, self.pad)

    def run(self, run: Run) -> None:
        state = run.states[self.sources[0]]
        rows = run.kernels.pool_sum(
            state.delta(), state.windows, run.windows[self.node],
            size=self.size, stride=self.stride, pad=self.pad, weight=self.weight,
        )  # fmt: skip
        run.state(self.node, self.out, delta=rows)


def pooled(w: Windows, size: int, stride: int, pad: int, dilation: int = 1) -> Bounds:
    """Windows of a pooling that contain some positions."""
    lo = -(-(w.lo + pad - (size - 1) * dilation) // stride)
    hi = (w.hi - 1 + pad) // stride + 1
    return lo, np.where(w.hi > w.lo, np.maximum(hi, lo), lo)


def unpooled(span: Span, size: int, stride: int, pad: int, dilation: int = 1) -> Span:
    """Positions in some windows of a pooling."""
    return span[0] * stride - pad, (span[1] - 1) * stride - pad + (size - 1) * dilation + 1


@dataclass
class FlatLinear(Collapse):
    """A linear layer of a flattened value: the share of the positions that changed is added to what it gave.

    Parameters
    ----------
    weight : (positions, features, outputs)
    """

    node: Node
    number: int
    sources: tuple[Node, ...]
    weight: torch.Tensor
    wants = "delta"

    def macs(self, windows: Mapping[Node, Windows]) -> int:
        return windows[self.sources[0]].total * self.weight[0].numel()

    def full_macs(self) -> int:
        return self.weight.numel()

    def run(self, run: Run) -> None:
        state = run.states[self.sources[0]]
        out = run.reference.values[self.node].expand(run.edits, -1).clone()
        for position, edits, rows in by_position(state):
            out.index_add_(0, edits, state.delta()[rows] @ self.weight[position])
        run.whole[self.number] = out


def by_position(state: State) -> list[tuple[int, torch.Tensor, torch.Tensor]]:
    """Position, and numbers of the edits and rows that have it, for every position of some windows."""
    w, device = state.windows, state.rows(state.known).device
    if not w.total:
        return []
    positions = w.positions
    edits = np.repeat(np.arange(len(w.lo)), w.widths)
    order = np.argsort(positions, kind="stable")
    values, firsts = np.unique(positions[order], return_index=True)
    pieces = zip(np.split(edits[order], firsts[1:]), np.split(order, firsts[1:]), strict=True)
    return [
        (int(position), torch.from_numpy(e).to(device), torch.from_numpy(r).to(device))
        for position, (e, r) in zip(values, pieces, strict=True)
    ]
