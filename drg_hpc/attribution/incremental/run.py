"""What is known while some edits of one sequence are computed: the reference's values, and where edits change them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.fx import Node

from drg_hpc.attribution.incremental.axes import Positions
from drg_hpc.attribution.incremental.kernels import Kernels, Windows


class Reference:
    """Values of the unchanged row at the nodes of a trace of one row.

    Parameters
    ----------
    values : of nodes
    """

    def __init__(self, values: Mapping[Node, Any]) -> None:
        self.values = values
        self._rows: dict[Node, torch.Tensor] = {}
        self._made: dict[Any, Any] = {}

    def rows(self, node: Node, positions: Positions) -> torch.Tensor:
        """Positions outermost, (L, F)."""
        found = self._rows.get(node)
        if found is None:
            found = self._rows[node] = positions.unpack(self.values[node])
        return found

    def made(self, key: Any, make: Callable[[], Any]) -> Any:
        """Something made of the reference once."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


class State:
    """A node's values at the positions that edits may change, as values, as differences from the reference, or both.

    Parameters
    ----------
    windows : of each edit, the positions
    delta, value : rows (R, F), at least one of them
    pairs : where rows are sequences: number of the (old base, new base) pair of each
    """

    def __init__(
        self, run: Run, node: Node, positions: Positions, windows: Windows, *, delta: torch.Tensor | None = None,
        value: torch.Tensor | None = None, pairs: torch.Tensor | None = None,
    ) -> None:  # fmt: skip
        self._run, self.node, self.positions, self.windows = run, node, positions, windows
        self._delta, self._value, self.pairs = delta, value, pairs

    @property
    def reference(self) -> torch.Tensor:
        """The node's rows without edits, (L, F)."""
        return self._run.reference.rows(self.node, self.positions)

    @property
    def known(self) -> str:
        """``delta`` or ``value``: what there is."""
        return "delta" if self._delta is not None else "value"

    def rows(self, kind: str) -> torch.Tensor:
        """``delta`` or ``value``."""
        return self.delta() if kind == "delta" else self.value()

    def delta(self) -> torch.Tensor:
        """Differences from the reference."""
        if self._delta is None:
            assert self._value is not None
            self._delta = self._run.kernels.sub_ref(self._value, self.reference, self.windows)
        return self._delta

    def value(self) -> torch.Tensor:
        """Values."""
        if self._value is None:
            assert self._delta is not None
            self._value = self._run.kernels.add_ref(self._delta, self.reference, self.windows)
        return self._value

    def renamed(self, node: Node, positions: Positions) -> State:
        """The same rows as those of another node."""
        return State(self._run, node, positions, self.windows, delta=self._delta, value=self._value, pairs=self.pairs)

    def on(self, windows: Windows, kind: str) -> torch.Tensor:
        """Rows on other windows: cut, or filled with what the reference has there."""
        rows = self.rows(kind)
        if same(windows, self.windows):
            return rows
        return self._run.kernels.refit(rows, self.windows, windows, self.reference if kind == "value" else None)


def same(a: Windows, b: Windows) -> bool:
    """Whether windows are the same ones."""
    return a is b or bool((a.lo == b.lo).all() and (a.hi == b.hi).all())


class Run:
    """Some edits of one row.

    Attributes
    ----------
    windows : of every node with positions, those that its state has
    states : by node
    whole : values with all positions, a row an edit, by the number of a node
    """

    def __init__(self, reference: Reference, kernels: Kernels, windows: Mapping[Node, Windows], *, edits: int) -> None:
        self.reference, self.kernels, self.windows, self.edits = reference, kernels, windows, edits
        self.states: dict[Node, State] = {}
        self.whole: dict[int, torch.Tensor] = {}

    def state(self, node: Node, positions: Positions, **rows: torch.Tensor | None) -> None:
        """Note the rows of a node."""
        self.states[node] = State(self, node, positions, self.windows[node], **rows)

    def constant(self, value: Any) -> Any:
        """The reference's value of an argument that no edit changes."""
        return self.reference.values[value] if isinstance(value, Node) else value
