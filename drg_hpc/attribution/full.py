"""Edited sequences through the whole model, one after the other."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

import torch

from drg_hpc.attribution.edits import Edits, concatenated, unchanged
from drg_hpc.attribution.targets import Statistic
from drg_hpc.errors import InputError

log = logging.getLogger(__name__)


class Evaluator(Protocol):
    """Gives the values of a statistic of a row and of its edits.

    Attributes
    ----------
    engine : ``full`` or ``incremental``
    deviation : largest difference from the whole model that was found at some positions, as a share of the largest
        |value|; None where they were not compared
    """

    engine: str
    deviation: float | None

    def values(
        self, xs: Sequence[torch.Tensor], params: Sequence[torch.Tensor], edits: Edits
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Values of the row (k,) and of its mutants (E, k), on the module's device.

        Parameters
        ----------
        xs : one-hot (1, 4, L) of each input
        params : of the statistic, (1, …)
        edits : of one input; the others stay as they are
        """
        ...


class FullEvaluator:
    """Every mutant through the whole model, in passes of one size: the last one is filled up with the row itself.

    Parameters
    ----------
    batch : rows of a pass; halved when a GPU's memory does not do

    Attributes
    ----------
    batch : rows of a pass now
    """

    engine = "full"
    deviation: float | None = None

    def __init__(self, statistic: Statistic, *, batch: int) -> None:
        assert batch > 0
        self.statistic, self.batch = statistic, batch

    def values(
        self, xs: Sequence[torch.Tensor], params: Sequence[torch.Tensor], edits: Edits
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See :class:`Evaluator`.

        Raises
        ------
        InputError : a GPU's memory does not hold one sequence
        """
        rows = concatenated([unchanged(1, input=edits.input), edits])
        found: list[torch.Tensor] = []
        done = 0
        with torch.no_grad():
            while done < len(rows):
                try:
                    found.append(self._pass(xs, params, rows[done : done + self.batch]))
                except torch.OutOfMemoryError:
                    self._retreat()
                    continue
                done += len(found[-1])
        values = torch.cat(found)
        return values[0], values[1:]

    def _pass(self, xs: Sequence[torch.Tensor], params: Sequence[torch.Tensor], edits: Edits) -> torch.Tensor:
        """Values (len(edits), k)."""
        filled = concatenated([edits, unchanged(self.batch - len(edits), input=edits.input)])
        rows = [x.repeat(self.batch, 1, 1) for x in xs]
        filled.put(rows[edits.input])
        return self.statistic(rows, [p.repeat_interleave(self.batch, dim=0) for p in params])[: len(edits)]

    def _retreat(self) -> None:
        if self.batch == 1:
            raise InputError("the GPU's memory does not hold one sequence", fix="use --device cpu")
        torch.cuda.empty_cache()
        self.batch //= 2
        log.warning("out of GPU memory: passes of %d mutants from here on", self.batch)
