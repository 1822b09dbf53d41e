"""The DRG-like convolutional network."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from drg_hpc.errors import UsageError
from drg_hpc.models.base import ModelShape, SequenceModel
from drg_hpc.models.blocks import (
    KeyedDropout,
    StrandMax,
    StrandMean,
    StrandScan,
    activation,
    activation_minimum,
    pooled_length,
    pooling,
)
from drg_hpc.models.config import DrgCnnConfig


def _kernels(config: DrgCnnConfig) -> list[tuple[str, nn.Module]]:
    if config.strands == "off":
        conv = nn.Conv1d(4, config.kernels, config.kernel_size, padding="same", bias=config.kernel_bias)
        return [("scan", conv)]
    scan = StrandScan(config.kernels, config.kernel_size, bias=config.kernel_bias)
    return [("scan", scan), ("strands", StrandMax() if config.strands == "max" else StrandMean())]


def _convolutions(config: DrgCnnConfig, channels: int, length: int) -> tuple[list[tuple[str, nn.Module]], int, int]:
    layers: list[tuple[str, nn.Module]] = []
    for i, width in enumerate(config.conv_channels):
        layers.append((f"conv{i}", nn.Conv1d(channels, width, config.conv_size, padding=config.conv_size // 2)))
        layers.append((f"conv{i}_activation", activation(config.activation)))
        channels = width
        if config.conv_pool_size > 1:
            floor = activation_minimum(config.activation)
            layers.append(
                (f"conv{i}_pool", pooling(config.conv_pooling, config.conv_pool_size, length=length, floor=floor))
            )
            length = pooled_length(length, config.conv_pool_size)
    return layers, channels, length


class DrgCnn(SequenceModel):
    """Kernels on both strands, activation, pooling, further convolutions, fully connected stack, linear head.

    One chain of small modules, ``layers``; each one's receptive field can be read from its attributes.

    Raises
    ------
    UsageError : the pooling window is wider than the sequence
    """

    def __init__(self, config: DrgCnnConfig, shape: ModelShape) -> None:
        super().__init__(shape)
        length, n_tracks, bins = shape.length, shape.n_tracks, shape.bins
        if config.pool_size > length:
            raise UsageError(f"model.pool_size = {config.pool_size} is wider than the sequences ({length} bases)")
        floor = activation_minimum(config.kernel_activation)
        layers = _kernels(config)
        layers.append(("kernel_activation", activation(config.kernel_activation)))
        if config.pool_size > 1:
            layers.append(("pool", pooling(config.pooling, config.pool_size, length=length, floor=floor)))
        more, channels, positions = _convolutions(config, config.kernels, pooled_length(length, config.pool_size))
        layers += more
        layers.append(("flatten", nn.Flatten()))
        width = channels * positions
        for i, units in enumerate(config.hidden):
            layers.append((f"fc{i}", nn.Linear(width, units)))
            layers.append((f"fc{i}_activation", activation(config.activation)))
            if config.dropout > 0:
                layers.append((f"fc{i}_dropout", KeyedDropout(config.dropout)))
            width = units
        layers.append(("head", nn.Linear(width, n_tracks * max(bins, 1))))
        if bins:
            layers.append(("bins", nn.Unflatten(1, (n_tracks, bins))))
        self.layers = nn.Sequential(OrderedDict(layers))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layers(x)
        return out
