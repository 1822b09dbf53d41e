"""Layers of the DRG family that bring distant positions together: attention, transformer, convolutions with a gap.

All take and give ``(batch, channels, length)``.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from drg_hpc.errors import UsageError
from drg_hpc.models.blocks import AttentionWeights, KeyedDropout, Residual
from drg_hpc.models.blocks_activations import activation
from drg_hpc.models.blocks_layout import (
    Add,
    ChannelNorm,
    Concatenate,
    Pad,
    RepeatChannels,
    SumChannels,
    in_order,
    same_padding,
)
from drg_hpc.models.blocks_pooling import pooled_length, pooling
from drg_hpc.models.config_drg import TrunkTable
from drg_hpc.models.config_drg_tables import AttentionTable, GappedTable, TransformerTable

Named = tuple[str, nn.Module]


class DotProduct(nn.Module):
    """``softmax(q k^T / sqrt(keys)) v`` in each head, over all pairs of positions.

    ``q`` and ``k`` are (batch, heads * keys, length), ``v`` is (batch, heads * values, length), and so is the output.
    """

    def __init__(self, heads: int, *, keys: int) -> None:
        super().__init__()
        self.heads, self.keys = heads, keys
        self.softmax = AttentionWeights()

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        q, k, v = (part.reshape(len(part), self.heads, -1, part.shape[-1]) for part in (q, k, v))
        weights: torch.Tensor = self.softmax(q.transpose(2, 3) @ k / math.sqrt(self.keys))
        return (v @ weights.transpose(2, 3)).flatten(1, 2)

    def macs(self, output: torch.Tensor) -> int:
        """Multiply-adds of one row, given its output."""
        width, length = output.shape[1:]
        return (self.heads * self.keys + int(width)) * int(length) ** 2


class PositionCode(nn.Module):
    """Put a fixed code of each position beside the channels, as many rows as there are channels.

    For position x of L and channels C: ``sin(2 pi x / w_j)``, then ``cos(2 pi x / w_j)``, j = 1 … C/2, with wavelengths
    ``w_j = L / (0.8 + 1.2^j)`` (DRG's).
    """

    code: torch.Tensor

    def __init__(self, channels: int, length: int) -> None:
        super().__init__()
        numbers = torch.arange(1, channels // 2 + 1, dtype=torch.float64)
        angles = 2 * math.pi * torch.outer(0.8 + 1.2**numbers, torch.arange(length, dtype=torch.float64)) / length
        self.register_buffer("code", torch.cat([angles.sin(), angles.cos()]).float(), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.code.expand(len(x), -1, -1)], dim=1)


class DistanceAttention(nn.Module):
    """Attention with a positional code, then a feed-forward layer, each with a residual and layer norm (DRG's).

    Raises
    ------
    UsageError : an odd number of channels, which the code of sine and cosine pairs cannot have
    """

    def __init__(self, table: AttentionTable, *, channels: int, length: int, dropout: float, batch_norm: bool) -> None:
        super().__init__()
        if channels % 2:
            raise UsageError(f"[model.attention] needs an even number of channels, {channels} come in")
        keys = int(table.key_factor * channels)
        values = table.value_size or keys
        self.channels = values
        self.norm = nn.BatchNorm1d(channels) if batch_norm else nn.Identity()
        self.position = PositionCode(channels, length)
        self.queries, self.keys, self.values = (
            nn.Conv1d(2 * channels, table.heads * width, 1, bias=False) for width in (keys, keys, values)
        )
        self.attention = DotProduct(table.heads, keys=keys)
        self.sum_heads = SumChannels(table.heads) if table.sum_heads else nn.Identity()
        self.dropout = KeyedDropout(dropout)
        self.combine = nn.Conv1d(values * (1 if table.sum_heads else table.heads), values, 1, bias=False)
        self.project = nn.Identity() if channels == values else nn.Conv1d(channels, values, 1, bias=False)
        self.attention_norm = ChannelNorm(values)
        wide = [("wide", nn.Conv1d(values, 4 * values, 1, bias=False)), ("activation", nn.GELU())]
        narrow = nn.Conv1d(4 * values, values, 1, bias=False)
        self.feedforward = Residual(in_order([("dropout", KeyedDropout(dropout)), *wide, ("narrow", narrow)]))
        self.feedforward_norm = ChannelNorm(values)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        placed = self.position(self.norm(x))
        seen = self.sum_heads(self.attention(self.queries(placed), self.keys(placed), self.values(placed)))
        x = self.attention_norm(self.combine(self.dropout(seen)) + self.project(x))
        out: torch.Tensor = self.feedforward_norm(self.feedforward(x))
        return out


class SelfAttention(nn.Module):
    """Attention of a transformer layer: one linear map to queries, keys and values, one back."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.split = nn.Conv1d(channels, 3 * channels, 1)
        self.attention = DotProduct(heads, keys=channels // heads)
        self.combine = nn.Conv1d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.combine(self.attention(*self.split(x).chunk(3, dim=1)))
        return out


def attention_stage(config: TrunkTable, *, channels: int, length: int) -> tuple[list[Named], int, int]:
    """The blocks of ``[model.attention]`` with their poolings, and channels and positions that come out."""
    table = config.attention
    assert table is not None
    layers: list[Named] = []
    for number in range(table.blocks):
        block = DistanceAttention(
            table, channels=channels, length=length, dropout=config.attention_dropout,
            batch_norm=config.attention_batch_norm,
        )  # fmt: skip
        layers.append((f"attention{number}", block))
        channels = block.channels
        if table.pool_size > 1:
            pool = pooling(
                table.pooling, table.pool_size, length=length, floor=None, pad_with=config.pool_pad,
                what="the output of attention has",
            )  # fmt: skip
            layers.append((f"attention{number}_pool", pool))
            length = pooled_length(length, table.pool_size)
    return layers, channels, length


def transformer_stage(config: TrunkTable, *, channels: int) -> tuple[list[Named], int]:
    """The layers of ``[model.transformer]`` and the channels that come out.

    Post-norm encoder layers (Vaswani et al. 2017) on ``heads`` copies of the channels, and a last layer norm.
    """
    table: TransformerTable | None = config.transformer
    assert table is not None
    width = channels * table.heads
    layers: list[Named] = [("repeat", RepeatChannels(table.heads))]
    for number in range(table.layers):
        drop = (KeyedDropout(config.attention_dropout) for _ in range(3))
        attend = Residual(in_order([("attention", SelfAttention(width, table.heads)), ("dropout", next(drop))]))
        inner = int(table.width_factor * width)
        feed = Residual(
            in_order(
                [
                    ("wide", nn.Conv1d(width, inner, 1)),
                    ("activation", activation(config.activation)),
                    ("dropout", next(drop)),
                    ("narrow", nn.Conv1d(inner, width, 1)),
                    ("dropout_out", next(drop)),
                ]
            )
        )
        chain: list[Named] = [("attend", attend), ("attend_norm", ChannelNorm(width))]
        chain += [("feed", feed), ("feed_norm", ChannelNorm(width))]
        layers.append((f"layer{number}", in_order(chain)))
    layers.append(("norm", ChannelNorm(width)))
    if table.sum_heads:
        layers.append(("sum", SumChannels(table.heads)))
        width = channels
    return [("transformer", in_order(layers))], width


def gapped_stage(config: TrunkTable, *, channels: int, length: int) -> tuple[list[Named], int, int]:
    """The branches of ``[[model.gapped]]`` side by side, and channels and positions that come out.

    Raises
    ------
    UsageError : strides differ between branches, or a kernel is wider than the sequence
    """
    if len({table.stride for table in config.gapped}) > 1:
        raise UsageError("[[model.gapped]]: branches side by side need the same stride")
    if (widest := max(2 * table.size + table.gap for table in config.gapped)) > length:
        raise UsageError(f"[[model.gapped]]: a kernel with its gap spans {widest} positions, {length} are left")
    branches = Concatenate(_gapped(table, channels, config.activation) for table in config.gapped)
    out = sum(table.channels for table in config.gapped)
    return [("gapped", branches)], out, (length - 1) // config.gapped[0].stride + 1


def _gapped(table: GappedTable, channels: int, activation_name: str) -> nn.Module:
    """One branch; its two halves are convolutions of which one has lost the right, the other the left of the input."""
    left, right = same_padding(2 * table.size + table.gap)
    apart = table.size + table.gap

    def half(before: int, after: int, *, bias: bool) -> nn.Module:
        conv = nn.Conv1d(channels, table.channels, table.size, stride=table.stride, bias=bias)
        return in_order([("pad", Pad(before, after)), ("conv", conv)])

    halves = Add([half(left, right - apart, bias=True), half(left - apart, right, bias=False)])
    main = in_order([("halves", halves), ("activation", activation(activation_name))])
    return Add([main, nn.Conv1d(channels, table.channels, 1, stride=table.stride, bias=False)])
