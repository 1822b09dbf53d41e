"""Small networks whose mutants are predicted here and by other programs; needs torch alone.

Those of peer_nets.py, and what mutation scans depend on besides: strides, residuals over dilations, crops, strands with
padding, dense layers after pooling.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from attribution import peer_nets
from attribution.peer_nets import CHANNELS, LENGTH, TRACKS
from torch import nn
from torch.nn import functional


class Basset(nn.Module):
    """Convolution, batch norm, ReLU, max-pooling, twice; two dense layers. Layer by layer a small Basset of this
    package."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(4, CHANNELS, 5), nn.BatchNorm1d(CHANNELS), nn.ReLU(), nn.MaxPool1d(3),
            nn.Conv1d(CHANNELS, CHANNELS, 3), nn.BatchNorm1d(CHANNELS), nn.ReLU(), nn.MaxPool1d(2),
            nn.Flatten(), nn.Linear(3 * CHANNELS, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, TRACKS),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layers(x)
        return out


class Strided(nn.Module):
    """Convolutions with strides and groups, a pooling whose windows overlap, the largest value of each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(4, CHANNELS, 4, stride=2, padding=1), nn.ELU(), nn.AvgPool1d(3, stride=1, padding=1),
            nn.Conv1d(CHANNELS, CHANNELS, 3, stride=2, groups=2), nn.SiLU(),
            nn.ConvTranspose1d(CHANNELS, 4, 3, stride=2),
        )  # fmt: skip
        self.head = nn.Linear(8, TRACKS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layers(x)
        out: torch.Tensor = self.head(torch.cat([x.amax(-1), x.mean(-1)], dim=1))
        return out


class Dilated(nn.Module):
    """Residuals over dilated convolutions; log rates of bins in the middle, (n, TRACKS * bins)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(4, CHANNELS, 7, padding=3)
        self.layers = nn.ModuleList(nn.Conv1d(CHANNELS, CHANNELS, 3, padding=d, dilation=d) for d in (2, 4))
        self.profile = nn.Conv1d(CHANNELS, TRACKS, 5, padding=2)
        self.counts = nn.Linear(CHANNELS, TRACKS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        for layer in self.layers:
            x = x + torch.relu(layer(x))
        profile = functional.avg_pool1d(self.profile(x)[..., 10:-10], 3)
        counts = self.counts(x[..., 8:-8].mean(-1))
        return (torch.log_softmax(profile, dim=-1) + counts[..., None]).flatten(1)


class Deep(nn.Module):
    """Kernels on both strands over padded bases, pooling, and a tower whose shortcuts skip a pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = nn.Parameter(torch.randn(CHANNELS, 4, 6))
        self.first = nn.Conv1d(CHANNELS, CHANNELS, 3, padding=2, dilation=2, bias=False)
        self.second = nn.Conv1d(CHANNELS, CHANNELS, 3, padding=1)
        self.head = nn.Linear(4 * CHANNELS, TRACKS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.pad(x, (2, 2), value=0.25)
        both = functional.conv1d(x, torch.cat([self.kernels, self.kernels.flip(1, 2)]), padding=3)
        forward, reverse = both[..., 1:].chunk(2, dim=1)
        x = functional.max_pool1d(functional.gelu(torch.maximum(forward, reverse)), 3, padding=1)
        out = self.first(functional.gelu(x))
        x = functional.max_pool1d(out + x, 3)
        out = self.second(functional.gelu(x)) + functional.max_pool1d(out, 3)
        result: torch.Tensor = self.head(out.flatten(1))
        return result


OWN: dict[str, Callable[[], nn.Module]] = {"basset": Basset, "strided": Strided, "dilated": Dilated, "deep": Deep}
NETS = (*peer_nets.NETS, *OWN)


class Contraction(nn.Module):
    """An einsum of two tensors."""

    def __init__(self, equation: str) -> None:
        super().__init__()
        self.equation = equation

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return torch.einsum(self.equation, left, right)


def make(name: str, seed: int) -> nn.Module:
    """A network in double precision and eval mode."""
    if name in peer_nets.NETS:
        return peer_nets.make(name, Contraction, by_pool=False, seed=seed)
    torch.manual_seed(seed)
    return peer_nets.set_norms(OWN[name]()).double().eval()


def loaded(name: str, given: dict[str, Any]) -> nn.Module:
    """A network with the weights ``NAME/PARAMETER`` of an archive."""
    arrays = {key.split("/", 1)[1]: value for key, value in given.items() if key.startswith(f"{name}/weights.")}
    return peer_nets.load(make(name, 0), {key.removeprefix("weights."): value for key, value in arrays.items()})


def weights(name: str, seed: int) -> dict[str, Any]:
    """What :func:`loaded` reads."""
    return {f"{name}/weights.{key}": value for key, value in peer_nets.weights(make(name, seed)).items()}


__all__ = ["LENGTH", "NETS", "TRACKS", "loaded", "make", "weights"]
