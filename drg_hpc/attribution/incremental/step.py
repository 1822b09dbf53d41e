"""What a step of an incremental pass is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch.fx import Node

from drg_hpc.attribution.incremental.axes import Positions
from drg_hpc.attribution.incremental.kernels import Windows
from drg_hpc.attribution.incremental.run import Run

Span = tuple[int, int]
"""Positions from the first to before the last."""
Bounds = tuple[NDArray[np.int64], NDArray[np.int64]]
"""First positions, and those after the last, of each edit."""


class Step(ABC):
    """Computes a value from others at the positions that edits may change.

    Attributes
    ----------
    node : whose value it gives
    sources : nodes with positions that it reads
    out : positions of the value; None where it has none (see :class:`Collapse`)
    """

    node: Node
    sources: tuple[Node, ...]
    out: Positions

    wants: ClassVar[str] = "value"
    """What it reads best: ``delta``, ``value``, or ``same`` as what is wanted of its own value."""
    gives: str = "delta"
    """What is wanted of its value; set when all steps are known."""

    def changed(self, given: Mapping[Node, Windows]) -> Bounds:
        """Positions of the value that can change when the sources change at some; the same unless a step moves them."""
        return union(given, self.sources)

    def needed(self, span: Span) -> Span:
        """Positions of the sources that some positions of the value are made of; may go beyond the ends."""
        return span

    @abstractmethod
    def run(self, run: Run) -> None:
        """Compute the rows of :attr:`node`."""

    def reads(self) -> tuple[Node, ...]:
        """Nodes whose values without edits it needs besides those of its sources and its own."""
        return ()

    def macs(self, windows: Mapping[Node, Windows]) -> int:
        """Multiply-adds for all edits."""
        return 0

    def full_macs(self) -> int:
        """Multiply-adds of all positions of one row."""
        return 0

    def bytes(self, windows: Mapping[Node, Windows]) -> int:
        """Memory that it takes for all edits."""
        return 4 * windows[self.node].total * self.out.width


class Collapse(Step):
    """A step whose value has no positions: a row an edit, noted in ``run.whole``.

    Attributes
    ----------
    number : of the node in the trace
    """

    number: int

    def changed(self, given: Mapping[Node, Windows]) -> Bounds:
        raise AssertionError("a value without positions has no windows")

    def needed(self, span: Span) -> Span:
        raise AssertionError("all positions of the sources are needed")

    def bytes(self, windows: Mapping[Node, Windows]) -> int:
        return 0


def union(windows: Mapping[Node, Windows], sources: tuple[Node, ...]) -> Bounds:
    """The smallest windows that contain those of all sources."""
    lo, hi = windows[sources[0]].lo, windows[sources[0]].hi
    for source in sources[1:]:
        lo, hi = hull(lo, hi, windows[source].lo, windows[source].hi)
    return lo, hi


def hull(lo: NDArray[np.int64], hi: NDArray[np.int64], lo2: NDArray[np.int64], hi2: NDArray[np.int64]) -> Bounds:
    """The smallest windows around two; an empty one counts for nothing."""
    empty, empty2 = hi <= lo, hi2 <= lo2
    first = np.where(empty, lo2, np.where(empty2, lo, np.minimum(lo, lo2)))
    last = np.where(empty, hi2, np.where(empty2, hi, np.maximum(hi, hi2)))
    return first, last


def hull_of_span(a: Span | None, b: Span) -> Span:
    """The smallest span around two."""
    return b if a is None else (min(a[0], b[0]), max(a[1], b[1]))


def in_blocks(lo: NDArray[np.int64], hi: NDArray[np.int64], size: int) -> Bounds:
    """The blocks of ``size`` positions that some windows touch."""
    first = lo // size
    return first, np.where(hi > lo, -(-hi // size), first)
