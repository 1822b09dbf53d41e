"""Small layers that networks are composed of; each does one thing to ``(batch, channels, length)`` tensors."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

# Minimum of x * Phi(x), at x = -0.75179: what an imagined base far from every motif adds to a window.
GELU_MINIMUM = -0.16997120747990369
_EXP_LIMIT = 32 * math.log(2.0)
_MIX = (-7046029254386353131, -4658895280553007687, -7723592293110705685)  # splitmix64's constants as int64


class ClampedExp(nn.Module):
    """``exp(min(x, ln 2^32))``: DRG's exponential kernel activation, which cannot overflow."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.exp(torch.clamp(x, max=_EXP_LIMIT))


def activation(name: str) -> nn.Module:
    """A new activation layer: ``gelu`` (exact), ``relu`` or ``exp`` (clamped)."""
    layers: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU, "exp": ClampedExp}
    return layers[name]()


def activation_minimum(name: str) -> float:
    """The least value that an activation takes."""
    return GELU_MINIMUM if name == "gelu" else 0.0


class StrandScan(nn.Module):
    """Scan a one-hot sequence with kernels on both strands.

    ``(batch, 4, length) -> (batch, 2, kernels, length)``: forward strand, then reverse complement in forward
    coordinates. The second equals flipping the sequence (A<->T is channel i <-> 3-i), scanning and flipping back;
    it is computed with flipped kernels in the same convolution. Zero padding keeps the length. An even width has one
    base more on the right of the forward scan, and on the left of the other, as DRG does.
    """

    def __init__(self, kernels: int, kernel_size: int, *, bias: bool) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        template = nn.Conv1d(4, kernels, kernel_size, bias=bias)  # for torch's default initialisation
        self.weight = template.weight
        self.bias = template.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = torch.cat([self.weight, self.weight.flip(1, 2)])
        bias = None if self.bias is None else torch.cat([self.bias, self.bias])
        both = functional.conv1d(x, weight, bias, padding=self.kernel_size // 2)
        forward, reverse = both.chunk(2, dim=1)
        if self.kernel_size % 2 == 0:
            forward, reverse = forward[..., 1:], reverse[..., :-1]
        return torch.stack([forward, reverse], dim=1)

    def macs(self, output: torch.Tensor) -> int:
        """Multiply-adds of one row, given its output."""
        return output[0].numel() * 4 * self.kernel_size


class StrandMax(nn.Module):
    """Elementwise maximum over strands, ``(batch, 2, kernels, length) -> (batch, kernels, length)``."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.maximum(x[:, 0], x[:, 1])


class StrandMean(nn.Module):
    """Mean over strands, ``(batch, 2, kernels, length) -> (batch, kernels, length)``."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 0.5 * (x[:, 0] + x[:, 1])


def pooled_length(length: int, size: int) -> int:
    """Windows of a pooling over ``length`` positions: the last one may be partial."""
    return -(-length // size)


def pooling_pad(length: int, size: int) -> int:
    """Positions added on both sides, DRG's rule; never more than half a window."""
    return -(-(size - length % size) // 2) if length % size else 0


class WeightedPool(nn.Module):
    """Softmax-weighted mean of each window, ``sum_j x_j softmax(x)_j``, per channel (DRG's weighted pooling).

    Both sides are padded with the activation's minimum, a constant: the original pads with the least value of
    the whole batch, which makes a prediction depend on its neighbours.
    """

    def __init__(self, size: int, *, length: int, floor: float) -> None:
        super().__init__()
        self.size, self.floor, self.pad = size, floor, pooling_pad(length, size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.pad(x, (self.pad, self.pad), value=self.floor)
        count = x.shape[-1] // self.size
        windows = x[..., : count * self.size].reshape(*x.shape[:-1], count, self.size)
        return (windows * torch.softmax(windows, dim=-1)).sum(-1)


def pooling(kind: str, size: int, *, length: int, floor: float) -> nn.Module:
    """A new pooling layer: ``max``, ``mean`` (of the real positions) or ``weighted``.

    Parameters
    ----------
    size : window and step
    length : positions that come in; ``ceil(length / size)`` go out
    floor : the least value of the activation before it (``weighted`` pads with it)
    """
    pad = pooling_pad(length, size)
    if kind == "max":
        return nn.MaxPool1d(size, stride=size, padding=pad)
    if kind == "mean":
        return nn.AvgPool1d(size, stride=size, padding=pad, count_include_pad=False)
    return WeightedPool(size, length=length, floor=floor)


class Residual(nn.Module):
    """``x + inner(x)``."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + self.inner(x)
        return out


class PositionMean(nn.Module):
    """Mean over positions, ``(batch, channels, length) -> (batch, channels)``."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(-1)


def mix64(values: torch.Tensor) -> torch.Tensor:
    """Scramble int64 values (the splitmix64 finaliser; arithmetic wraps, shifts are logical)."""
    values = values ^ ((values >> 30) & ((1 << 34) - 1))
    values = values * _MIX[1]
    values = values ^ ((values >> 27) & ((1 << 37) - 1))
    values = values * _MIX[2]
    return values ^ ((values >> 31) & ((1 << 33) - 1))


class KeyedDropout(nn.Dropout):
    """Dropout whose mask is a function of a key per row, of this layer and of the unit.

    Training sets the keys from (seed, epoch, global row), so masks do not depend on how a batch is split over
    processes or on what ran before. Without keys it is torch's own dropout.
    """

    def __init__(self, p: float) -> None:
        super().__init__(p)
        self.keys: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.p == 0.0:
            return x
        if self.keys is None:
            return super().forward(x)
        units = torch.arange(1, x[0].numel() + 1, device=x.device, dtype=torch.int64) * _MIX[0]
        numbers = mix64(self.keys[:, None] + units) & ((1 << 24) - 1)
        keep = (numbers >= int(self.p * (1 << 24))).view_as(x)
        return torch.where(keep, x / (1.0 - self.p), torch.zeros((), dtype=x.dtype, device=x.device))


def set_dropout_keys(module: nn.Module, keys: torch.Tensor | None) -> None:
    """Give every :class:`KeyedDropout` below ``module`` the row keys of the batch to come.

    Parameters
    ----------
    keys : int64 ``(batch,)``; each layer gets its own scrambled copy; None goes back to torch's generator
    """
    layers = (layer for layer in module.modules() if isinstance(layer, KeyedDropout))
    for number, layer in enumerate(layers, start=1):
        layer.keys = None if keys is None else mix64(keys + number)
