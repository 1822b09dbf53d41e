"""A network without any interaction, for runs of drg-marginalize."""

from __future__ import annotations

import torch
from torch import nn


class Linear(nn.Module):
    """Two tracks, each the sum of a weight for each base at each position."""

    def __init__(self, length: int) -> None:
        super().__init__()
        weights = torch.randn(2, 4, length, generator=torch.Generator().manual_seed(3))
        self.weights = nn.Parameter((100 * weights).round() / 128)  # sums of these are exact

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("ncl,tcl->nt", x, self.weights)
