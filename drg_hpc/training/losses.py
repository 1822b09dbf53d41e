"""Losses on a model's link scale. Missing targets are left out; sums and units are apart, so that any number of
processes gets the mean over the global batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from drg_hpc.errors import InputError, UsageError
from drg_hpc.models.config import AnyConfig, Link
from drg_hpc.models.links import apply_link
from drg_hpc.models.registry import FIXED_LINKS
from drg_hpc.training.terms import Ranks, Term

Array = np.ndarray[Any, Any]

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


class _Each(Term):
    """A loss of every value that is there."""

    def __init__(self, name: str, link: Link) -> None:
        self._name, self._link = name, link

    def units(self, valid: Array) -> Array:
        counts: Array = valid.reshape(len(valid), -1).sum(1, dtype=np.int64)
        return counts

    def total(
        self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor, *, ranks: Ranks
    ) -> torch.Tensor:
        target = torch.where(valid, target, torch.zeros((), dtype=target.dtype, device=target.device))
        each = self._each(prediction, target)
        return torch.where(valid, each, torch.zeros((), dtype=each.dtype, device=each.device)).sum()

    def _each(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if self._name == "bce":
            return functional.binary_cross_entropy_with_logits(prediction, target, reduction="none")
        if self._name == "mse":
            return (apply_link(prediction, self._link) - target) ** 2
        return torch.exp(prediction) - target * prediction


class _Multinomial(Term):
    """Per row and track, ``-sum_b y_b log softmax(p)_b + count_weight (log(1 + N) - log(1 + M))^2`` with N and M the
    measured and predicted totals over the bins that are not missing (Avsec et al. 2021)."""

    def __init__(self, count_weight: float) -> None:
        self._count_weight = count_weight

    def units(self, valid: Array) -> Array:
        counts: Array = np.any(valid, axis=-1).sum(1, dtype=np.int64)
        return counts

    def total(
        self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor, *, ranks: Ranks
    ) -> torch.Tensor:
        target = torch.where(valid, target, torch.zeros((), dtype=target.dtype, device=target.device))
        some = valid.any(-1, keepdim=True)
        # A track without any measured bin keeps its logits here, and drops out below: no infinities in the gradient.
        seen = torch.where(valid | ~some, prediction, torch.full_like(prediction, -torch.inf))
        log_shape = torch.where(valid, torch.log_softmax(seen, dim=-1), torch.zeros_like(prediction))
        log_total = torch.logsumexp(seen, dim=-1)
        counts_error = (functional.softplus(log_total) - torch.log1p(target.sum(-1))) ** 2
        each = -(target * log_shape).sum(-1) + self._count_weight * counts_error
        return torch.where(some[..., 0], each, torch.zeros_like(each)).sum()


@dataclass(frozen=True)
class Loss:
    """A loss by name.

    - bce: binary cross-entropy of logits
    - mse: squared error on the output scale
    - poisson: ``exp(p) - y p``, the negative log-likelihood up to a constant of y
    - multinomial: see :class:`_Multinomial`

    Parameters
    ----------
    scores : names of the metrics that go with it
    terms : weight and term
    """

    name: str
    link: Link
    scores: tuple[str, ...]
    terms: tuple[tuple[float, Term], ...]


def choose_loss(name: str, *, model: AnyConfig, bins: int, facts: TargetFacts, count_weight: float) -> Loss:
    """Settle ``auto`` and the link, and refuse targets that a loss cannot take.

    Raises
    ------
    UsageError : loss and architecture do not fit
    InputError : loss and targets do not fit
    """
    architecture = model.architecture
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
    term = _Multinomial(count_weight) if name == "multinomial" else _Each(name, link)
    return Loss(name=name, link=link, scores=_SCORES[name], terms=((1.0, term),))
