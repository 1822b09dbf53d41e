"""Terms: what losses are made of. Sums and units are apart, so that any number of processes gets the mean over the
global batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol

import numpy as np
import torch

Array = np.ndarray[Any, Any]


class Ranks(Protocol):
    """What a term needs of the other processes."""

    @property
    def rank(self) -> int:
        """Number of this one."""

    @property
    def world(self) -> int:
        """How many there are."""

    def all_sum(self, values: torch.Tensor) -> torch.Tensor:
        """Differentiable sum over ranks. Its backward multiplies by ``world``, since the gradients of the weights
        are averaged over ranks afterwards."""


class Alone:
    """One process."""

    rank, world = 0, 1

    def all_sum(self, values: torch.Tensor) -> torch.Tensor:
        """The values themselves."""
        return values


class Term(ABC):
    """One sum of a loss over its units.

    Attributes
    ----------
    whole : the rows of a batch act on each other: the whole global batch is needed at once
    """

    whole: ClassVar[bool] = False

    @abstractmethod
    def units(self, valid: Array) -> Array:
        """Units in each row, int64 (rows,), from the mask bool (rows, tracks[, bins]) alone."""

    @abstractmethod
    def total(
        self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor, *, ranks: Ranks
    ) -> torch.Tensor:
        """Sum over the units that are here, of no dimension.

        A term that is ``whole`` gives L U / ranks.world, with L the loss of the global batch and U its units.

        Parameters
        ----------
        prediction : (rows, tracks[, bins]) on the link scale
        target, valid : of the same shape; a target may hold anything where ``valid`` is False
        """
