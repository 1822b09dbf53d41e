"""Sufficient statistics of predictions and targets: what correlations and errors over any groups are made from.

A set of them is an array ``(8, …)`` float64 in the order of :data:`FIELDS`: number of values, means of prediction and
target, sums of squares and products about these means, sums of squared and of absolute errors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

FIELDS = ("n", "mean_prediction", "mean_target", "s_pp", "s_tt", "s_pt", "squared", "absolute")
Array = NDArray[Any]
F = TypeVar("F", bound=Callable[..., Any])
_ROUNDING = 8 * float(np.finfo(np.float64).eps)


def compiled(function: F) -> F:
    """Compile with numba; no ``fastmath``, so that sums are in one order everywhere."""
    return cast(F, njit(cache=True, nogil=True)(function))


def doubles(values: Array) -> Array:
    """As a float64 array without gaps: one compiled version serves all."""
    return np.ascontiguousarray(values, dtype=np.float64)


@compiled
def _scan(prediction: Array, target: Array, out: Array) -> None:
    rows, tracks, bins = target.shape
    for row in range(rows):
        for track in range(tracks):
            n, total_p, total_t, squared, absolute = 0, 0.0, 0.0, 0.0, 0.0
            for i in range(bins):
                t = target[row, track, i]
                if t == t:
                    p = prediction[row, track, i]
                    n += 1
                    total_p += p
                    total_t += t
                    squared += (p - t) * (p - t)
                    absolute += abs(p - t)
            if n == 0:
                continue
            mean_p, mean_t = total_p / n, total_t / n
            s_pp, s_tt, s_pt = 0.0, 0.0, 0.0
            for i in range(bins):
                t = target[row, track, i]
                if t == t:
                    dp, dt = prediction[row, track, i] - mean_p, t - mean_t
                    s_pp += dp * dp
                    s_tt += dt * dt
                    s_pt += dp * dt
            for i, value in enumerate((float(n), mean_p, mean_t, s_pp, s_tt, s_pt, squared, absolute)):
                out[i, row, track] = value


def row_moments(prediction: Array, target: Array) -> Array:
    """Moments over the last axis, ``(rows, tracks, bins) -> (8, rows, tracks)``; zeros where no target is there.

    A target is NaN where it is missing.
    """
    found = np.zeros((len(FIELDS), *target.shape[:2]))
    _scan(doubles(prediction), doubles(target), found)
    return found


def value_moments(prediction: Array, target: Array) -> Array:
    """Moments of single values, ``(…) -> (8, …)``."""
    seen = ~np.isnan(target)
    p, t = np.where(seen, prediction, 0.0), np.where(seen, target, 0.0).astype(np.float64)
    none = np.zeros(p.shape)
    return np.stack([seen.astype(np.float64), p, t, none, none, none, (p - t) ** 2, np.abs(p - t)])


def pooled(moments: Array, axis: int = 1) -> Array:
    """Moments of groups taken together, over an axis (Chan, Golub & LeVeque 1983)."""
    n, mean_p, mean_t, s_pp, s_tt, s_pt, squared, absolute = moments
    axis -= 1
    total = n.sum(axis)
    safe = np.maximum(total, 1)
    joint_p, joint_t = ((n * mean).sum(axis) / safe for mean in (mean_p, mean_t))
    dp, dt = (m - np.expand_dims(joint, axis) for m, joint in ((mean_p, joint_p), (mean_t, joint_t)))
    return np.stack([
        total, joint_p, joint_t,
        (s_pp + n * dp * dp).sum(axis), (s_tt + n * dt * dt).sum(axis), (s_pt + n * dp * dt).sum(axis),
        squared.sum(axis), absolute.sum(axis),
    ])  # fmt: skip


def _varies(n: Array, mean: Array, squares: Array) -> Array:
    """Whether values differ by more than the rounding of their mean."""
    found: Array = squares > n * (_ROUNDING * mean) ** 2
    return found


def _ratio(top: Array, bottom: Array, defined: Array) -> Array:
    found: Array = np.where(defined, top / np.where(defined, bottom, 1.0), np.nan)
    return np.where(np.isfinite(found), found, np.nan)


def pearson(moments: Array) -> Array:
    """Pearson correlation; NaN for fewer than two values, or where either side is constant."""
    n, mean_p, mean_t, s_pp, s_tt, s_pt, _, _ = moments
    defined = (n >= 2) & _varies(n, mean_p, s_pp) & _varies(n, mean_t, s_tt)
    return np.clip(_ratio(s_pt, np.sqrt(s_pp * s_tt), defined), -1.0, 1.0)


def r2(moments: Array) -> Array:
    """Share of the targets' variance that is explained, ``1 - sum (t - p)^2 / sum (t - mean t)^2``; NaN where targets
    are constant. It falls below 0 for predictions worse than the mean, and is not the square of a correlation."""
    n, _, mean_t, _, s_tt, _, squared, _ = moments
    return 1.0 - _ratio(squared, s_tt, (n >= 2) & _varies(n, mean_t, s_tt))


def mse(moments: Array) -> Array:
    """Mean squared error; NaN without values."""
    return _ratio(moments[6], moments[0], moments[0] > 0)


def mae(moments: Array) -> Array:
    """Mean absolute error; NaN without values."""
    return _ratio(moments[7], moments[0], moments[0] > 0)


SIMPLE: dict[str, Callable[[Array], Array]] = {"pearson": pearson, "r2": r2, "mse": mse, "mae": mae}
"""Metrics that moments give, by name."""
