"""Losses of counts and of distributions over the last axis: the bins of a row and track, or the tracks of a row."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from drg_hpc.models.config import Link
from drg_hpc.models.links import apply_link, log_rates
from drg_hpc.training.loss_base import PerRow, PerValue, count, fill
from drg_hpc.training.terms import Array, Ranks

_EPSILON = 1e-8
_BORZOI_EPSILON = 1e-7


def _log_shape(log_rate: torch.Tensor, valid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logarithms of each value's share of the total of what is there (0 where nothing is), and of that total."""
    some = valid.any(-1, keepdim=True)
    # Where nothing is there the rates stay as they are: no infinities, also none in a gradient.
    seen = torch.where(valid | ~some, log_rate, torch.full_like(log_rate, -torch.inf))
    return fill(torch.log_softmax(seen, dim=-1), valid), torch.logsumexp(seen, dim=-1)


def _shares(values: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Each value's share of the sum of what is there; 0 where nothing is."""
    seen = fill(values, valid)
    total = seen.sum(-1, keepdim=True)
    return fill(seen / torch.where(valid.any(-1, keepdim=True), total, torch.ones_like(total)), valid)


def _above_least(values: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Values less the smallest of what is there on the last axis; 0 elsewhere."""
    least = fill(values, valid, torch.inf).amin(-1, keepdim=True)
    return fill(values - fill(least, valid.any(-1, keepdim=True)), valid)


class Multinomial(PerRow):
    """``-sum_b y_b ln(p_b / M) + w (ln(1 + N) - ln(1 + M))^2``, N and M the measured and predicted totals over the bins
    that are there (Avsec et al. 2021, 10.1038/s41588-021-00782-6)."""

    def __init__(self, link: Link, count_weight: float) -> None:
        self._link, self._weight = link, count_weight

    def each(self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        log_shape, log_total = _log_shape(log_rates(prediction, self._link), valid)
        counts_error = (functional.softplus(log_total) - torch.log1p(target.sum(-1))) ** 2
        return -(target * log_shape).sum(-1) + self._weight * counts_error


class PoissonMultinomial(PerRow):
    """``(-sum_b (y_b + e) ln((p_b + e) / M) + w (M - N ln(M + e))) / n``, e = 1e-7, N and M the measured and predicted
    totals over the n bins that are there (Linder et al. 2025, 10.1038/s41588-024-02053-6, all bins of one weight)."""

    def __init__(self, link: Link, count_weight: float) -> None:
        self._link, self._weight = link, count_weight

    def each(self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        rates, e = fill(apply_link(prediction, self._link), valid), _BORZOI_EPSILON
        _, log_total = _log_shape(log_rates(prediction, self._link), valid)
        total = rates.sum(-1)
        shape = (target + e) * (torch.log(rates + e) - log_total[..., None])
        counts = total - target.sum(-1) * torch.log(total + e)
        return (self._weight * counts - fill(shape, valid).sum(-1)) / count(valid, rates.dtype)[..., 0]


class CrossEntropy(PerRow):
    """``-sum_t y_t ln(p_t / sum p)`` over the tracks of a row that are there, in each bin."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def units(self, valid: Array) -> Array:
        return super().units(np.swapaxes(valid, 1, -1))

    def total(
        self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor, *, ranks: Ranks
    ) -> torch.Tensor:
        tracks_last = (values.transpose(1, -1) for values in (prediction, target, valid))
        return super().total(*tracks_last, ranks=ranks)

    def each(self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Loss of each row, or row and bin, of ``(rows[, bins], tracks)``."""
        log_shape, _ = _log_shape(log_rates(prediction, self._link), valid)
        return -(target * log_shape).sum(-1)


class ShapeEntropy(PerValue):
    """``-y ln(p / sum p)``, the sum over what is there; with ``own`` also ``+ y ln y``, so that sums over normalised
    targets are Kullback-Leibler divergences."""

    def __init__(self, link: Link, *, own: bool = False) -> None:
        self._link, self._own = link, own

    def each(self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        log_shape, _ = _log_shape(log_rates(prediction, self._link), valid)
        losses = -target * log_shape
        return losses + torch.xlogy(target, target) if self._own else losses


class JensenShannon(PerRow):
    """Jensen-Shannon divergence in bits of outputs and targets as distributions, 1e-8 added to each value."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def each(self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        p, q = (_shares(values + _EPSILON, valid) for values in (apply_link(prediction, self._link), target))
        logs = [torch.log2(fill(values, valid, 1.0)) for values in (p, q, 0.5 * (p + q))]
        return 0.5 * (p * (logs[0] - logs[2]) + q * (logs[1] - logs[2])).sum(-1)


class DistributionEntropy(PerValue):
    """Binary cross-entropy of outputs and targets as distributions: less the smallest, plus 1e-8, over the sum."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def each(self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        values = (apply_link(prediction, self._link), target)
        p, q = (_shares(_above_least(x, valid) + _EPSILON, valid) for x in values)
        proper = (p >= 0) & (p <= 1) & (q >= 0) & (q <= 1)
        losses = functional.binary_cross_entropy(fill(p, proper, 0.5), fill(q, proper, 0.5), reduction="none")
        return fill(losses, proper, torch.nan)  # torch refuses what is not finite by an error, on a GPU for good


class DistributionSquared(PerValue):
    """Squared difference of outputs and targets as distributions: less the smallest, over the sum; flat ones are
    uniform."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def each(self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        p, q = (self._profile(x, valid) for x in (apply_link(prediction, self._link), target))
        return (p - q) ** 2

    def _profile(self, values: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        raised = _above_least(values, valid)
        total = raised.sum(-1, keepdim=True)
        return torch.where(total == 0, 1.0 / count(valid, values.dtype), raised / fill(total, total != 0, 1.0))
