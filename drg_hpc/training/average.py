"""A moving average of the weights over steps (Polyak & Juditsky 1992, with exponential weights)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from drg_hpc.errors import CorruptError


class Average:
    """Averages of a network's parameters and running statistics; tensors of whole numbers are those of the last step.

    After step t = 0, 1, …: ``average += (1 - min(keep, (1 + t) / (10 + t))) (weights - average)``, so that the initial
    weights are soon forgotten. A tensor that does not change keeps its bits.

    Parameters
    ----------
    keep : what a step leaves of the average
    """

    def __init__(self, model: nn.Module, keep: float) -> None:
        self._keep, self._model = keep, model
        self.tensors = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Take the weights after a step in.

        Parameters
        ----------
        step : its number, from 0
        """
        part = 1 - min(self._keep, (1 + step) / (10 + step))
        for name, tensor in self._model.state_dict().items():
            average = self.tensors[name]
            if average.is_floating_point():
                average.lerp_(tensor, part)
            else:
                average.copy_(tensor)

    def restart(self) -> None:
        """Begin again at the weights of now."""
        self._put(self.tensors, self._model.state_dict())

    def restore(self, tensors: Mapping[str, torch.Tensor], *, source: Path) -> None:
        """Put back what a checkpoint holds.

        Raises
        ------
        CorruptError : it holds other tensors
        """
        if {name: tensor.shape for name, tensor in tensors.items()} != {
            name: tensor.shape for name, tensor in self.tensors.items()
        }:
            raise CorruptError(f"the average of weights in {source} does not fit the architecture")
        self._put(self.tensors, tensors)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it, the network has the averages as its weights."""
        own = self._model.state_dict()
        kept = {name: tensor.detach().clone() for name, tensor in own.items()}
        try:
            self._put(own, self.tensors)
            yield
        finally:
            self._put(own, kept)

    @staticmethod
    @torch.no_grad()
    def _put(own: Mapping[str, torch.Tensor], values: Mapping[str, torch.Tensor]) -> None:
        for name, tensor in own.items():
            tensor.copy_(values[name])
