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


class Moments:
    """Counts, means and centred second moments of predictions and targets of each track, in one pass over chunks
    (Chan, Golub & LeVeque 1983); float64.

    Parameters
    ----------
    tracks : number of tracks
    """

    def __init__(self, tracks: int) -> None:
        self._values = np.zeros((6, tracks))  # n, mean x, mean y, Sxx, Syy, Sxy

    def flat(self) -> list[float]:
        """All numbers, for :meth:`from_flat`."""
        values: list[float] = self._values.ravel().tolist()
        return values

    @classmethod
    def from_flat(cls, values: list[float]) -> Moments:
        """What :meth:`flat` gave."""
        found = cls(len(values) // 6)
        found._values = np.array(values).reshape(6, -1)
        return found

    def add(self, prediction: Array, target: Array, valid: Array) -> None:
        """Count a chunk in, all (rows, tracks, bins); entries that are not ``valid`` do not count."""
        n = valid.sum((0, 2)).astype(np.float64)
        safe = np.maximum(n, 1)
        x = np.where(valid, prediction, 0.0).astype(np.float64)
        y = np.where(valid, target, 0.0).astype(np.float64)
        means = x.sum((0, 2)) / safe, y.sum((0, 2)) / safe
        x, y = (np.where(valid, v - m[:, None], 0.0) for v, m in zip((x, y), means, strict=True))
        chunk = Moments(len(n))
        chunk._values = np.stack([n, *means, (x * x).sum((0, 2)), (y * y).sum((0, 2)), (x * y).sum((0, 2))])
        self.merge(chunk)

    def merge(self, other: Moments) -> None:
        """Count another's in."""
        n, mx, my, sxx, syy, sxy = self._values
        k, nx, ny, txx, tyy, txy = other._values
        total = n + k
        safe = np.maximum(total, 1)
        dx, dy, weight = nx - mx, ny - my, n * k / safe
        self._values = np.stack([
            total, mx + dx * k / safe, my + dy * k / safe,
            sxx + txx + dx * dx * weight, syy + tyy + dy * dy * weight, sxy + txy + dx * dy * weight,
        ])  # fmt: skip

    def pearson(self) -> Array:
        """Pearson correlation of each track, NaN where it is undefined."""
        n, _, _, sxx, syy, sxy = self._values
        scale = np.sqrt(sxx * syy)
        found: Array = np.where((n >= 2) & (scale > 0), sxy / np.where(scale > 0, scale, 1.0), np.nan)
        return found


def mean_defined(values: Array) -> float:
    """Mean over the tracks where a metric is defined; NaN when it is nowhere."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
