"""Points of ROC and precision-recall curves, thinned for plotting."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CURVE_POINTS = 500


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
