"""The dilated residual network with profile and count heads."""

from __future__ import annotations

import torch
from torch import nn

from drg_hpc.errors import UsageError
from drg_hpc.models.base import ModelShape, SequenceModel
from drg_hpc.models.blocks import PositionMean, Residual, activation
from drg_hpc.models.config import DilatedResidualConfig


class DilatedResidual(SequenceModel):
    """BPNet-like network (Avsec et al. 2021, 10.1038/s41588-021-00782-6) for binned targets.

    All convolutions keep the length (zero padding); the profile head's base-pair logits are averaged in each bin.
    The output is the log rate of each bin, log softmax(profile) + log counts.

    Raises
    ------
    UsageError : the targets have no bins, or the bins do not divide the length
    """

    def __init__(self, config: DilatedResidualConfig, shape: ModelShape) -> None:
        super().__init__(shape)
        length, n_tracks, bins, link = shape.length, shape.n_tracks, shape.bins, shape.link
        if bins == 0:
            raise UsageError("model dilated-residual needs targets in bins, this store has one value per track",
                             fix='use architecture = "drg-cnn", or shard with --bin')  # fmt: skip
        if length % bins:
            raise UsageError(f"model dilated-residual: {bins} bins do not divide {length} bases")
        if link != "log":
            raise UsageError(f"model dilated-residual gives log rates, which loss with link {link!r} does not fit",
                             fix='use train.loss = "multinomial", "poisson" or "mse"')  # fmt: skip
        stem = nn.Conv1d(4, config.channels, config.stem_size, padding=config.stem_size // 2)
        trunk: list[nn.Module] = [stem, activation(config.activation)]
        for i in range(config.layers):
            reach = 2**i * (config.kernel_size // 2)
            conv = nn.Conv1d(config.channels, config.channels, config.kernel_size, padding=reach, dilation=2**i)
            trunk.append(Residual(nn.Sequential(conv, activation(config.activation))))
        self.trunk = nn.Sequential(*trunk)
        profile = nn.Conv1d(config.channels, n_tracks, config.profile_size, padding=config.profile_size // 2)
        self.profile = nn.Sequential(profile, nn.AvgPool1d(length // bins))
        self.counts = nn.Sequential(PositionMean(), nn.Linear(config.channels, n_tracks))

    def heads(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Both heads: ``profile`` logits (batch, tracks, bins) and ``counts``, log of the total, (batch, tracks)."""
        shared = self.trunk(x)
        return {"profile": self.profile(shared), "counts": self.counts(shared)}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = self.heads(x)
        return torch.log_softmax(heads["profile"], dim=-1) + heads["counts"][..., None]
