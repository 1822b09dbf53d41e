"""Effects of the edits of a row, gathered model by model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.attribution import ism_forms
from drg_hpc.attribution.edit_lists import RowInput
from drg_hpc.attribution.edit_spec import EditSpec
from drg_hpc.attribution.edits import Codes, Edits, Positions, concatenated, unchanged
from drg_hpc.attribution.ism_recipe import IsmRecipe
from drg_hpc.attribution.sums import Moments

Array = NDArray[Any]


@dataclass(frozen=True)
class InputEffects:
    """Effects of edits of one input on k values.

    Attributes
    ----------
    ism : (k, 4, L), see :mod:`drg_hpc.attribution.ism_forms`; NaN where nothing was substituted
    ism_sd : over models; None where there is one
    projected : (k, L), see there; 0 where nothing was substituted
    projected_sd : over models; None where there is one
    edits : of other kinds of edits, by their slug: (k, L) at the first base that is changed, NaN elsewhere; mean over
        the shuffles of a window
    scored : (L,), where edits were asked for, after a screen
    """

    ism: Array
    ism_sd: Array | None
    projected: Array
    projected_sd: Array | None
    edits: dict[str, Array]
    scored: NDArray[np.bool_]
    _codes: Codes
    _unchanged: Array
    _recipe: IsmRecipe

    def contribution(self, value: int) -> Array:
        """The four-base form (4, L) of one value, whose product with the sequence is the projection."""
        return ism_forms.contribution(
            self.ism[value],
            codes=self._codes,
            scored=self.scored & self._recipe.substitutes,
            unchanged=self._unchanged[value],
            recipe=self._recipe,
        )


@dataclass(frozen=True)
class RowEffects:
    """Of one row.

    Attributes
    ----------
    prediction : (k,), of the sequence as it is; mean over views and models
    prediction_sd : (k,), over models; None where there is one
    inputs : of each input
    """

    prediction: Array
    prediction_sd: Array | None
    inputs: tuple[InputEffects, ...]


@dataclass(frozen=True)
class Kind:
    """Edits of one kind of one input.

    Attributes
    ----------
    starts : where they are made
    pieces : the edits, start by start with all alternatives or copies of each
    """

    spec: EditSpec
    starts: Positions
    pieces: tuple[Edits, ...]

    def __len__(self) -> int:
        return sum(len(piece) for piece in self.pieces)


class Tally:
    """Compared values of the edits of one input of a row.

    Parameters
    ----------
    scored : positions where edits were asked for, after a screen
    """

    def __init__(self, given: RowInput, kinds: list[Kind], scored: NDArray[np.bool_], recipe: IsmRecipe) -> None:
        self.kinds, self._codes, self._scored, self._recipe = kinds, given.codes, scored, recipe
        stops = np.cumsum([len(kind) for kind in kinds])
        self._parts = [slice(stop - len(kind), stop) for kind, stop in zip(kinds, stops, strict=True)]
        self._values, self._unchanged, self._projected = Moments(), Moments(), Moments()
        self._edits, self._place = unchanged(0, input=given.number), slice(0, 0)  # substitutions, and where they are
        for kind, part in zip(kinds, self._parts, strict=True):
            if kind.spec.kind == "substitutions" and len(kind):
                self._edits, self._place = concatenated(kind.pieces), part

    def add(self, values: torch.Tensor, same: torch.Tensor) -> None:
        """Take one model.

        Parameters
        ----------
        values : compared, of the edits of all kinds (E, k)
        same : the sequence compared with itself, (k,)
        """
        self._values.add(values)
        self._unchanged.add(same)
        found = ism_forms.projected(
            values[self._place].numpy(),
            self._edits,
            codes=self._codes,
            unchanged=same.numpy(),
            recipe=self._recipe,
        )
        self._projected.add(torch.from_numpy(found))

    def effects(self, *, several: bool) -> InputEffects:
        """Means over models; of several also the s.d."""
        values = self._values.mean.numpy()
        return InputEffects(
            ism=self._grid(self._values.mean, self._unchanged.mean),
            ism_sd=self._grid(self._values.deviation, self._unchanged.deviation) if several else None,
            projected=self._projected.mean.numpy(),
            projected_sd=self._projected.deviation.numpy() if several else None,
            edits={
                kind.spec.slug: self._by_start(kind, values[part])
                for kind, part in zip(self.kinds, self._parts, strict=True)
                if kind.spec.kind != "substitutions"
            },
            scored=self._scored,
            _codes=self._codes,
            _unchanged=self._unchanged.mean.numpy(),
            _recipe=self._recipe,
        )

    def _grid(self, values: torch.Tensor, same: torch.Tensor) -> Array:
        return ism_forms.grid(values[self._place].numpy(), self._edits, codes=self._codes, unchanged=same.numpy())

    def _by_start(self, kind: Kind, values: Array) -> Array:
        """Values (E, k) as (k, L), mean over copies."""
        found = np.full((values.shape[1], len(self._codes)), np.nan, values.dtype)
        copies = values.reshape(len(kind.starts), kind.spec.copies, values.shape[1])
        found[:, kind.starts] = copies.mean(axis=1).T
        return found
