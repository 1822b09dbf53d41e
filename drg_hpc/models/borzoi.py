"""The Borzoi-like network."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

from drg_hpc.errors import UsageError
from drg_hpc.models.base import ModelShape, SequenceModel, Sequences, take_bins
from drg_hpc.models.blocks import KeyedDropout
from drg_hpc.models.blocks_layout import Crop
from drg_hpc.models.borzoi_blocks import (
    ConvBlock,
    HeadConv,
    RelativeAttention,
    RelativeLogits,
    SwapAxes,
    UpsamplingStep,
    gelu,
    transformer_block,
)
from drg_hpc.models.config_borzoi import POOL, BorzoiConfig


def crop_of(config: BorzoiConfig, *, length: int, bins: int) -> int:
    """Bins left out at each side of an input of ``length`` bases so that ``bins`` are left.

    Raises
    ------
    UsageError : length, bins and crop do not fit, with the numbers
    """
    if bins == 0:
        raise UsageError("model borzoi needs targets in bins, this store has one value per track",
                         fix='use architecture = "drg-cnn", or shard with --bin')  # fmt: skip
    if length % config.token_size:
        raise UsageError(f"model borzoi: {length} bases are no multiple of {config.token_size}, the bases of a token",
                         fix=f"use {length - length % config.token_size or config.token_size} bases, or fewer "
                             "model.tower_channels")  # fmt: skip
    positions = length // config.bin_size
    shown = f"{length} bases give {positions} bins of {config.bin_size} bases"
    if config.crop is not None and positions - 2 * config.crop != bins:
        raise UsageError(f"model borzoi: {shown}, {max(0, positions - 2 * config.crop)} without crop = {config.crop} "
                         f"at each side, but the targets have {bins}")  # fmt: skip
    if bins > positions or (positions - bins) % 2:
        raise UsageError(f"model borzoi: {shown}, from which no equal number at both sides leaves {bins}")
    return (positions - bins) // 2


def _initialise(module: nn.Module) -> None:
    """LeCun's normal for convolutions, He's for dense layers and attention, zero for attention's output and biases."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv1d):
            fan_in = layer.weight.shape[1] * layer.weight.shape[2]
            nn.init.normal_(layer.weight, std=1 / math.sqrt(fan_in))
        elif isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        elif isinstance(layer, RelativeLogits):
            for bias in (layer.content_bias, layer.position_bias):
                nn.init.normal_(bias, std=math.sqrt(2 / bias.shape[0]))
        if isinstance(layer, nn.Conv1d | nn.Linear) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
    for layer in module.modules():
        if isinstance(layer, RelativeAttention):
            nn.init.zeros_(layer.to_out.weight)


class Borzoi(SequenceModel):
    """Convolutions with poolings, a transformer, upsampling with skip connections, a crop, one linear head a modality.

    Raises
    ------
    UsageError : the targets have no bins, or input length, bins and crop do not fit
    """

    def __init__(self, config: BorzoiConfig, shape: ModelShape) -> None:
        super().__init__(shape)
        crop = crop_of(config, length=shape.length, bins=shape.bins)
        stem, momentum = config.stem_channels, config.norm_momentum
        self.stem = nn.Conv1d(4, stem, config.stem_size, padding=config.stem_size // 2)
        self.pool = nn.MaxPool1d(POOL)
        inputs = (stem, *config.tower_channels)
        self.tower = nn.ModuleList(
            ConvBlock(before, after, config.tower_size, momentum=momentum)
            for before, after in zip(inputs, config.tower_channels, strict=False)
        )
        mask_tokens = config.mask_tokens or shape.length // config.token_size
        self.tokens = SwapAxes()
        self.transformer = nn.Sequential(
            *(transformer_block(config, mask_tokens=mask_tokens) for _ in range(config.depth))
        )
        self.positions = SwapAxes()
        skips = config.tower_channels[::-1][: config.unet]
        self.unet = nn.ModuleList(UpsamplingStep(config, channels) for channels in skips)
        self.crop = Crop(crop, crop)
        final: OrderedDict[str, nn.Module] = OrderedDict()
        if config.final_channels:
            final["block"] = ConvBlock(config.channels, config.final_channels, momentum=momentum)
            final["dropout"] = KeyedDropout(config.final_dropout)
        final["activation"] = gelu()
        self.final = nn.Sequential(final)
        width = config.final_channels or config.channels
        self.heads = nn.ModuleList(HeadConv(width, head.tracks) for head in shape.heads)
        _initialise(self)

    def checkpoint_blocks(self) -> Sequence[nn.Module]:
        """Convolutions of the tower, blocks of the transformer and upsampling steps."""
        return (*self.tower, *self.transformer, *self.unet)

    def trunk(self, x: torch.Tensor) -> torch.Tensor:
        """What comes before the last, pointwise layers: ``(batch, 4, length) -> (batch, channels, bins)``."""
        x = self.pool(self.stem(x))
        skips = []
        for left, block in zip(range(len(self.tower), 0, -1), self.tower, strict=True):
            x = block(x)
            if left <= len(self.unet):
                skips.append(x)
            x = self.pool(x)
        x = self.positions(self.transformer(self.tokens(x)))
        for step in self.unet:
            x = step(x, skips.pop())
        out: torch.Tensor = self.crop(x)
        return out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shared = self.final(self.trunk(x))
        return torch.cat([head(shared) for head in self.heads], dim=1)

    def part(self, x: Sequences, *, tracks: Sequence[int], bins: torch.Tensor | None = None) -> torch.Tensor:
        """Some tracks and bins of the output: the layers after the crop and the heads see no others."""
        assert isinstance(x, torch.Tensor)
        shared = self.trunk(x)
        shared = self.final(shared if bins is None else take_bins(shared, bins))
        found, order = [], list[int]()
        for head, where in zip(self.heads, self.shape.head_slices(), strict=True):
            here = [i for i, track in enumerate(tracks) if where.start <= track < where.stop]
            if here:
                found.append(head.part(shared, [tracks[i] - where.start for i in here]))  # type: ignore[operator]
                order += here
        joined = torch.cat(found, dim=1)
        return joined if order == sorted(order) else joined[:, sorted(range(len(order)), key=order.__getitem__)]
