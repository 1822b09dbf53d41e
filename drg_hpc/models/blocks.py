"""Small layers that networks are composed of; each does one thing to ``(batch, channels, length)`` tensors."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from drg_hpc.models.blocks_activations import GELU_MINIMUM as GELU_MINIMUM
from drg_hpc.models.blocks_activations import activation as activation
from drg_hpc.models.blocks_activations import activation_minimum as activation_minimum
from drg_hpc.models.blocks_pooling import pooled_length as pooled_length
from drg_hpc.models.blocks_pooling import pooling as pooling
from drg_hpc.models.blocks_pooling import pooling_pad as pooling_pad

_MIX = (-7046029254386353131, -4658895280553007687, -7723592293110705685)  # splitmix64's constants as int64


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


class StrandWeighted(nn.Module):
    """Mean over strands weighted by their softmax, ``(batch, 2, kernels, length) -> (batch, kernels, length)``."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * torch.softmax(x, dim=1)).sum(1)


class AttentionWeights(nn.Softmax):
    """Attention weights of logits, over keys: ``(batch, heads, queries, keys)`` in and out."""

    def __init__(self) -> None:
        super().__init__(dim=-1)


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
