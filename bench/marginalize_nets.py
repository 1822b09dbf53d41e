"""Networks of bench/marginalize, from torch's own modules: the same code on both sides."""

from __future__ import annotations

import torch
from torch import nn


def cnn() -> nn.Module:
    """That of configs/perturbation_cnn.toml: 200 bases."""
    return nn.Sequential(
        nn.Conv1d(4, 32, 12), nn.ReLU(), nn.MaxPool1d(20), nn.Flatten(), nn.Linear(9 * 32, 1)
    )  # fmt: skip


def basset() -> nn.Module:
    """That of Kelley et al. (2016), one output: 600 bases."""
    layers: list[nn.Module] = []
    for before, channels, size, pool in ((4, 300, 19, 3), (300, 200, 11, 4), (200, 200, 7, 4)):
        layers += [nn.Conv1d(before, channels, size, padding=size // 2), nn.BatchNorm1d(channels), nn.ReLU()]
        layers.append(nn.MaxPool1d(pool))
    head = [nn.Linear(12 * 200, 1000), nn.ReLU(), nn.Linear(1000, 1000), nn.ReLU(), nn.Linear(1000, 1)]
    return nn.Sequential(*layers, nn.Flatten(), *head)


class _Dilated(nn.Module):
    """A stem, residuals over dilated convolutions, the log count of the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(4, 64, 21, padding=10)
        self.layers = nn.ModuleList(nn.Conv1d(64, 64, 3, padding=2**i, dilation=2**i) for i in range(1, 7))
        self.counts = nn.Linear(64, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        for layer in self.layers:
            x = x + torch.relu(layer(x))
        out: torch.Tensor = self.counts(x[..., 100:-100].mean(-1))
        return out


def bpnet() -> nn.Module:
    """The trunk of BPNet with six layers and a head of counts: 1000 bases."""
    return _Dilated()


LENGTHS = {"cnn": 200, "basset": 600, "bpnet": 1000}
