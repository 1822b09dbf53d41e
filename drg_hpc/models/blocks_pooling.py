"""Pooling layers on ``(batch, channels, length)``, with DRG's padding."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from drg_hpc.errors import UsageError
from drg_hpc.models.blocks_layout import Concatenate, Pad, same_length, same_padding

PadWith = Literal["activation-minimum", "mask", "batch-minimum"]


def pooling_pad(length: int, size: int, step: int = 0) -> int:
    """Positions added on both sides, DRG's rule; never more than half a window."""
    left_over = length % (step or size)
    return -(-(size - left_over) // 2) if left_over else 0


def pooled_length(length: int, size: int, step: int = 0) -> int:
    """Windows of a pooling over ``length`` positions: where step and window are equal, the last one may be partial."""
    return (length + 2 * pooling_pad(length, size, step) - size) // (step or size) + 1


def _weighted_mean(windows: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    return (windows * torch.softmax(logits, dim=-1)).sum(-1)


class _Windows(nn.Module):
    """Attributes of a weighted pooling, and its windows."""

    def __init__(self, size: int, *, length: int) -> None:
        super().__init__()
        self.size, self.pad = size, pooling_pad(length, size)

    def windows(self, padded: torch.Tensor) -> torch.Tensor:
        """``(…, length) -> (…, windows, size)``; what is left over on the right is dropped."""
        count = padded.shape[-1] // self.size
        return padded[..., : count * self.size].reshape(*padded.shape[:-1], count, self.size)

    def extra_repr(self) -> str:
        return f"{self.size}, pad={self.pad}"


class WeightedPool(_Windows):
    """Softmax-weighted mean of each window, ``sum_j x_j softmax(x)_j``, per channel (DRG's weighted pooling).

    Both sides are padded with the activation's minimum, a constant: the original pads with the least value of
    the whole batch, which makes a prediction depend on its neighbours.
    """

    def __init__(self, size: int, *, length: int, floor: float) -> None:
        super().__init__(size, length=length)
        self.floor = floor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        windows = self.windows(functional.pad(x, (self.pad, self.pad), value=self.floor))
        return _weighted_mean(windows, windows)


class MaskedWeightedPool(_Windows):
    """The same of the real positions of each window alone."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sides = (self.pad, self.pad)
        logits = self.windows(functional.pad(x, sides, value=-torch.inf))
        return _weighted_mean(self.windows(functional.pad(x, sides)), logits)


class RowMinimumWeightedPool(_Windows):
    """The same, padded with the least value of the row's whole tensor: what the original gives for a batch of one.

    Each value of the output depends on all of the row, if only by that number; it has no gradient, as there.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        least = x.detach().amin(dim=(1, 2), keepdim=True).expand(-1, x.shape[1], self.pad)
        windows = self.windows(torch.cat([least, x, least], dim=-1))
        return _weighted_mean(windows, windows)


class DilatedMean(nn.Module):
    """Mean of the positions that a strided, dilated kernel covers; those beyond the ends do not count.

    The shortcut past a strided convolution (DRG's rule).
    """

    covered: torch.Tensor

    def __init__(self, size: int, *, stride: int, dilation: int, length: int) -> None:
        super().__init__()
        self.size, self.stride, self.dilation = size, stride, dilation
        self.left, self.right = same_padding(size, dilation)
        self.count = same_length(length, size, dilation=dilation, stride=stride)
        self.register_buffer("covered", self._sums(torch.ones(length)), persistent=False)

    def _sums(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.pad(x, (self.left, self.right))
        span = self.stride * (self.count - 1) + 1
        out = x[..., : span : self.stride]
        for tap in range(1, self.size):
            first = tap * self.dilation
            out = out + x[..., first : first + span : self.stride]
        return out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._sums(x) / self.covered

    def extra_repr(self) -> str:
        return f"{self.size}, stride={self.stride}, dilation={self.dilation}"


def pooling(
    kind: str,
    size: int,
    *,
    length: int,
    floor: float | None,
    step: int = 0,
    pad_with: PadWith = "activation-minimum",
    what: str = "the values before it have",
) -> nn.Module:
    """A new pooling layer: ``max``, ``mean`` (of the real positions), ``max+mean`` (means first) or ``weighted``.

    Parameters
    ----------
    size : window
    length : positions that come in; :func:`pooled_length` go out
    floor : the least value of the activation before it, which ``weighted`` pads with
    step : of the windows; 0: the window
    what : subject of the refusal

    Raises
    ------
    UsageError : a weighted pooling that has to pad, with the minimum of values that have none
    """
    pad, step = pooling_pad(length, size, step), step or size
    if kind == "max":
        return nn.MaxPool1d(size, stride=step, padding=pad)
    if kind == "mean":
        return nn.AvgPool1d(size, stride=step, padding=pad, count_include_pad=False)
    if kind == "max+mean":
        both = (pooling(one, size, length=length, floor=floor, step=step) for one in ("mean", "max"))
        return Concatenate(both)
    if pad_with == "mask":
        return MaskedWeightedPool(size, length=length)
    if pad_with == "batch-minimum":
        return RowMinimumWeightedPool(size, length=length)
    if floor is None and pad:
        raise UsageError(
            f"model.pool_pad = 'activation-minimum': {what} no minimum that a weighted pooling of {length} "
            f"positions in windows of {size} could pad with",
            fix="use pool_pad = 'mask' or 'batch-minimum', or a window that divides the positions",
        )
    return WeightedPool(size, length=length, floor=0.0 if floor is None else floor)


def shortcut_pooling(kind: str, size: int, *, length: int, pad_with: PadWith) -> nn.Module:
    """The pooling of a shortcut past a pooled tower layer; ``max`` takes zeros beyond the ends (DRG's rule).

    Raises
    ------
    UsageError : see :func:`pooling`; what a shortcut carries has no minimum
    """
    if kind == "max":
        pad = pooling_pad(length, size)
        return nn.Sequential(Pad(pad, pad), nn.MaxPool1d(size, stride=size)) if pad else nn.MaxPool1d(size, stride=size)
    return pooling(
        kind, size, length=length, floor=None, pad_with=pad_with, what="the output of a convolution (a shortcut) has"
    )
