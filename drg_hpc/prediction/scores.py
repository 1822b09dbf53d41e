"""Metrics of each track over all regions, and of each region over tracks or bins."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.models import metrics
from drg_hpc.models import moments as sums
from drg_hpc.prediction.shapes import row_ranks, row_spearman
from drg_hpc.prediction.streaming import Outputs, Truth

TRACK_METRICS = (
    "auroc", "auprc", "pearson", "spearman", "r2", "mse", "mae", "pearson_total", "spearman_total",
    "pearson_region", "spearman_region", "jsd", "js_distance", "jsd_flat",
)  # fmt: skip
"""In the order of the tables. Those of regions and shapes are of binned targets."""
REGION_METRICS = ("auroc", "auprc", "pearson", "spearman", "r2", "mse", "mae", "pearson_tracks", "jsd")
BETTER = {name: ("lower" if name in ("mse", "mae", "jsd", "js_distance") else "higher") for name in
          (*TRACK_METRICS, *REGION_METRICS)}  # fmt: skip
FEWEST_TRACKS = 3
"""Tracks of a region below which it has no correlation over tracks."""
_ROW_VALUES = 1 << 21
Array = NDArray[Any]


def plain(value: Any) -> float | None:
    """A number for JSON; undefined is null."""
    return float(value) if math.isfinite(value) else None


def mean_where_defined(values: Array, axis: int | None = None) -> Array:
    """Mean of the values that are not NaN; NaN where there are none."""
    seen = ~np.isnan(values)
    count = seen.sum(axis)
    found: Array = np.where(count > 0, np.where(seen, values, 0.0).sum(axis) / np.maximum(count, 1), np.nan)
    return found


def no_classes(truth: Truth, track: int) -> str | None:
    """Why a ranking of two classes means nothing for a track, or None."""
    y = truth.values[:, track]
    y = y[~np.isnan(y)]
    if np.isnan(truth.largest[:, track]).all():
        return "no target is present"
    if not truth.binary[track]:
        return "targets are not 0 and 1"
    if not len(y):
        return "too many bins to rank"
    if (y == y[0]).all():
        return f"all targets are {int(y[0])}: both classes are needed"
    return None


def row_totals(moments: Array, bins: int) -> tuple[Array, Array]:
    """Sums over bins of predictions and targets, (rows, tracks) each; NaN for rows with a missing bin."""
    n, mean_p, mean_t = moments[:3]
    whole = n == max(bins, 1)
    return np.where(whole, n * mean_p, np.nan), np.where(whole, n * mean_t, np.nan)


def _pair(prediction: Array, target: Array) -> tuple[Array, Array]:
    seen = ~np.isnan(target)
    return prediction[seen].astype(np.float64), target[seen].astype(np.float64)


def track_scores(truth: Truth, outputs: Outputs, track: int) -> dict[str, Any]:
    """Metrics of one track over all regions (and bins) whose target is there.

    Returns
    -------
    n, positives, auroc and auprc (null with a ``reason`` unless targets are 0 and 1 and both occur), pearson, spearman,
    r2, mse, mae; for binned targets those of :func:`_profile_scores` too, and the metrics of ranks are over the rows
    that were kept
    """
    moments = outputs.moments(slice(track, track + 1))[:, :, 0]
    joint = sums.pooled(moments)
    p, y = _pair(outputs.values[:, track], truth.values[:, track])
    found: dict[str, Any] = {"n": int(joint[0]), "positives": None, "auroc": None, "auprc": None}
    if (reason := no_classes(truth, track)) is None:
        found |= {"auroc": plain(metrics.auroc(p, y)), "auprc": plain(metrics.auprc(p, y))}
        found["positives"] = round(float(joint[0] * joint[2]))
    else:
        found["reason"] = reason
    found |= {name: plain(metric(joint)) for name, metric in sums.SIMPLE.items()}
    found["spearman"] = plain(metrics.spearman(p, y))
    return found | (_profile_scores(truth, outputs, track, moments) if truth.bins else {})


def _profile_scores(truth: Truth, outputs: Outputs, track: int, moments: Array) -> dict[str, Any]:
    """Of binned targets: correlations of the rows' totals (without rows that miss a bin), means over regions of the
    correlations over bins, and of the shape's divergence (``jsd``, bits), its root (``js_distance``) and the divergence
    of a flat profile, with the number of regions in which they are defined. Bins of a yes-or-no track are no
    distribution and have no shape."""
    p, y = (values[~np.isnan(values)] for values in row_totals(moments, truth.bins))
    found: dict[str, Any] = {"pearson_total": metrics.pearson(p, y), "spearman_total": metrics.spearman(p, y)}
    found["pearson_region"] = mean_where_defined(sums.pearson(moments))
    if outputs.spearman is not None:
        found["spearman_region"] = mean_where_defined(outputs.spearman[:, track])
    if outputs.divergence is not None and truth.flat is not None and not truth.binary[track]:
        divergence = outputs.divergence[:, track]
        flat = np.where(np.isnan(divergence), np.nan, truth.flat[:, track])
        found |= {"jsd": mean_where_defined(divergence), "js_distance": mean_where_defined(np.sqrt(divergence))}
        found |= {"jsd_flat": mean_where_defined(flat), "jsd_regions": int((~np.isnan(divergence)).sum())}
    return {name: value if isinstance(value, int) else plain(value) for name, value in found.items()}


def region_scores(truth: Truth, outputs: Outputs, tracks: Sequence[int]) -> dict[str, Array]:
    """Metrics of each region over some tracks, (rows,) each, NaN where undefined.

    Single values: over tracks, where three or more have a target; errors wherever there is one. Bins: correlations and
    R2 over bins, mean over tracks; errors over all; ``pearson_tracks`` of the rows' totals over tracks; ``jsd`` mean
    over tracks.
    """
    return _over_bins(truth, outputs, tracks) if truth.bins else _over_tracks(truth, outputs, tracks)


def _pieces(truth: Truth, outputs: Outputs, tracks: Sequence[int]) -> Iterator[tuple[Array, Array]]:
    """Single values of some tracks, (n, tracks) predictions and targets of runs of rows."""
    chosen = list(tracks)
    step = max(1, _ROW_VALUES // len(chosen))
    for first in range(0, truth.rows, step):
        rows = slice(first, first + step)
        yield outputs.values[rows][:, chosen], truth.values[rows][:, chosen]


def region_moments(truth: Truth, outputs: Outputs, tracks: Sequence[int]) -> Array:
    """Moments (8, rows) of each region over the values of some tracks, and their bins."""
    if truth.bins:
        return sums.pooled(outputs.moments(list(tracks)), axis=2)
    parts = [sums.row_moments(p[:, None], y[:, None])[:, :, 0] for p, y in _pieces(truth, outputs, tracks)]
    return np.concatenate(parts, axis=1)


def _over_tracks(truth: Truth, outputs: Outputs, tracks: Sequence[int]) -> dict[str, Array]:
    joint = region_moments(truth, outputs, tracks)
    found = {name: metric(joint) for name, metric in sums.SIMPLE.items()}
    enough = joint[0] >= FEWEST_TRACKS
    if len(tracks) >= FEWEST_TRACKS:
        pieces = list(_pieces(truth, outputs, tracks))
        found["spearman"] = np.concatenate([row_spearman(p, y) for p, y in pieces])
        if truth.binary[list(tracks)].all():
            ranked = [_classes_of_rows(p, y) for p, y in pieces]
            found |= {name: np.concatenate([part[name] for part in ranked]) for name in ranked[0]}
    return {k: v if k in ("mse", "mae") else np.where(enough, v, np.nan) for k, v in found.items()}


def _classes_of_rows(prediction: Array, target: Array) -> dict[str, Array]:
    """AUROC and AUPRC of each row over its tracks, ``(rows, tracks) -> (rows,)``."""
    seen = ~np.isnan(target)
    positive = seen & (target == 1)
    ones, zeros = positive.sum(1), (seen & ~positive).sum(1)
    ranks = row_ranks(np.where(seen, prediction, np.nan))
    above = np.where(positive, ranks, 0.0).sum(1) - ones * (ones + 1) / 2
    defined = (ones > 0) & (zeros > 0)
    auprc = np.full(len(target), np.nan)
    for row in np.flatnonzero(defined):
        auprc[row] = metrics.auprc(*_pair(prediction[row], target[row]))
    return {"auroc": np.where(defined, above / np.maximum(ones * zeros, 1), np.nan), "auprc": auprc}


def _over_bins(truth: Truth, outputs: Outputs, tracks: Sequence[int]) -> dict[str, Array]:
    chosen = list(tracks)
    moments = outputs.moments(chosen)
    joint = sums.pooled(moments, axis=2)
    found = {"pearson": sums.pearson(moments), "r2": sums.r2(moments)}
    if outputs.spearman is not None:
        found["spearman"] = outputs.spearman[:, chosen]
    if outputs.divergence is not None and not truth.binary[chosen].all():
        found["jsd"] = np.where(truth.binary[chosen], np.nan, outputs.divergence[:, chosen])
    means = {name: mean_where_defined(values, axis=1) for name, values in found.items()}
    means |= {"mse": sums.mse(joint), "mae": sums.mae(joint)}
    if len(chosen) >= FEWEST_TRACKS:
        p, y = row_totals(moments, truth.bins)
        over = sums.row_moments(p[:, None], np.where(np.isnan(p), np.nan, y)[:, None])[:, :, 0]
        means["pearson_tracks"] = np.where(over[0] < FEWEST_TRACKS, np.nan, sums.pearson(over))
    return means
