"""A statistic as a function to differentiate, by the cheapest way through its end.

Where a linear layer turns E numbers into k > E values (a linear head on an embedding), multipliers of the E numbers are
propagated and multiplied by that layer's weights: E backward passes instead of k, and the same result, since every
method here is linear in what it differentiates.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import cached_property

import torch

from drg_hpc.attribution.cost import NARROWER_FROM
from drg_hpc.attribution.deeplift import DeepLift
from drg_hpc.attribution.tail import Tail, linear_tail
from drg_hpc.attribution.targets import Statistic
from drg_hpc.errors import UsageError
from drg_hpc.files import counted

log = logging.getLogger(__name__)
Tensors = tuple[torch.Tensor, ...]

_PRODUCTS = 16
"""Values that are multiplied out at once."""


def require_rows_apart(statistic: Statistic, xs: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> None:
    """Refuse a statistic whose value for a row depends on the other rows of a pass, or on chance: it would change with
    the number of shards.

    Parameters
    ----------
    xs, params : of one pass; the first row is tried beside two different others

    Raises
    ------
    UsageError : which of the two
    """
    first = [p[:1].repeat_interleave(2, dim=0) for p in params]

    def values(*others: torch.Tensor) -> torch.Tensor:
        pairs = [torch.cat([x[:1], other]) for x, other in zip(xs, others, strict=True)]
        return statistic(pairs, first)[0]

    with torch.no_grad():
        found, again = (values(*(x[:1].roll(1, -1) for x in xs)) for _ in range(2))
        beside = values(*(x[:1].flip(-2, -1) for x in xs))
    if not torch.equal(found, again) and not (found.isnan() & again.isnan()).any():
        raise UsageError("the model gives other values each time: it draws random numbers in eval mode",
                         fix="dropout that follows module.training, no torch.rand in forward")  # fmt: skip
    scale = max(float(found.abs().max()), float(beside.abs().max()), 1e-30)
    if float((found - beside).abs().max()) > 1e-4 * scale:
        raise UsageError(
            "the rows of a batch influence each other in this model or transform",
            fix="nothing in it may go over the batch: no mean or maximum over axis 0, no batch norm without statistics",
        )


class Function:
    """A statistic of a model, prepared for passes of one shape.

    Parameters
    ----------
    xs, params : of one pass, as examples
    vjps : gradients computed at once, each costs the memory of a backward pass; 1: one after the other
    """

    def __init__(self, statistic: Statistic, *, xs: Tensors, params: Tensors, vjps: int = 1) -> None:
        self.statistic = statistic
        self._xs, self._params, self._vjps = xs, params, vjps

    @cached_property
    def tail(self) -> Tail | None:
        """The linear end, where it is worth anything."""
        if len(self.statistic.names) < NARROWER_FROM:
            return None
        try:
            return linear_tail(self.statistic, self._xs, self._params)
        except UsageError as error:
            log.info("values one by one: no linear head is looked for (%s)", error)
            return None

    @property
    def route(self) -> str:
        """How the values are reached, in words."""
        if self.tail is None:
            return counted(len(self.statistic.names), "backward pass", "es")
        return f"{self.tail.width} backward passes and a product with the linear head's weights"

    def units(self, xs: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> torch.Tensor:
        """What is differentiated, (b, units): the values, or what the linear end takes."""
        if self.tail is None:
            return self.statistic(xs, params)
        return self.tail.embedding(xs, params)

    def values(self, units: torch.Tensor) -> torch.Tensor:
        """The statistic (b, k) of units (b, units)."""
        if self.tail is None:
            return units
        return units @ self.tail.matrix.T + self.tail.offset

    def products(self, units: torch.Tensor, xs: Tensors) -> Iterator[Tensors]:
        """For each unit, the gradient of its sum over rows by each input, (b, 4, L)."""
        count = units.shape[1]
        for first in range(0, count, self._vjps):
            last = min(first + self._vjps, count)
            keep = last < count
            if last - first == 1:
                yield torch.autograd.grad(units[:, first].sum(), xs, retain_graph=keep, materialize_grads=True)
                continue
            one_hot = torch.eye(count, dtype=units.dtype, device=units.device)[first:last, None]
            chosen = one_hot.expand(-1, len(units), -1)
            found = torch.autograd.grad(
                units, xs, chosen, retain_graph=keep, is_grads_batched=True, materialize_grads=True
            )
            yield from zip(*(part.unbind(0) for part in found), strict=True)

    def each(self, units: Iterator[Tensors]) -> Iterator[Tensors]:
        """From something linear of each unit to the same of each value, tensors of any shape."""
        if self.tail is None:
            yield from units
            return
        parts = [torch.stack(part) for part in zip(*units, strict=True)]
        flat = [part.flatten(1) for part in parts]
        for rows in torch.split(self.tail.matrix, _PRODUCTS):
            found = [(rows @ each).view(len(rows), *part.shape[1:]) for each, part in zip(flat, parts, strict=True)]
            yield from zip(*(each.unbind(0) for each in found), strict=True)

    def combined(self, errors: torch.Tensor) -> torch.Tensor:
        """From something linear of each unit, (…, units), to the same of each value, (…, k)."""
        return errors if self.tail is None else errors @ self.tail.matrix.T

    @cached_property
    def lift(self) -> DeepLift:
        """DeepLIFT of the units.

        Raises
        ------
        UsageError : an operation without a rule, or a model that cannot be traced
        """
        node = None if self.tail is None else self.tail.node
        return DeepLift(self.statistic, self._xs, self._params, node=node)
