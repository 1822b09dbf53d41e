"""Layers that move, join or repeat: pads, branches, shortcuts. All on ``(batch, channels, length)``."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional


class Pad(nn.Module):
    """Put positions of one value at both ends; a negative number takes away so many."""

    def __init__(self, left: int, right: int, value: float = 0.0) -> None:
        super().__init__()
        self.left, self.right, self.value = left, right, value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.pad(x, (self.left, self.right), value=self.value)

    def extra_repr(self) -> str:
        return f"{self.left}, {self.right}, value={self.value:g}"


class Crop(nn.Module):
    """Take ``left`` and ``right`` positions off the ends, ``(…, length) -> (…, length - left - right)``."""

    def __init__(self, left: int, right: int) -> None:
        super().__init__()
        self.left, self.right = left, right

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[..., self.left : x.shape[-1] - self.right]

    def extra_repr(self) -> str:
        return f"{self.left}, {self.right}"


class Concatenate(nn.ModuleList):
    """The outputs of branches that all take the same input, side by side on axis 1."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(x) for branch in self], dim=1)


class Add(nn.ModuleList):
    """The sum of the outputs of branches that all take the same input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, *others = (branch(x) for branch in self)
        out: torch.Tensor = first
        for other in others:
            out = out + other
        return out


class RepeatChannels(nn.Module):
    """All channels, ``times`` after each other."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.repeat(1, self.times, 1)


class SumChannels(nn.Module):
    """Undo :class:`RepeatChannels` by adding up the copies."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(len(x), self.times, -1, x.shape[-1]).sum(1)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each position."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


def same_padding(size: int, dilation: int = 1) -> tuple[int, int]:
    """Zeros on the left and on the right that keep the length of a convolution with stride 1.

    DRG's rule: a kernel that spans an even number of positions has one more on the right.
    """
    extent = dilation * (size - 1) + 1
    return extent // 2 - (extent % 2 == 0), extent // 2


def same_conv(
    channels: int, out: int, size: int, *, dilation: int = 1, stride: int = 1, bias: bool = True
) -> list[tuple[str, nn.Module]]:
    """A convolution with :func:`same_padding`: itself, after a pad where the two sides differ."""
    left, right = same_padding(size, dilation)
    own = left if left == right else 0
    conv = nn.Conv1d(channels, out, size, stride=stride, dilation=dilation, padding=own, bias=bias)
    return [("conv", conv)] if left == right else [("pad", Pad(left, right)), ("conv", conv)]


def same_length(length: int, size: int, *, dilation: int = 1, stride: int = 1) -> int:
    """Positions that come out of :func:`same_conv`."""
    return (length + sum(same_padding(size, dilation)) - dilation * (size - 1) - 1) // stride + 1


def in_order(layers: Iterable[tuple[str, nn.Module]]) -> nn.Sequential:
    """A chain of named layers."""
    chain = nn.Sequential()
    for name, layer in layers:
        chain.add_module(name, layer)
    return chain
