"""The losses, by name: weighted terms, each a mean over its units.

DRG sums a tensor of the shape of the targets, over which it spreads the loss of a row, or of a column. Ours are means
over units, which do not depend on the size of a batch: on targets without gaps DRG's sum is ours times the number of
targets, except for ``correlation-both`` (the same number), ``cross-entropy`` (times the rows) and the gradient of
``kl``, which there does not know that outputs are normalised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from drg_hpc.errors import InputError, UsageError
from drg_hpc.models.config import AnyConfig, Link
from drg_hpc.models.registry import fixed_link
from drg_hpc.training import loss_batch, loss_counts, loss_rows, loss_values
from drg_hpc.training.terms import Term

Terms = tuple[tuple[float, Term], ...]
_ANY: tuple[Link, ...] = ("identity", "log", "softplus", "logit")
_RATES: tuple[Link, ...] = ("log", "softplus")
_SHARES: tuple[Link, ...] = ("log", "softplus", "logit")


@dataclass(frozen=True)
class TargetFacts:
    """What the targets of the training rows are like."""

    binary: bool
    unit_interval: bool
    non_negative: bool

    def joined(self, values: np.ndarray[Any, Any]) -> TargetFacts:
        """What holds of these values too."""
        return TargetFacts(
            binary=self.binary and bool(np.isin(values, (0.0, 1.0)).all()),
            unit_interval=self.unit_interval and bool(((values >= 0) & (values <= 1)).all()),
            non_negative=self.non_negative and bool((values >= 0).all()),
        )


@dataclass(frozen=True)
class Loss:
    """A loss by name, for one link.

    Parameters
    ----------
    scores : names of the metrics that go with it
    terms : weight and term
    """

    name: str
    link: Link
    scores: tuple[str, ...]
    terms: Terms


@dataclass(frozen=True)
class _Entry:
    """What a loss is made of, and what it takes.

    Parameters
    ----------
    make : its terms, for a link and the weight of the error of totals
    links : scales of outputs that it can work with, the first that of a network without one of its own
    targets : any, non-negative, or unit (from 0 to 1)
    bins : ``yes``: (rows, tracks, bins) only, ``no``: (rows, tracks) only; None: both, a loss of the values on the last
        axis is then one of a row's tracks, or of the bins of a row and track
    count_weight : default of the weight of the error of totals, where there is one
    window : bins of a window
    """

    make: Callable[[Link, float], Terms]
    links: tuple[Link, ...] = _ANY
    targets: str = "any"
    bins: bool | None = None
    count_weight: float | None = None
    window: int = 0


def _of_outputs(function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Callable[[Link, float], Terms]:
    return lambda link, _: ((1.0, loss_values.OfOutputs(link, function)),)


def _sum(*parts: tuple[float, Callable[[Link], Term]]) -> Callable[[Link, float], Terms]:
    return lambda link, _: tuple((weight, make(link)) for weight, make in parts)


def _mse(link: Link) -> Term:
    return loss_values.OfOutputs(link, loss_values.squared)


def _l1(link: Link) -> Term:
    return loss_values.OfOutputs(link, loss_values.absolute)


def _means(link: Link) -> Term:
    return loss_rows.WindowMeans(link)


LOSSES: Mapping[str, _Entry] = {
    # single values
    "mse": _Entry(_of_outputs(loss_values.squared)),
    "l1": _Entry(_of_outputs(loss_values.absolute)),
    "bce": _Entry(lambda link, _: ((1.0, loss_values.BinaryCrossEntropy()),), ("logit",), "unit"),
    "poisson": _Entry(_sum((1.0, loss_values.Poisson)), _RATES, "non-negative"),
    "log-mse": _Entry(_of_outputs(loss_values.squared_to_log), targets="non-negative"),
    "d-log-mse": _Entry(_of_outputs(loss_values.log_squared), _SHARES, "non-negative"),
    "log-l1": _Entry(_of_outputs(loss_values.log_absolute), _SHARES, "non-negative"),
    "ce": _Entry(_of_outputs(loss_values.cross_entropy), ("logit",), "unit"),
    "sce": _Entry(_of_outputs(loss_values.symmetric_cross_entropy), ("logit",), "unit"),
    "hce": _Entry(_of_outputs(loss_values.symmetric_less_entropy), ("logit",), "unit"),
    # counts and distributions over the last axis
    "multinomial": _Entry(
        lambda link, weight: ((1.0, loss_counts.Multinomial(link, weight)),), _RATES, "non-negative", True, 1.0
    ),
    "poisson-multinomial": _Entry(
        lambda link, weight: ((1.0, loss_counts.PoissonMultinomial(link, weight)),),
        ("softplus", "log"), "non-negative", True, 0.2,
    ),
    "multinomial-mse": _Entry(_sum((1.0, loss_counts.ShapeEntropy), (10.0, _means)), _RATES, "non-negative"),
    "cross-entropy": _Entry(_sum((1.0, loss_counts.CrossEntropy)), _RATES, "non-negative"),
    "kl": _Entry(lambda link, _: ((1.0, loss_counts.ShapeEntropy(link, own=True)),), _RATES, "non-negative"),
    "jsd": _Entry(_sum((1.0, loss_counts.JensenShannon)), _SHARES, "non-negative"),
    "jensen-shannon": _Entry(
        _sum((1.0, loss_counts.JensenShannon), (10.0, lambda link: loss_rows.WindowMeans(link, window=25))),
        _SHARES, "non-negative", True, window=25,
    ),
    "jensen-shannon-count": _Entry(_sum((1.0, loss_counts.JensenShannon), (10.0, _means)), _SHARES, "non-negative"),
    "bce-mse": _Entry(
        _sum((1.0, loss_counts.DistributionEntropy), (10.0, lambda x: loss_rows.WindowMeans(x, after=torch.log1p))),
        _SHARES, "non-negative",
    ),
    "bce-mcr": _Entry(
        _sum(
            (1.0, loss_counts.DistributionEntropy),
            (10.0, lambda link: loss_rows.WindowMeans(link, after=torch.log1p)),
            (1.0, loss_rows.TotalsCorrelation),
        ),
        _SHARES, "non-negative", True,
    ),
    "count-dist": _Entry(_sum((1.0, _means), (10.0, loss_counts.DistributionSquared))),
    "log-count-dist": _Entry(
        _sum(
            (1.0, lambda link: loss_rows.WindowMeans(link, before=torch.log1p)),
            (10.0, loss_counts.DistributionSquared),
        ),
        _SHARES, "non-negative",
    ),
    # correlations: data over the last axis, class over the rows of the global batch
    "correlation-data": _Entry(_sum((1.0, loss_rows.RowCorrelation))),
    "correlation-class": _Entry(_sum((1.0, loss_batch.BatchCorrelation))),
    "correlation-both": _Entry(_sum((0.5, loss_rows.RowCorrelation), (0.5, loss_batch.BatchCorrelation)), bins=False),
    "correlation-sum-data": _Entry(_sum((1.0, loss_rows.TotalsCorrelation)), bins=True),
    "correlation-mse": _Entry(_sum((0.95, loss_rows.RowCorrelation), (0.05, _mse))),
    "mse-correlation": _Entry(_sum((0.95, loss_batch.BatchCorrelation), (0.05, _mse))),
    "cosine-data": _Entry(_sum((1.0, loss_rows.RowCosine))),
    "cosine-class": _Entry(_sum((1.0, loss_batch.BatchCosine))),
    "cosine-both": _Entry(_sum((0.5, loss_rows.RowCosine), (0.5, loss_batch.BatchCosine)), bins=False),
    # a value, and its differences from, or ratios to, the other tracks of the row
    "mse-contrast-mse": _Entry(_sum((1.0, _mse), (1.0, loss_rows.ContrastSquared)), bins=False),
    "mse-contrast-ratio": _Entry(_sum((1.0, _mse), (1.0, loss_batch.ContrastRatio)), bins=False),
    "mse-contrast-correlation": _Entry(_sum((1.0, _mse), (1.0, loss_rows.RowCorrelation)), bins=False),
    "l1-contrast-l1": _Entry(_sum((1.0, _l1), (1.0, loss_rows.ContrastAbsolute)), bins=False),
    "l1-contrast-mse": _Entry(_sum((1.0, _l1), (1.0, loss_rows.ContrastSquared)), bins=False),
    "l1-contrast-correlation": _Entry(_sum((1.0, _l1), (1.0, loss_rows.RowCorrelation)), bins=False),
}  # fmt: skip


def make_loss(name: str, link: Link, *, count_weight: float | None = None) -> Loss:
    """A loss for outputs on ``link``, whatever the targets."""
    entry = LOSSES[name]
    weight = count_weight if count_weight is not None else entry.count_weight
    scores = ("auroc", "auprc") if name == "bce" else ("pearson", "spearman")
    return Loss(name, link, scores, entry.make(link, 0.0 if weight is None else weight))


def choose_loss(
    name: str,
    *,
    model: AnyConfig,
    bins: int,
    facts: TargetFacts,
    count_weight: float | None,
    link: Link | None = None,
    key: str = "train.loss",
) -> Loss:
    """Settle ``auto`` and the link, and refuse targets that a loss cannot take.

    Parameters
    ----------
    count_weight : weight of the error of totals, for losses that have one; None: its usual value
    link : scale of the outputs, where another loss has settled it
    key : option that the name comes from

    Raises
    ------
    UsageError : loss and architecture, scale of outputs, or bins do not fit
    InputError : loss and targets do not fit
    """
    fixed = fixed_link(model)
    if name == "auto":
        if fixed == "log":
            name = "multinomial"
        else:
            name = "bce" if facts.binary else "mse"
    entry, what = LOSSES[name], f"{key} = {name!r}"
    chosen = link or fixed or entry.links[0]
    if chosen not in entry.links:
        known = ", ".join(known for known, other in LOSSES.items() if chosen in other.links)
        of = "that the training loss makes" if link else f"of {model.architecture}"
        raise UsageError(f"{what} does not fit the {chosen} outputs {of}", fix=f"losses for these: {known}")
    _check_bins(what, entry, bins)
    if entry.targets == "unit" and not facts.unit_interval:
        raise InputError(f"{what} needs targets from 0 to 1, some are outside", fix="use mse or poisson")
    if (entry.targets == "non-negative" or chosen in _RATES) and not facts.non_negative:
        raise InputError(f"{what} needs targets of 0 or more, some are negative", fix="use mse with drg-cnn")
    return make_loss(name, chosen, count_weight=count_weight)


def _check_bins(what: str, entry: _Entry, bins: int) -> None:
    if entry.bins and not bins:
        raise UsageError(f"{what} needs targets in bins", fix="shard with --bin, or use poisson")
    if entry.bins is False and bins:
        raise UsageError(f"{what} is of one value a track, the targets have {bins} bins", fix="use mse")
    if entry.window and bins % entry.window:
        raise UsageError(
            f"{what} takes means of {entry.window} bins, which do not divide the {bins} of the targets",
            fix="use jensen-shannon-count, whose means are of all bins",
        )
