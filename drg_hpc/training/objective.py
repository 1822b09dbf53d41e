"""The objective of a training: the losses of all modalities, each on its own tracks, as one list of terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from drg_hpc.training.losses import Loss
from drg_hpc.training.terms import Ranks, Term

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class HeadLoss:
    """The loss of one modality.

    Parameters
    ----------
    name : of the modality
    tracks : where its tracks are among all
    loss : None: it does not count
    weight : factor of its loss
    """

    name: str
    tracks: slice
    loss: Loss | None
    weight: float = 1.0


class Objective:
    """Weighted sum over terms of (sum over all ranks and rows) / (units of all ranks and rows).

    Attributes
    ----------
    whole : rows of a batch act on each other
    """

    def __init__(self, heads: Sequence[HeadLoss]) -> None:
        self.heads = list(heads)
        self._terms: list[tuple[slice, float, Term]] = [
            (head.tracks, head.weight * weight, term)
            for head in heads
            if head.loss is not None and head.weight
            for weight, term in head.loss.terms
        ]
        self.whole = any(term.whole for _, _, term in self._terms)

    @property
    def count(self) -> int:
        """Number of terms."""
        return len(self._terms)

    def units(self, valid: Array) -> Array:
        """Units of each term in each row, int64 (rows, terms)."""
        columns = [term.units(valid[:, tracks]) for tracks, _, term in self._terms]
        return np.stack(columns, axis=1).astype(np.int64)

    def totals(
        self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor, *, ranks: Ranks
    ) -> torch.Tensor:
        """Sum of each term over the rows that are here, (terms,)."""
        found = [
            term.total(prediction[:, tracks], target[:, tracks], valid[:, tracks], ranks=ranks)
            for tracks, _, term in self._terms
        ]
        return torch.stack(found)

    def factors(self, units: Array) -> Array:
        """What each total is multiplied with to make the objective, float64 (terms,), from the units of all rows."""
        weights = np.array([weight for _, weight, _ in self._terms])
        factors: Array = weights / np.maximum(units, 1)
        return factors
