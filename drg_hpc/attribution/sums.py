"""Multipliers of a block of rows, averaged over views and models as they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray

from drg_hpc.attribution import forms
from drg_hpc.attribution.methods import Multipliers
from drg_hpc.attribution.recipe import Recipe
from drg_hpc.attribution.views import View


class Moments:
    """Mean and standard deviation over models, one after the other (Welford 1962)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = self._squares = torch.zeros(())

    def add(self, values: torch.Tensor) -> None:
        self.count += 1
        if self.count == 1:
            self.mean = values
            return
        before = values - self.mean
        self.mean = self.mean + before / self.count
        self._squares = self._squares + before * (values - self.mean)

    @property
    def deviation(self) -> torch.Tensor:
        """Divided by the number of models, as in drg-predict."""
        return (self._squares / self.count).sqrt()


class Sums:
    """Means of multipliers over views, then over models.

    Over shifts, a base's mean is over the views that showed it to the model; a base that no view showed has 0.

    Parameters
    ----------
    values : k of the statistic
    shapes : (n, 4, L) of each input

    Attributes
    ----------
    values : of the statistic, (n, k), mean over views and models
    delta : (n, k), the largest error; None for methods without
    """

    def __init__(
        self,
        values: int,
        shapes: Sequence[tuple[int, ...]],
        *,
        views: Sequence[View],
        recipe: Recipe,
        models: int,
        dtype: torch.dtype,
    ) -> None:
        self.dtype, self._models, self._views, self._recipe = dtype, models, views, recipe
        rows = shapes[0][0]
        seen = [sum((view.covered(shape[-1]) for view in views), torch.zeros(shape[-1])) for shape in shapes]
        self._weights = [(1 / count.clamp(min=1)).to(dtype) for count in seen]
        self._shapes = [(values, *shape) for shape in shapes]
        self._m = self._blank()
        self._q = self._blank() if recipe.uses_products else None
        self._own_m, self._own_q = (self._blank(), self._q and self._blank()) if models > 1 else (self._m, self._q)
        self._own_values = torch.zeros(rows, values, dtype=dtype)
        self._value_moments = Moments()
        self._projected = [[Moments() for _ in shapes] for _ in range(values)]
        self.delta: torch.Tensor | None = None

    def _blank(self) -> list[torch.Tensor]:
        return [torch.zeros(shape, dtype=self.dtype) for shape in self._shapes]

    @property
    def values(self) -> torch.Tensor:
        """Of the statistic (n, k), mean over views and models."""
        return self._value_moments.mean

    def add(self, view: View, rows: slice, values: torch.Tensor, found: Sequence[Multipliers]) -> None:
        """Take one pass of one view of the model at hand.

        Parameters
        ----------
        rows : of the block
        values : (n, k)
        """
        self._own_values[rows] += values.to(self.dtype) / len(self._views)
        for value, one in enumerate(found):
            for number, weight in enumerate(self._weights):
                self._own_m[number][value, rows] += view.undo(one.m[number]).to(self.dtype) * weight
                if self._own_q is not None:
                    assert one.q is not None
                    self._own_q[number][value, rows] += view.undo(one.q[number]).to(self.dtype) * weight
            if one.error is not None:
                if self.delta is None:
                    self.delta = torch.zeros_like(self._own_values)
                worst = one.error.abs().amax(dim=1).to(self.dtype)
                self.delta[rows, value] = torch.maximum(self.delta[rows, value], worst)

    def finish_model(self, xs: Sequence[torch.Tensor]) -> None:
        """Close a model: all its views were added.

        Parameters
        ----------
        xs : sequences (n, 4, L) of each input
        """
        self._value_moments.add(self._own_values)
        self._own_values = torch.zeros_like(self._own_values)
        if self._models == 1:
            return
        for number, x in enumerate(xs):
            for value, moments in enumerate(self._projected):
                q = None if self._own_q is None else self._own_q[number][value]
                contribution = forms.contribution(self._own_m[number][value], q, self._recipe)
                moments[number].add(forms.projected(contribution, x)[:, 0])
            self._m[number] += self._own_m[number] / self._models
            self._own_m[number].zero_()
            if self._q is not None and self._own_q is not None:
                self._q[number] += self._own_q[number] / self._models
                self._own_q[number].zero_()

    def of(self, value: int, number: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """``m`` and ``q`` of one value and input, (n, 4, L)."""
        return self._m[number][value], None if self._q is None else self._q[number][value]

    def projected_sd(self, value: int, number: int) -> NDArray[Any] | None:
        """Of the projection over models, (n, L); None where there is one."""
        if self._models == 1:
            return None
        deviation: NDArray[Any] = self._projected[value][number].deviation.numpy()
        return deviation

    def value_sd(self) -> NDArray[Any] | None:
        """Of the statistic over models, (n, k); None where there is one."""
        if self._models == 1:
            return None
        deviation: NDArray[Any] = self._value_moments.deviation.numpy()
        return deviation
