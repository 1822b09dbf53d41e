"""Where the positions of a sequence lie in the values of a traced network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node


@dataclass(frozen=True)
class Positions:
    """A value ``(1, …)`` with an axis of positions; all other axes are features of a position.

    Values of some positions of several edits are kept as *rows*: ``(R, F)``, positions outermost. *Packed* they have
    the shape of the value with R in place of all positions, so that operations that treat positions alike run as they
    are.

    Parameters
    ----------
    shape : of the value
    axis : of positions, not 0
    """

    shape: tuple[int, ...]
    axis: int

    @property
    def length(self) -> int:
        """Positions."""
        return self.shape[self.axis]

    @property
    def features(self) -> tuple[int, ...]:
        """Shape of one position."""
        return (*self.shape[1 : self.axis], *self.shape[self.axis + 1 :])

    @property
    def width(self) -> int:
        """Numbers of one position."""
        return math.prod(self.features)

    @property
    def from_right(self) -> int:
        """The axis, counted from the last one: -1, -2, …"""
        return self.axis - len(self.shape)

    def pack(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows (R, F) in the shape of the value, R positions: a view."""
        return rows.view(len(rows), *self.features).movedim(0, self.axis - 1)[None]

    def unpack(self, packed: torch.Tensor) -> torch.Tensor:
        """The reverse of :meth:`pack`, contiguous; leading axes of one may be missing."""
        packed = packed[(None,) * (len(self.shape) - packed.ndim)]
        return packed[0].movedim(self.axis - 1, 0).reshape(packed.shape[self.axis], self.width).contiguous()

    def packed_shape(self, rows: int) -> list[int]:
        """Shape of the value with ``rows`` positions."""
        return [*self.shape[: self.axis], rows, *self.shape[self.axis + 1 :]]


@dataclass(frozen=True)
class Flat:
    """A value ``(1, F)`` that all numbers of another with positions were laid out in."""

    source: Node
    positions: Positions


@dataclass(frozen=True)
class Blocks:
    """Positions cut into blocks of ``size``: ``positions`` has the blocks on its axis, places in them behind it.

    Parameters
    ----------
    source : the value that was cut
    """

    source: Node
    positions: Positions
    size: int


@dataclass(frozen=True)
class Stacked:
    """A value ``(L, F)``, which is never made: positions stand where rows do, for a linear layer of features.

    Parameters
    ----------
    source : ``(1, L, …)``, whose numbers these are
    matrix : (features of the source, F) that they were multiplied by, None where they were not
    """

    source: Node
    positions: Positions
    matrix: torch.Tensor | None = None


def shape_of(node: Node) -> tuple[int, ...] | None:
    """Shape of a node's value; None where it is no tensor."""
    shape = getattr(node.meta.get("tensor_meta"), "shape", None)
    return tuple(shape) if isinstance(shape, torch.Size) else None


def kept_axis(given: Positions, shape: Sequence[int]) -> int | None:
    """The axis that positions have after a reshape that leaves them apart; None if it does not."""
    before, after = math.prod(given.shape[: given.axis]), math.prod(given.shape[given.axis + 1 :])
    for axis in range(1, len(shape)):
        found = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
        if found == (before, given.length, after):
            return axis
    return None


def cut_axis(given: Positions, shape: Sequence[int]) -> int | None:
    """The axis of blocks after a reshape that cuts positions into blocks, places in them on the axis behind it."""
    before, after = math.prod(given.shape[: given.axis]), math.prod(given.shape[given.axis + 1 :])
    for axis in range(1, len(shape) - 1):
        around = math.prod(shape[:axis]), math.prod(shape[axis + 2 :])
        if around == (before, after) and shape[axis] * shape[axis + 1] == given.length:
            return axis
    return None


def joined_axis(given: Positions, shape: Sequence[int]) -> int | None:
    """The axis of positions after a reshape that makes positions of them and the places on the axis behind them."""
    if given.axis + 1 >= len(given.shape):
        return None
    before, after = math.prod(given.shape[: given.axis]), math.prod(given.shape[given.axis + 2 :])
    wanted = before, given.length * given.shape[given.axis + 1], after
    for axis in range(1, len(shape)):
        if (math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])) == wanted:
            return axis
    return None


def is_pointwise(node: Node) -> bool:
    """Whether an operation works number by number."""
    return torch.Tag.pointwise in getattr(node.target, "tags", ())


def is_float(node: Node) -> bool:
    """Whether a node's value is a tensor of real numbers in floating point."""
    dtype = getattr(node.meta.get("tensor_meta"), "dtype", None)
    return isinstance(dtype, torch.dtype) and dtype.is_floating_point


def dims_of(value: Any, ndim: int) -> list[int]:
    """Dimensions from 0, of one number or a list; all where there is none."""
    if value is None or value == []:
        return list(range(ndim))
    given = [value] if isinstance(value, int) else list(value)
    return [dim % ndim for dim in given]
