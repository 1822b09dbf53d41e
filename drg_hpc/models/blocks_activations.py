"""Activations, and the least value of each."""

from __future__ import annotations

import math

import torch
from torch import nn

# Minimum of x * Phi(x), at x = -0.75179: what an imagined base far from every motif adds to a window.
GELU_MINIMUM = -0.16997120747990369
_LIMIT = 2056.0  # where DRG's clamps begin


class ClampedExp(nn.Module):
    """``exp(min(x, ln limit))``: DRG's exponential kernel activation, which cannot overflow."""

    def __init__(self, limit: float = 2.0**32) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.exp(torch.clamp(x, max=math.log(self.limit)))

    def extra_repr(self) -> str:
        return f"limit={self.limit:g}"


class ClampedPower(nn.Module):
    """``min(x, limit^(1/power))^power``."""

    def __init__(self, power: int, limit: float = 128.0) -> None:
        super().__init__()
        self.power, self.limit = power, limit

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.clamp(x, max=self.limit ** (1.0 / self.power)) ** self.power

    def extra_repr(self) -> str:
        return f"{self.power}, limit={self.limit:g}"


class Clamp(nn.Module):
    """``x``, not beyond ``limit`` either way."""

    def __init__(self, limit: float = _LIMIT) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.clamp(x, -self.limit, self.limit)

    def extra_repr(self) -> str:
        return f"{self.limit:g}"


class OffsetReLU(nn.Module):
    """``relu(x) + offset``: never zero."""

    def __init__(self, offset: float = 0.01) -> None:
        super().__init__()
        self.offset = offset

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x) + self.offset

    def extra_repr(self) -> str:
        return f"{self.offset:g}"


class Sine(nn.Module):
    """``sin(x)``."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(x)


def activation(name: str) -> nn.Module:
    """A new activation layer, by its name in a configuration (``gelu`` is exact)."""
    if name == "exp128":
        return ClampedExp(128.0)
    if name in ("squared", "cubed"):
        return ClampedPower(2 if name == "squared" else 3)
    if name.startswith("clamped-"):
        return nn.Sequential(activation(name.removeprefix("clamped-")), Clamp())
    layers: dict[str, type[nn.Module]] = {
        "gelu": nn.GELU, "relu": nn.ReLU, "exp": ClampedExp, "relu-offset": OffsetReLU, "sigmoid": nn.Sigmoid,
        "tanh": nn.Tanh, "sin": Sine, "identity": nn.Identity, "clamp": Clamp,
    }  # fmt: skip
    return layers[name]()


def activation_minimum(name: str) -> float | None:
    """The least value of an activation, or the limit where it comes as close as one likes (exp, sigmoid, tanh).

    None where there is no bound, or (``clamp``) only one that nothing real comes near.
    """
    bounds = {"gelu": GELU_MINIMUM, "relu-offset": 0.01, "tanh": -1.0, "sin": -1.0}
    zero = ("relu", "exp", "exp128", "sigmoid", "squared")
    name = name.removeprefix("clamped-")
    return 0.0 if name in zero else bounds.get(name)
