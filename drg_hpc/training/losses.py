"""Losses on a model's link scale. Missing targets are left out; sums and units are apart, so that any number of
processes gets the mean over the global batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from drg_hpc.errors import InputError, UsageError
from drg_hpc.models.config import Link
from drg_hpc.models.links import apply_link
from drg_hpc.models.registry import FIXED_LINKS

_LINKS: dict[str, Link] = {"bce": "logit", "mse": "identity", "poisson": "log", "multinomial": "log"}
_SCORES = {
    "bce": ("auroc", "auprc"),
    "mse": ("pearson", "spearman"),
    "poisson": ("pearson", "spearman"),
    "multinomial": ("pearson", "spearman"),
}


@dataclass(frozen=True)
class TargetFacts:
    """What the targets of the training rows are like."""

    binary: bool
    unit_interval: bool
    non_negative: bool


@dataclass(frozen=True)
class Loss:
    """A loss by name.

    - bce: binary cross-entropy of logits
    - mse: squared error on the output scale
    - poisson: ``exp(p) - y p``, the negative log-likelihood up to a constant of y
    - multinomial: per row and track, ``-sum_b y_b log softmax(p)_b + count_weight (log(1 + N) - log(1 + M))^2`` with
      N and M the measured and predicted totals over the bins that are not missing (Avsec et al. 2021)
    """

    name: str
    link: Link
    count_weight: float = 1.0

    @property
    def scores(self) -> tuple[str, str]:
        """The metrics that go with this loss."""
        return _SCORES[self.name]

    def total(self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Sum over the units that are not missing.

        Parameters
        ----------
        prediction : (rows, tracks[, bins]) on the link scale
        target : same shape; anything where ``valid`` is False
        valid : same shape, bool
        """
        target = torch.where(valid, target, torch.zeros((), dtype=target.dtype, device=target.device))
        if self.name == "multinomial":
            return self._multinomial(prediction, target, valid)
        each = self._each(prediction, target)
        return torch.where(valid, each, torch.zeros((), dtype=each.dtype, device=each.device)).sum()

    def _each(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if self.name == "bce":
            return functional.binary_cross_entropy_with_logits(prediction, target, reduction="none")
        if self.name == "mse":
            return (apply_link(prediction, self.link) - target) ** 2
        return torch.exp(prediction) - target * prediction

    def _multinomial(self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        some = valid.any(-1, keepdim=True)
        # A track without any measured bin keeps its logits here, and drops out below: no infinities in the gradient.
        seen = torch.where(valid | ~some, prediction, torch.full_like(prediction, -torch.inf))
        log_shape = torch.where(valid, torch.log_softmax(seen, dim=-1), torch.zeros_like(prediction))
        log_total = torch.logsumexp(seen, dim=-1)
        counts_error = (functional.softplus(log_total) - torch.log1p(target.sum(-1))) ** 2
        each = -(target * log_shape).sum(-1) + self.count_weight * counts_error
        return torch.where(some[..., 0], each, torch.zeros_like(each)).sum()

    def units(self, valid: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Number of units of each row that :meth:`total` sums over, int64 (rows,)."""
        present = np.any(valid, axis=-1) if self.name == "multinomial" else valid
        counts: np.ndarray[Any, Any] = present.reshape(len(valid), -1).sum(1, dtype=np.int64)
        return counts


def choose_loss(name: str, *, architecture: str, bins: int, facts: TargetFacts, count_weight: float) -> Loss:
    """Settle ``auto`` and the link, and refuse targets that a loss cannot take.

    Raises
    ------
    UsageError : loss and architecture do not fit
    InputError : loss and targets do not fit
    """
    fixed = FIXED_LINKS.get(architecture)
    if name == "auto":
        if fixed == "log":
            name = "multinomial"
        else:
            name = "bce" if facts.binary else "mse"
    link = _LINKS[name]
    if fixed is not None and fixed != link:
        if name != "mse":
            raise UsageError(f"train.loss = {name!r} does not fit {architecture}, whose output is {fixed}")
        link = fixed
    if name == "multinomial" and not bins:
        raise UsageError("train.loss = 'multinomial' needs targets in bins", fix="shard with --bin, or use poisson")
    if name == "bce" and not facts.unit_interval:
        raise InputError("train.loss = 'bce' needs targets from 0 to 1, some are outside", fix="use mse or poisson")
    if link == "log" and not facts.non_negative:
        fault = f"train.loss = {name!r} needs targets of 0 or more, some are negative"
        raise InputError(fault, fix="use mse with drg-cnn")
    return Loss(name=name, link=link, count_weight=count_weight)
