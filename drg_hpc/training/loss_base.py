"""Kinds of terms by their unit, and what they share. Missing values are replaced before any arithmetic, so that they
reach neither a loss nor a gradient, whatever they hold."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch

from drg_hpc.training.terms import Array, Ranks, Term

# A float's steps: what varies by no more than so many of them around its mean does not vary.
_NOISE_STEPS = 16.0


def fill(values: torch.Tensor, valid: torch.Tensor, value: float = 0.0) -> torch.Tensor:
    """``values`` where ``valid``, else a constant."""
    return torch.where(valid, values, torch.full((), value, dtype=values.dtype, device=values.device))


def units_of_rows(units: Any) -> Array:
    """Units in each row, int64 (rows,), from where they are: bool (rows, …)."""
    counts: Array = np.asarray(units).sum(axis=tuple(range(1, units.ndim)), dtype=np.int64)
    return counts


def count(valid: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Values on the last axis, at least 1: (..., 1)."""
    return valid.sum(-1, keepdim=True).clamp(min=1).to(dtype)


def mean(values: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Mean over the last axis of what is there, 0 where nothing is: (..., 1)."""
    return fill(values, valid).sum(-1, keepdim=True) / count(valid, values.dtype)


def cosine(xx: torch.Tensor, yy: torch.Tensor, xy: torch.Tensor) -> torch.Tensor:
    """``xy / sqrt(xx yy)`` from sums of squares and products; 0 without a gradient where a sum of squares is 0."""
    flat = (xx == 0) | (yy == 0)
    root = fill(xx, ~flat, 1.0).sqrt() * fill(yy, ~flat, 1.0).sqrt()
    return fill(xy / root, ~flat)


def varying(centred: torch.Tensor, raw: torch.Tensor) -> torch.Tensor:
    """Sums of squares of centred values, 0 where they are no more than the rounding of the values.

    Parameters
    ----------
    centred, raw : sums of squares around the mean and around 0
    """
    step = _NOISE_STEPS * torch.finfo(raw.dtype).eps
    return fill(centred, centred > step * step * raw)


class PerValue(Term):
    """A loss of every value that is there."""

    def units(self, valid: Array) -> Array:
        return units_of_rows(valid)

    def total(
        self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor, *, ranks: Ranks
    ) -> torch.Tensor:
        return fill(self.each(fill(prediction, valid), fill(target, valid), valid), valid).sum()

    @abstractmethod
    def each(self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Loss of each value, in the shape of the target; anything where ``valid`` is False."""


class PerRow(Term):
    """A loss of the values on the last axis together: of a row's tracks, or of the bins of a row and track.

    Attributes
    ----------
    least : values that must be there
    """

    least: ClassVar[int] = 1

    def units(self, valid: Array) -> Array:
        return units_of_rows(valid.sum(-1) >= self.least)

    def total(
        self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor, *, ranks: Ranks
    ) -> torch.Tensor:
        losses = self.each(fill(prediction, valid), fill(target, valid), valid)
        return fill(losses, valid.sum(-1) >= self.least).sum()

    @abstractmethod
    def each(self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Loss of each row, (rows,) or (rows, tracks); anything finite where too few values are there."""


class PerBatch(Term):
    """A loss of the rows of a global batch together; it counts once for every row with a value."""

    whole: ClassVar[bool] = True

    def units(self, valid: Array) -> Array:
        return np.minimum(units_of_rows(valid), 1)

    def total(
        self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor, *, ranks: Ranks
    ) -> torch.Tensor:
        loss = self.loss(fill(prediction, valid), fill(target, valid), valid, ranks=ranks)
        rows = valid.flatten(1).any(1).sum().to(loss.dtype)
        return loss * ranks.all_sum(rows) / ranks.world

    @abstractmethod
    def loss(
        self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor, *, ranks: Ranks
    ) -> torch.Tensor:
        """Loss of the global batch, the same on all ranks, of no dimension."""
