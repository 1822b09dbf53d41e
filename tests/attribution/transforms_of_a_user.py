"""What a user's module of transforms may look like."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class LastBins(nn.Module):
    """Sums of the last bins of two tracks, weighted 1 and 2."""

    def __init__(self, count: int, tracks: int) -> None:
        super().__init__()
        self.count, self.tracks = count, tracks
        self.weights = nn.Parameter(torch.tensor([1.0, 2.0]))

    def forward(self, predictions: torch.Tensor) -> torch.Tensor:
        """(n, 2)."""
        kept: torch.Tensor = predictions[:, : self.tracks, -self.count :].sum(dim=-1)
        return kept * self.weights


class One(nn.Module):
    """The first bin of the first track."""

    def forward(self, predictions: torch.Tensor) -> torch.Tensor:
        """(n,)."""
        return predictions[:, 0, 0]


def last_bins(model: nn.Module, *, count: int, tracks: int = 2) -> nn.Module:
    """A factory with keys."""
    assert len(model.tracks) >= 2  # type: ignore[arg-type]
    return LastBins(count, tracks)


def one(model: nn.Module) -> nn.Module:
    """A factory without keys."""
    return One()


def no_module(model: nn.Module) -> Any:
    """Returns something else."""
    return 3.0


def breaks(model: nn.Module) -> nn.Module:
    """Fails."""
    raise ZeroDivisionError("no")
