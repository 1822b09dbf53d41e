"""Small networks that both tangermeme and this package can attribute; needs torch alone.

tangermeme knows operations by their modules, so products and strand maxima are modules here, which the caller makes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

CHANNELS, LENGTH, TRACKS = 6, 32, 2


class Scan(nn.Module):
    """Convolution, ``middle``, and a linear head."""

    def __init__(self, middle: nn.Module, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, CHANNELS, 5, padding=2)
        self.middle = middle
        self.head = nn.Linear(width, TRACKS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.middle(self.conv(2 * x)).flatten(1))
        return out


class Twice(nn.Module):
    """One activation object after two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.activation = nn.ReLU()
        self.conv = nn.Conv1d(CHANNELS, CHANNELS, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.activation(self.conv(self.activation(x)))
        return out


class Strands(nn.Module):
    """Maximum over two halves of the channels; tangermeme sees it as a max-pool over neighbouring positions."""

    def __init__(self, by_pool: bool) -> None:
        super().__init__()
        self.pool = nn.MaxPool1d(2) if by_pool else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second = x.chunk(2, dim=1)
        if self.pool is None:
            return torch.maximum(first, second)
        out: torch.Tensor = self.pool(torch.stack([first, second], dim=-1).flatten(2))
        return out


class WeightedPool(nn.Module):
    """``sum_j x_j softmax(x)_j`` of windows."""

    def __init__(self, product: Callable[[str], nn.Module], size: int) -> None:
        super().__init__()
        self.size, self.softmax, self.product = size, nn.Softmax(dim=-1), product("...,...->...")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        windows = x.reshape(*x.shape[:2], -1, self.size)
        out: torch.Tensor = self.product(windows, self.softmax(windows)).sum(-1)
        return out


class Attention(nn.Module):
    """One head over positions, after layer norm, with a residual."""

    def __init__(self, product: Callable[[str], nn.Module]) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(CHANNELS)
        self.maps = nn.ModuleList(nn.Linear(CHANNELS, CHANNELS) for _ in range(3))
        self.softmax = nn.Softmax(dim=-1)
        self.weigh, self.join = product("bic,bjc->bij"), product("bij,bjc->bic")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.transpose(1, 2)
        q, k, v = (linear(self.norm(x)) for linear in self.maps)
        out: torch.Tensor = x + self.join(self.softmax(self.weigh(q, k)), v)
        return out


FULL = CHANNELS * LENGTH
Made = tuple[nn.Module, int]
NETS: dict[str, Callable[[Callable[[str], nn.Module], bool], Made]] = {
    "relu": lambda product, by_pool: (nn.ReLU(), FULL),
    "gelu": lambda product, by_pool: (nn.GELU(), FULL),
    "elu": lambda product, by_pool: (nn.ELU(), FULL),
    "silu": lambda product, by_pool: (nn.SiLU(), FULL),
    "sigmoid": lambda product, by_pool: (nn.Sigmoid(), FULL),
    "softplus": lambda product, by_pool: (nn.Softplus(), FULL),
    "twice": lambda product, by_pool: (Twice(), FULL),
    "batch norm": lambda product, by_pool: (nn.Sequential(nn.BatchNorm1d(CHANNELS), nn.Tanh()), FULL),
    "pool": lambda product, by_pool: (nn.Sequential(nn.ReLU(), nn.MaxPool1d(4)), FULL // 4),
    "overlapping pool": lambda product, by_pool: (nn.Sequential(nn.GELU(), nn.MaxPool1d(4, 2, 1)), FULL // 2),
    "dilated pool": lambda product, by_pool: (nn.Sequential(nn.GELU(), nn.MaxPool1d(3, 2, 0, 2)), CHANNELS * 14),
    "glu": lambda product, by_pool: (nn.GLU(1), FULL // 2),
    "softmax": lambda product, by_pool: (nn.Softmax(-1), FULL),
    "layer norm": lambda product, by_pool: (nn.Sequential(nn.LayerNorm(LENGTH), nn.GELU()), FULL),
    "rms norm": lambda product, by_pool: (nn.RMSNorm(LENGTH), FULL),
    "strands": lambda product, by_pool: (nn.Sequential(Strands(by_pool), nn.GELU()), FULL // 2),
    "weighted pool": lambda product, by_pool: (WeightedPool(product, 8), FULL // 8),
    "attention": lambda product, by_pool: (Attention(product), FULL),
}  # fmt: skip


def make(name: str, product: Callable[[str], nn.Module], *, by_pool: bool, seed: int) -> nn.Module:
    """A network in double precision and eval mode.

    Parameters
    ----------
    product : makes the module of a contraction, from its einsum
    by_pool : strand maxima as pooling
    """
    torch.manual_seed(seed)
    return set_norms(Scan(*NETS[name](product, by_pool))).double().eval()


def set_norms(net: nn.Module) -> nn.Module:
    """Give batch norms statistics as after training."""
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm1d):
            nn.init.normal_(layer.running_mean)  # type: ignore[arg-type]
            nn.init.uniform_(layer.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    return net


def weights(net: nn.Module) -> dict[str, Any]:
    """Arrays by the names of parameters and buffers."""
    return {key: value.numpy() for key, value in net.state_dict().items()}


def load(net: nn.Module, arrays: dict[str, Any]) -> nn.Module:
    """Put arrays of :func:`weights` into a network."""
    net.load_state_dict({key: torch.from_numpy(value) for key, value in arrays.items()})
    return net
