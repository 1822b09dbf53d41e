"""Losses of the values on the last axis together, a row's tracks or the bins of a row and track: correlations, means,
and differences between tracks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import torch

from drg_hpc.models.config import Link
from drg_hpc.models.links import apply_link
from drg_hpc.training.loss_base import PerRow, PerValue, cosine, count, fill, mean, units_of_rows, varying
from drg_hpc.training.terms import Array, Ranks, Term

Transform = Callable[[torch.Tensor], torch.Tensor]


def _one_less_cosine(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return 1.0 - cosine((x * x).sum(-1), (y * y).sum(-1), (x * y).sum(-1))


def _one_less_correlation(x: torch.Tensor, y: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    u, v = (fill(values - mean(values, valid), valid) for values in (x, y))
    raw = ((fill(values, valid) ** 2).sum(-1) for values in (x, y))
    xx, yy = (varying((centred * centred).sum(-1), around_0) for centred, around_0 in zip((u, v), raw, strict=True))
    return 1.0 - cosine(xx, yy, (u * v).sum(-1))


class RowCosine(PerRow):
    """1 - cosine of outputs and targets; 1 where either are all 0."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def each(self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        return _one_less_cosine(fill(apply_link(prediction, self._link), valid), target)


class RowCorrelation(PerRow):
    """1 - Pearson correlation of outputs and targets; 1, without a gradient, where either do not vary."""

    least: ClassVar[int] = 2

    def __init__(self, link: Link) -> None:
        self._link = link

    def each(self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        return _one_less_correlation(apply_link(prediction, self._link), target, valid)


class TotalsCorrelation(PerRow):
    """1 - Pearson correlation, over the tracks of a row, of sums over the bins that are there; (rows, tracks, bins)."""

    least: ClassVar[int] = 2

    def __init__(self, link: Link) -> None:
        self._link = link

    def units(self, valid: Array) -> Array:
        some: Array = np.asarray(valid.any(-1))
        return super().units(some)

    def total(
        self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor, *, ranks: Ranks
    ) -> torch.Tensor:
        losses = self.each(fill(prediction, valid), fill(target, valid), valid)
        return fill(losses, valid.any(-1).sum(-1) >= self.least).sum()

    def each(self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        output = fill(apply_link(prediction, self._link), valid)
        return _one_less_correlation(output.sum(-1), target.sum(-1), valid.any(-1))


class WindowMeans(Term):
    """Squared difference of the means of windows, of what is there in them; a unit is a window with a value.

    Parameters
    ----------
    window : values of a window, which must divide the last axis; 0: all of it
    before, after : transform of the values, and of their means
    """

    def __init__(
        self, link: Link, *, window: int = 0, before: Transform | None = None, after: Transform | None = None
    ) -> None:
        self._link, self.window, self._before, self._after = link, window, before, after

    def _split(self, values: torch.Tensor) -> torch.Tensor:
        return values.reshape(self._split_shape(values.shape))

    def _split_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        window = self.window or shape[-1]
        return *shape[:-1], shape[-1] // window, window

    def units(self, valid: Array) -> Array:
        return units_of_rows(valid.reshape(self._split_shape(valid.shape)).any(-1))

    def total(
        self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor, *, ranks: Ranks
    ) -> torch.Tensor:
        losses = self.each(fill(prediction, valid), fill(target, valid), valid)
        return fill(losses, self._split(valid).any(-1)).sum()

    def each(self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Loss of each window, (rows[, tracks], windows)."""
        parts, means = self._split(valid), []
        for values in (apply_link(prediction, self._link), target):
            values = self._before(values) if self._before else values
            means.append(mean(self._split(values), parts)[..., 0])
        output, measured = (self._after(values) if self._after else values for values in means)
        return (output - measured) ** 2


class ContrastSquared(PerValue):
    """Mean over tracks i of the row, j among them, of ``((p_i - p_j) - (y_i - y_j))^2``, for each track j.

    With d = p - y that is ``(d_j - mean d)^2 + var d``.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    def each(self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        error = apply_link(prediction, self._link) - target
        spread = (error - mean(error, valid)) ** 2
        return spread + mean(spread, valid)


class ContrastAbsolute(PerValue):
    """Mean over tracks i of the row, j among them, of ``|(p_i - p_j) - (y_i - y_j)|``, for each track j."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def each(self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        error = apply_link(prediction, self._link) - target
        pairs = fill((error[..., None, :] - error[..., :, None]).abs(), valid[..., None, :])
        return pairs.sum(-1) / count(valid, error.dtype)
