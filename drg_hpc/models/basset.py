"""The Basset-like network: a reference for one value per track."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from drg_hpc.errors import UsageError
from drg_hpc.models.base import ModelShape, SequenceModel
from drg_hpc.models.blocks import KeyedDropout, activation
from drg_hpc.models.config_profile import BassetConfig


def _convolutions(config: BassetConfig, length: int) -> tuple[list[tuple[str, nn.Module]], int]:
    layers: list[tuple[str, nn.Module]] = []
    channels, positions = 4, length
    for i, (width, size, pool) in enumerate(zip(config.channels, config.sizes, config.pools, strict=True)):
        pad = size // 2 if config.padding == "same" else 0
        layers.append((f"conv{i}", nn.Conv1d(channels, width, size, padding=pad)))
        if config.batch_norm:
            layers.append((f"conv{i}_norm", nn.BatchNorm1d(width)))
        layers.append((f"conv{i}_activation", activation(config.activation)))
        if pool > 1:
            layers.append((f"conv{i}_pool", nn.MaxPool1d(pool, stride=pool)))
        channels, positions = width, (positions + 2 * pad - size + 1) // pool
        if positions < 1:
            raise UsageError(f"model basset: nothing is left of {length} bases after convolution {i} and its pooling",
                             fix="give longer sequences, or smaller model.sizes or model.pools")  # fmt: skip
    return layers, channels * positions


class Basset(SequenceModel):
    """Convolution, batch norm, activation and max-pooling, thrice; dense layers; linear head (Kelley et al. 2016).

    With the defaults, 600 bases leave 10 positions of 200 channels. One chain of small modules, ``layers``. A pooling
    leaves out a last window that is not whole.

    Raises
    ------
    UsageError : targets in bins, or sequences that are too short
    """

    def __init__(self, config: BassetConfig, shape: ModelShape) -> None:
        super().__init__(shape)
        if shape.bins:
            raise UsageError(f"model basset gives one value per track, this store has {shape.bins} bins",
                             fix='use architecture = "dilated-residual" or "drg-cnn"')  # fmt: skip
        layers, width = _convolutions(config, shape.length)
        layers.append(("flatten", nn.Flatten()))
        for i, units in enumerate(config.hidden):
            layers.append((f"fc{i}", nn.Linear(width, units)))
            if config.batch_norm:
                layers.append((f"fc{i}_norm", nn.BatchNorm1d(units)))
            layers.append((f"fc{i}_activation", activation(config.activation)))
            if config.dropout > 0:
                layers.append((f"fc{i}_dropout", KeyedDropout(config.dropout)))
            width = units
        layers.append(("head", nn.Linear(width, shape.n_tracks)))
        self.layers = nn.Sequential(OrderedDict(layers))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layers(x)
        return out
