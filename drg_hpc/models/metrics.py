"""Metrics of predictions, in float64 on whole arrays (never averages over batches). Undefined values are NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def average_ranks(values: Array) -> Array:
    """Ranks from 1, ties sharing the mean of theirs; float64 (n,)."""
    order = np.argsort(values, kind="stable")
    _, inverse, counts = np.unique(values[order], return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = np.empty(len(values))
    ranks[order] = (last - (counts - 1) / 2.0)[inverse]
    return ranks


def auroc(prediction: Array, target: Array) -> float:
    """Area under the ROC curve (Mann-Whitney), ties counted half; positives are targets above 0.5."""
    positive = target > 0.5
    n_positive = int(positive.sum())
    n_negative = len(target) - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    rank_sum = float(average_ranks(prediction)[positive].sum())
    return (rank_sum - n_positive * (n_positive + 1) / 2.0) / (n_positive * n_negative)


def auprc(prediction: Array, target: Array) -> float:
    """Average precision: precision at each distinct threshold, weighted by the recall gained there."""
    positive = target > 0.5
    if not positive.any():
        return float("nan")
    order = np.argsort(-prediction, kind="stable")
    found = np.cumsum(positive[order])
    ends = np.append(np.flatnonzero(np.diff(prediction[order])), len(order) - 1)
    precision = found[ends] / (ends + 1.0)
    gained = np.diff(found[ends], prepend=0) / found[-1]
    return float((precision * gained).sum())


def pearson(prediction: Array, target: Array) -> float:
    """Pearson correlation; undefined where either side is constant."""
    if len(prediction) < 2 or (prediction == prediction[0]).all() or (target == target[0]).all():
        return float("nan")
    x = prediction - prediction.mean()
    y = target - target.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale > 0 else float("nan")


def spearman(prediction: Array, target: Array) -> float:
    """Spearman correlation, ties with their average rank."""
    return pearson(average_ranks(prediction), average_ranks(target))


METRICS: dict[str, Callable[[Array, Array], float]] = {
    "auroc": auroc,
    "auprc": auprc,
    "pearson": pearson,
    "spearman": spearman,
}


def per_track(name: str, prediction: Array, target: Array, valid: Array) -> Array:
    """One metric for each track over all rows (and bins) that are not missing; float64 (tracks,).

    Parameters
    ----------
    name : key of :data:`METRICS`
    prediction, target, valid : (rows, tracks[, bins])
    """
    metric = METRICS[name]
    found = []
    for track in range(prediction.shape[1]):
        seen = valid[:, track]
        found.append(metric(prediction[:, track][seen].astype(np.float64), target[:, track][seen].astype(np.float64)))
    return np.array(found)


def mean_defined(values: Array) -> float:
    """Mean over the tracks where a metric is defined; NaN when it is nowhere."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
