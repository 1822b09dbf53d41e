"""Losses of single values. ``ln`` is the natural logarithm, p an output, y its target."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

from drg_hpc.models.config import Link
from drg_hpc.models.links import apply_link, log_rates
from drg_hpc.training.loss_base import PerValue

_EPSILON = 1e-8


def squared(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """``(p - y)^2``."""
    return (output - target) ** 2


def absolute(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """``|p - y|``."""
    return (output - target).abs()


def log_squared(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """``(ln(1 + p) - ln(1 + y))^2``."""
    return squared(torch.log1p(output), torch.log1p(target))


def log_absolute(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """``|ln(1 + p) - ln(1 + y)|``."""
    return absolute(torch.log1p(output), torch.log1p(target))


def squared_to_log(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """``(p - ln(1 + y))^2``: the output is the logarithm already."""
    return squared(output, torch.log1p(target))


def cross_entropy(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """``-y ln(p + 1e-8)``."""
    return -target * torch.log(output + _EPSILON)


def symmetric_cross_entropy(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """``-(y ln(p + 1e-8) + p ln(y + 1e-8)) / 2``."""
    return 0.5 * (cross_entropy(output, target) + cross_entropy(target, output))


def symmetric_less_entropy(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The symmetric cross-entropy ``+ 0.33 y ln(y + 1e-8)``, a constant of the target."""
    return symmetric_cross_entropy(output, target) - 0.33 * cross_entropy(target, target)


class OfOutputs(PerValue):
    """A function of output and target."""

    def __init__(self, link: Link, function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        self._link, self._function = link, function

    def each(self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        return self._function(apply_link(prediction, self._link), target)


class BinaryCrossEntropy(PerValue):
    """``-(y ln p + (1 - y) ln(1 - p))``, from logits."""

    def each(self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        return functional.binary_cross_entropy_with_logits(prediction, target, reduction="none")


class Poisson(PerValue):
    """``p - y ln p``, the negative log-likelihood up to a constant of y."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def each(self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        return apply_link(prediction, self._link) - target * log_rates(prediction, self._link)
