"""Arrays for plots: points of ROC and precision-recall curves, thinned, and rows for scatters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.prediction.scores import no_classes, row_totals
from drg_hpc.prediction.streaming import Outputs, Truth

CURVE_POINTS = 500
SCATTER_ROWS = 2000


def curve_points(
    prediction: NDArray[Any], positive: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """ROC (false positive rate, true positive rate) and PR (recall, precision) at most 500 points each.

    Parameters
    ----------
    prediction, positive : (n,); both classes must occur. Equal predictions are one threshold.

    Returns
    -------
    two arrays (points, 2), from the highest threshold to the lowest
    """
    order = np.argsort(-prediction, kind="stable")
    hits = np.cumsum(positive[order], dtype=np.float64)
    thresholds = np.append(np.flatnonzero(np.diff(prediction[order])), len(order) - 1)
    true, called = hits[thresholds], thresholds + 1.0
    roc = np.column_stack([(called - true) / (len(order) - hits[-1]), true / hits[-1]])
    pr = np.column_stack([true / hits[-1], true / called])
    return thin(np.vstack([[0.0, 0.0], roc])), thin(pr)


def thin(points: NDArray[np.float64], limit: int = CURVE_POINTS) -> NDArray[np.float32]:
    """At most ``limit`` points at even steps along a curve's length, both ends kept."""
    if len(points) <= limit:
        return points.astype(np.float32)
    along = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(points, axis=0)).sum(axis=1))])
    chosen = np.searchsorted(along, np.linspace(0, along[-1], limit - 1)[1:])
    kept: NDArray[np.float32] = points[np.union1d(chosen, [0, len(points) - 1])].astype(np.float32)
    return kept


def curve_arrays(
    regions: pd.DataFrame, tracks: Sequence[str], truth: Truth, outputs: Sequence[Outputs]
) -> dict[str, NDArray[Any]]:
    """What curves.npz holds.

    ``tracks`` (T,) and ``models`` (M,) names; ``roc.00000`` and ``pr.00000`` (points, 2) of tracks with two classes, of
    the first predictor, those of further ones as ``model1.roc.00000``; of the first one ``scatter_row`` (m,),
    ``scatter_target`` and ``scatter_prediction`` (m, T) of rows at even steps, bins as sums.
    """
    found: dict[str, NDArray[Any]] = {"tracks": np.array(tracks), "models": np.array([each.name for each in outputs])}
    for i in range(truth.tracks):
        if no_classes(truth, i) is not None:
            continue
        seen = ~np.isnan(truth.values[:, i])
        for number, each in enumerate(outputs):
            roc, pr = curve_points(each.values[:, i][seen], truth.values[:, i][seen] == 1)
            before = f"model{number}." if number else ""
            found |= {f"{before}roc.{i:05d}": roc, f"{before}pr.{i:05d}": pr}
    chosen = np.unique(np.linspace(0, truth.rows - 1, min(SCATTER_ROWS, truth.rows)).astype(np.int64))
    if truth.bins:
        p, y = row_totals(outputs[0].moments(slice(None))[:, chosen], truth.bins)
    else:
        p, y = outputs[0].values[chosen], truth.values[chosen]
    found["scatter_row"] = regions["row"].to_numpy()[chosen]
    found |= {"scatter_target": y.astype(np.float32), "scatter_prediction": p.astype(np.float32)}
    return found
