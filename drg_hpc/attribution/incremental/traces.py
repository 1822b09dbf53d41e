"""Traces of one row and of many: what tells whether values of many can be put together from those of one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.fx import Node

from drg_hpc.attribution.incremental.axes import Stacked, shape_of
from drg_hpc.attribution.incremental.scene import Kind
from drg_hpc.attribution.targets import Statistic
from drg_hpc.attribution.trace import Trace, op_name
from drg_hpc.errors import UsageError
from drg_hpc.models.profile_blocks import ordinary_convolutions


class Untraceable(UsageError):
    """The model's operations cannot be followed; it has to be run in full."""


@contextmanager
def refusing() -> Iterator[None]:
    """Operations that fail where they are not run as the model runs them: the model is run in full then.

    Raises
    ------
    Untraceable : in place of what an operation raises; running out of a GPU's memory stays what it is
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, LookupError, TypeError, ValueError) as error:
        told = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise Untraceable(f"its operations fail on rows put together from windows: {told}") from error


def alike(one: Trace, many: Trace, kinds: Mapping[Node, Kind]) -> bool:
    """Whether values with positions are those of one row with more rows, and nothing looks at memory."""
    if any(op_name(node).startswith("as_strided") for node in one.nodes):
        return False  # values are put together in another order than the model has them in
    pairs = [(shape_of(a), shape_of(b)) for a, b in zip(one.nodes, many.nodes, strict=True) if _has_rows(kinds.get(a))]
    return all(a is not None and b == (many.rows, *a[1:]) for a, b in pairs)


def _has_rows(kind: Kind | None) -> bool:
    return kind is not None and not isinstance(kind, Stacked)


def trace_of(statistic: Statistic, xs: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Trace:
    try:
        with ordinary_convolutions():
            return Trace(statistic, xs, params)
    except UsageError as error:
        raise Untraceable(str(error)) from error


def rows_of(x: torch.Tensor, count: int) -> torch.Tensor:
    return x.expand(count, *x.shape[1:]).contiguous()


def expanded(value: Any, meta: Any, rows: int) -> Any:
    """A value of one row for ``rows`` rows that are alike."""
    if isinstance(value, list | tuple):
        return [expanded(each, part, rows) for each, part in zip(value, meta or [None] * len(value), strict=True)]
    if not isinstance(value, torch.Tensor):
        return value
    if meta is not None and tuple(meta.shape) == tuple(value.shape):
        return value
    if value.ndim and value.shape[0] == 1 and (meta is None or tuple(meta.shape) == (rows, *value.shape[1:])):
        return value.expand(rows, *value.shape[1:])
    raise Untraceable("a value of one row cannot be told from that of many")


def macs_of(node: Node) -> int:
    """Multiply-adds of an operation of one row that is computed in full."""
    name, shape = op_name(node), shape_of(node) or ()
    if name == "convolution":
        weight = _shape_of_argument(node, 1)
        return math.prod(shape) * math.prod(weight[1:])
    if name in ("mm", "bmm", "addmm", "baddbmm"):
        left = _shape_of_argument(node, 1 if name in ("addmm", "baddbmm") else 0)
        return math.prod(shape) * left[-1]
    return 0


def _shape_of_argument(node: Node, position: int) -> tuple[int, ...]:
    """Shape of an argument that is a node."""
    argument = node.args[position]
    assert isinstance(argument, Node)
    value = argument.meta.get("val")
    return shape_of(argument) or tuple(getattr(value, "shape", ()))
