"""What a DeepLIFT rule is given: an operation with its values for the sequences and for their references."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

Gradients = tuple[torch.Tensor | None, ...]
Backward = Callable[[torch.Tensor], Gradients]
"""From the multipliers of an operation's output to those of its varying arguments."""


@dataclass(frozen=True)
class Pairing:
    """How rows of sequences and of references stand side by side.

    Parameters
    ----------
    rows : sequences of a pass, b
    copies : references of each, R; reference j of sequence i is row ``i * R + j``
    """

    rows: int
    copies: int

    def axis(self, x: torch.Tensor, r: torch.Tensor) -> int | None:
        """The axis of the batch; None where both have the same rows.

        Raises
        ------
        ValueError : shapes that do not differ by the copies along one axis alone
        """
        if self.copies == 1 and x.shape == r.shape:
            return None
        if x.ndim == r.ndim:
            other = [i for i in range(x.ndim) if x.shape[i] != r.shape[i]]
            sizes = [(x.shape[i], r.shape[i]) for i in other]
            if len(other) == 1 and sizes[0][1] == self.copies * sizes[0][0] and sizes[0][0] % self.rows == 0:
                return other[0]
        raise ValueError(f"{tuple(x.shape)} and {tuple(r.shape)}")

    def side_by_side(self, x: torch.Tensor, r: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Views of both with axes ``(…, b, 1 or R, q, …)`` in place of the batch, so that they broadcast.

        q is what stands inside a row on that axis, such as the heads of attention.
        """
        axis = self.axis(x, r)
        if axis is None:
            return x, r
        inner = x.shape[axis] // self.rows
        return _split(x, axis, (self.rows, 1, inner)), _split(r, axis, (self.rows, self.copies, inner))

    def at(self, x: torch.Tensor, r: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Elements of ``x`` beside those of ``r`` with some numbers, counted over all of ``r``."""
        axis = self.axis(x, r)
        if axis is not None and (axis > 0 or len(x) != self.rows):
            return self.spread(x, r).reshape(-1)[places]
        size = r[0].numel()
        rows = places // size
        if axis is not None:
            rows = rows // self.copies
        return x.reshape(-1)[rows * size + places % size]

    def spread(self, x: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
        """``x`` with each row as often as it has references, in the shape of ``r``."""
        x, r_view = self.side_by_side(x, r)
        sizes = [max(pair) for pair in zip(x.shape, r_view.shape, strict=True)]
        return x.expand(sizes).reshape(r.shape)


def _split(tensor: torch.Tensor, axis: int, sizes: tuple[int, ...]) -> torch.Tensor:
    return tensor.view(*tensor.shape[:axis], *sizes, *tensor.shape[axis + 1 :])


def common_shape(values: Sequence[Any]) -> torch.Size:
    """What tensors among some values are broadcast to."""
    shapes = [value.shape for value in values if isinstance(value, torch.Tensor)]
    found: torch.Size = torch.broadcast_shapes(*shapes)  # type: ignore[no-untyped-call]
    return found


class Replaced(torch.autograd.Function):
    """An output that was computed already, and its backward pass by a rule."""

    @staticmethod
    def forward(ctx: Any, backward: Backward, output: torch.Tensor, *inputs: torch.Tensor) -> torch.Tensor:
        ctx.rule = backward
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        return (None, None, *ctx.rule(grad))


@dataclass
class Call:
    """One operation that is not linear in what depends on the sequences.

    Parameters
    ----------
    target : the operation
    name : its name
    x_args, r_args : positional arguments for sequences and for references; those of references carry gradients
    kwargs : named arguments
    varying : numbers of the positional arguments that depend on the sequences
    pairing : of the rows
    """

    target: Callable[..., Any]
    name: str
    x_args: tuple[Any, ...]
    r_args: tuple[Any, ...]
    kwargs: dict[str, Any]
    varying: tuple[int, ...]
    pairing: Pairing

    @property
    def x(self) -> torch.Tensor:
        """The first varying argument for the sequences."""
        value: torch.Tensor = self.x_args[self.varying[0]]
        return value

    @property
    def r(self) -> torch.Tensor:
        """The first varying argument for the references, without gradients."""
        value: torch.Tensor = self.r_args[self.varying[0]]
        return value.detach()

    def argument(self, position: int, default: Any) -> Any:
        """A constant argument, or its default where it was left out."""
        return self.x_args[position] if position < len(self.x_args) else default

    def broadcast(self) -> None:
        """Give all varying arguments the shape of the output, for rules that see single elements alone."""
        self.x_args, self.r_args = (self._broadcast(args) for args in (self.x_args, self.r_args))

    def _broadcast(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        shape = common_shape(args)
        return tuple(
            value.expand(shape) if i in self.varying and value.shape != shape else value for i, value in enumerate(args)
        )

    def result(self, output: torch.Tensor, backward: Backward) -> torch.Tensor:
        """The output for the references, with the rule as its backward pass."""
        inputs = [self.r_args[position] for position in self.varying]
        replaced: torch.Tensor = Replaced.apply(backward, output, *inputs)  # type: ignore[no-untyped-call]
        return replaced

    def both(self, function: Callable[..., torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """A function of the varying arguments, for sequences and for references."""
        return (
            function(*(self.x_args[i] for i in self.varying)),
            function(*(self.r_args[i].detach() for i in self.varying)),
        )


Rule = Callable[[Call], tuple[Any, Any]]
"""Outputs for sequences and references of a :class:`Call`, in the form that the operation gives them."""


def still(value: Any) -> Any:
    """A value without gradients."""
    return value.detach() if isinstance(value, torch.Tensor) else value


def secant(d_out: torch.Tensor, d_in: torch.Tensor, otherwise: torch.Tensor, *, least: float) -> torch.Tensor:
    """``d_out / d_in``, or ``otherwise`` where ``|d_in| < least`` (DeepLIFT's rescale rule, Shrikumar et al. 2017)."""
    return torch.where(d_in.abs() < least, otherwise, d_out / d_in)


def moved(dims: Sequence[int] | int | None, ndim: int) -> list[int]:
    """Axes counted from 0; all of them for None or an empty list."""
    if isinstance(dims, int):
        dims = [dims]
    return [dim % ndim for dim in dims] if dims else list(range(ndim))
