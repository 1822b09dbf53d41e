"""Layers of the Borzoi-like network: convolution blocks, relative attention, upsampling steps.

Convolutional layers take ``(batch, channels, length)``, those of the transformer ``(batch, tokens, channels)``.
Sources: Linder et al. 2025 (10.1038/s41588-024-02053-6) and, for the relative positions, Dai et al. 2019
(arXiv:1901.02860) and Avsec et al. 2021 (10.1038/s41592-021-01252-x).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

from drg_hpc.models.blocks import AttentionWeights, KeyedDropout, Residual
from drg_hpc.models.config_borzoi import POOL, BorzoiConfig

NORM_EPS = 1e-3


def gelu() -> nn.Module:
    """GELU by its tanh approximation."""
    return nn.GELU(approximate="tanh")


class ConvBlock(nn.Sequential):
    """Batch normalisation, activation, and unless ``out`` is 0 a convolution that keeps the length."""

    def __init__(self, channels: int, out: int, size: int = 1, *, momentum: float) -> None:
        norm = nn.BatchNorm1d(channels, eps=NORM_EPS, momentum=momentum)
        layers: OrderedDict[str, nn.Module] = OrderedDict(norm=norm, activation=gelu())
        if out:
            layers["conv"] = nn.Conv1d(channels, out, size, padding=size // 2)
        super().__init__(layers)


class SwapAxes(nn.Module):
    """Channels last from channels first, and back."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.transpose(1, 2)


class PositionFeatures(nn.Module):
    """Features of the distance d between tokens, ``(batch, tokens, …) -> (1, 2 tokens - 1, features)``.

    d runs from 1 - tokens to tokens - 1. The first half are the central masks ``1[w_i > |d|]`` with
    ``w_i = (mask_tokens + 1)^(i / half) - 1``, i from 1; the other half the same times the sign of d.
    """

    def __init__(self, features: int, mask_tokens: int) -> None:
        super().__init__()
        self.features, self.mask_tokens = features, mask_tokens

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens, half = x.shape[1], self.features // 2
        distance = torch.arange(1 - tokens, tokens, device=x.device, dtype=torch.float32)
        steps = torch.arange(1, half + 1, device=x.device, dtype=torch.float32)
        widths = (self.mask_tokens + 1) ** (steps / half) - 1
        masks = (widths > distance.abs()[:, None]).to(x.dtype)
        return torch.cat([masks, distance.sign()[:, None].to(x.dtype) * masks], dim=1)[None]


def by_offset(values: torch.Tensor) -> torch.Tensor:
    """``out[…, i, j] = values[…, i, j - i + n - 1]``, ``(…, n, 2 n - 1) -> (…, n, n)``.

    In memory, each step of i moves by one less than a row: without the first n - 1 values and the last, rows of
    2 n - 2 values begin with what is wanted.
    """
    n = values.shape[-2]
    if n == 1:
        return values
    flat = values.flatten(-2)[..., n - 1 : -1]
    return flat.reshape(*values.shape[:-2], n, 2 * n - 2)[..., :n]


class RelativeLogits(nn.Module):
    """Attention logits of queries, keys and keys of distances.

    ``(q_i + u) . k_j + (q_i + v) . r_(j - i)`` with a learned u and v per head; the queries come scaled.
    """

    def __init__(self, heads: int, key_size: int) -> None:
        super().__init__()
        self.key_size = key_size
        self.content_bias = nn.Parameter(torch.empty(heads, 1, key_size))
        self.position_bias = nn.Parameter(torch.empty(heads, 1, key_size))

    def forward(self, q: torch.Tensor, k: torch.Tensor, distance_k: torch.Tensor) -> torch.Tensor:
        """``(batch, heads, n, key)`` twice and ``(1 or batch, heads, 2 n - 1, key) -> (batch, heads, n, n)``."""
        content = (q + self.content_bias) @ k.transpose(-1, -2)
        return content + by_offset((q + self.position_bias) @ distance_k.transpose(-1, -2))

    def macs(self, output: torch.Tensor) -> int:
        """Multiply-adds of one row, given its output."""
        heads, tokens, _ = output.shape[1:]
        return int(heads * tokens * (3 * tokens - 1) * self.key_size)


class WeightedValues(nn.Module):
    """``(batch, heads, n, n)`` weights and ``(batch, heads, n, value)`` values -> ``(batch, n, heads value)``."""

    def forward(self, weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        return (weights @ values).transpose(1, 2).flatten(2)

    def macs(self, output: torch.Tensor) -> int:
        """Multiply-adds of one row, given its output."""
        return int(output[0].numel() * output.shape[1])


class RelativeAttention(nn.Module):
    """Multi-head attention with relative positions, ``(batch, tokens, channels)`` in and out.

    Positions are computed for as many tokens as come. ``softmax`` is the layer whose output are the weights
    ``(batch, heads, tokens, tokens)``.
    """

    def __init__(self, config: BorzoiConfig, *, mask_tokens: int) -> None:
        super().__init__()
        channels, heads = config.channels, config.heads
        self.heads, self.scale = heads, config.key_size**-0.5
        value_size = config.value_size or channels // heads
        self.to_q = nn.Linear(channels, heads * config.key_size, bias=False)
        self.to_k = nn.Linear(channels, heads * config.key_size, bias=False)
        self.to_v = nn.Linear(channels, heads * value_size, bias=False)
        self.positions = PositionFeatures(config.position_features, mask_tokens)
        self.position_dropout = KeyedDropout(config.position_dropout)
        self.to_distance_k = nn.Linear(config.position_features, heads * config.key_size, bias=False)
        self.logits = RelativeLogits(heads, config.key_size)
        self.softmax = AttentionWeights()
        self.dropout = KeyedDropout(config.attention_dropout)
        self.weighted = WeightedValues()
        self.to_out = nn.Linear(heads * value_size, channels)

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def _positions(self, x: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.positions(x)
        if not self.training or self.position_dropout.p == 0.0:
            return features
        # A mask per row, so that rows stay independent of each other.
        dropped: torch.Tensor = self.position_dropout(features.expand(len(x), -1, -1))
        return dropped

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (self._split(layer(x)) for layer in (self.to_q, self.to_k, self.to_v))
        distance_k = self._split(self.to_distance_k(self._positions(x)))
        weights = self.softmax(self.logits(q * self.scale, k, distance_k))
        out: torch.Tensor = self.to_out(self.weighted(self.dropout(weights), v))
        return out


def transformer_block(config: BorzoiConfig, *, mask_tokens: int) -> nn.Module:
    """Attention, then two dense layers with ReLU, each on its normalised input and added to it."""
    channels, hidden = config.channels, int(config.expansion * config.channels)
    attention = OrderedDict(
        norm=nn.LayerNorm(channels, eps=NORM_EPS),
        attention=RelativeAttention(config, mask_tokens=mask_tokens),
        dropout=KeyedDropout(config.dropout),
    )
    dense = OrderedDict(
        norm=nn.LayerNorm(channels, eps=NORM_EPS),
        hidden=nn.Linear(channels, hidden),
        hidden_dropout=KeyedDropout(config.dropout),
        activation=nn.ReLU(),
        out=nn.Linear(hidden, channels),
        dropout=KeyedDropout(config.dropout),
    )
    return nn.Sequential(
        OrderedDict(attention=Residual(nn.Sequential(attention)), dense=Residual(nn.Sequential(dense)))
    )


class UpsamplingStep(nn.Module):
    """Twice the length: ``separable(upsample(up(x)) + skip(y))`` with y from the tower, of that length.

    ``up`` is normalisation, activation and, with ``upsample_conv``, a width-1 convolution; ``skip`` has one always;
    ``separable`` is a convolution per channel (no bias), then one of width 1.
    """

    def __init__(self, config: BorzoiConfig, skip_channels: int) -> None:
        super().__init__()
        channels, momentum = config.channels, config.norm_momentum
        self.up = ConvBlock(channels, channels if config.upsample_conv else 0, momentum=momentum)
        self.upsample = nn.Upsample(scale_factor=POOL, mode="nearest")
        self.skip = ConvBlock(skip_channels, channels, momentum=momentum)
        size = config.separable_size
        self.separable = nn.Sequential(
            OrderedDict(
                depthwise=nn.Conv1d(channels, channels, size, padding=size // 2, groups=channels, bias=False),
                pointwise=nn.Conv1d(channels, channels, 1),
            )
        )

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.separable(self.upsample(self.up(x)) + self.skip(y))
        return out


class HeadConv(nn.Conv1d):
    """Width-1 convolution in float32 also under autocast: a track's scale spans orders of magnitude."""

    def __init__(self, channels: int, tracks: int) -> None:
        super().__init__(channels, tracks, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu" if x.is_meta else x.device.type, enabled=False):
            return super().forward(x.to(self.weight.dtype))

    def part(self, x: torch.Tensor, tracks: Sequence[int]) -> torch.Tensor:
        """Some tracks of :meth:`forward`."""
        chosen = list(tracks)
        bias = None if self.bias is None else self.bias[chosen]
        with torch.autocast("cpu" if x.is_meta else x.device.type, enabled=False):
            return nn.functional.conv1d(x.to(self.weight.dtype), self.weight[chosen], bias)
