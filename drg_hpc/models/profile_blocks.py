"""Layers of the profile networks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn
from torch.nn import functional

from drg_hpc.models.blocks_layout import Crop

if TYPE_CHECKING:
    from drg_hpc.models.dilated import DilatedResidual


class ValidResidual(nn.Module):
    """``crop(x) + inner(x)``, for an ``inner`` whose unpadded convolution takes ``reach`` positions off each end."""

    def __init__(self, inner: nn.Module, *, reach: int) -> None:
        super().__init__()
        self.inner = inner
        self.crop = Crop(reach, reach)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.crop(x) + self.inner(x)
        return out


class LogRate(nn.Module):
    """Log rate of each bin from the logits of the shape and the log of the total: ``log softmax(profile) + counts``.

    ``(batch, tracks, bins)`` and ``(batch, tracks)``; with ``shared`` one softmax goes over the bins of all tracks, and
    counts are ``(batch, 1)``.
    """

    def __init__(self, *, shared: bool) -> None:
        super().__init__()
        self.shared = shared

    def forward(self, profile: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        if self.shared:
            return torch.log_softmax(profile.flatten(1), dim=-1).view_as(profile) + counts[..., None]
        return torch.log_softmax(profile, dim=-1) + counts[..., None]


class Frozen(nn.Module):
    """The heads of a finished network, which training does not change: no gradient of its weights, always in eval
    mode. Gradients pass through it to the sequence."""

    def __init__(self, network: DilatedResidual) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.network.eval()

    def train(self, mode: bool = True) -> Frozen:
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.network.heads(x)


class AddBias(nn.Module):
    """ChromBPNet's sum of a network and its bias model: logits of the profiles are added, and so are the totals
    (Pampari et al. 2024, 10.1101/2024.12.25.630221).

    ``crop`` takes the bins that the network has out of the bias model's profile.
    """

    def __init__(self, left: int, right: int) -> None:
        super().__init__()
        self.crop = Crop(left, right)

    def forward(self, own: dict[str, torch.Tensor], bias: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {
            "profile": own["profile"] + self.crop(bias["profile"]),
            "counts": torch.logaddexp(own["counts"], bias["counts"]),
        }


class NarrowConv1d(nn.Conv1d):
    """A convolution to one or two channels, such as a profile head's.

    PyTorch computes that on a CPU at a thirtieth of the rate of matrix products. There it is one product that gives the
    share of every tap at every position, and a sum along its diagonals; elsewhere it is an ordinary convolution.

    Attributes
    ----------
    ordinary : see :func:`ordinary_convolutions`
    """

    ordinary: ClassVar[bool] = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        plain = self.stride == (1,) and self.dilation == (1,) and self.groups == 1 and not isinstance(self.padding, str)
        if self.ordinary or x.device.type != "cpu" or self.out_channels > 2 or not plain:
            return super().forward(x)
        size, padding = self.kernel_size[0], int(self.padding[0])
        x = functional.pad(x, (padding, padding))
        length = x.shape[-1]
        weight = self.weight.transpose(1, 2).reshape(-1, self.in_channels, 1)
        taps = functional.conv1d(x, weight)  # (rows, channels * size, length)
        # In rows one longer than they are, tap k of position t + k stands at [k, t].
        taps = functional.pad(taps.reshape(len(x), self.out_channels, -1), (0, size))
        skewed = taps.reshape(len(x), self.out_channels, size, length + 1)
        out = skewed[..., : length - size + 1].sum(2)
        return out if self.bias is None else out + self.bias[:, None]


@contextmanager
def ordinary_convolutions() -> Iterator[None]:
    """Within it, :class:`NarrowConv1d` calls the convolution that it is, for those who read a network's operations."""
    before, NarrowConv1d.ordinary = NarrowConv1d.ordinary, True
    try:
        yield
    finally:
        NarrowConv1d.ordinary = before
