"""What every network of the registry promises."""

from __future__ import annotations

import torch
from torch import nn

from drg_hpc.models.config import Link


class SequenceModel(nn.Module):
    """``(batch, 4, length) -> (batch, tracks)`` or ``(batch, tracks, bins)`` on the link scale.

    Parameters
    ----------
    length : input length in bases
    n_tracks : number of tracks
    bins : positions per track, 0 for one value
    link : how the output scale is reached: identity, logit (sigmoid) or log (exp)
    """

    def __init__(self, *, length: int, n_tracks: int, bins: int, link: Link) -> None:
        super().__init__()
        self.length = length
        self.bins = bins
        self.link: Link = link
        self.tracks: list[str] = [f"track{i}" for i in range(n_tracks)]
        # For each track, the one that takes its place on the other strand; None where the model does not have it.
        self.strand_partners: list[int | None] = list(range(n_tracks))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError
