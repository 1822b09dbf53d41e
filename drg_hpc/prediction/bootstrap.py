"""Bootstrap intervals of correlations over regions (Efron & Tibshirani 1993, percentile interval)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.models import moments as sums
from drg_hpc.prediction.scores import mean_where_defined
from drg_hpc.prediction.streaming import Outputs, Truth
from drg_hpc.rng import row_generator

LEVEL = 0.95
_COUNTS = 1 << 24
_TRACKS = 256
_ROUNDING = 1e-12
Array = NDArray[Any]


def resamples(
    rows: int, replicates: range, *, seed: int, units: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """How often each region is drawn, (replicates, rows): as many as there are, with replacement. The numbers of a
    replicate depend on (seed, replicate) only, so that all tracks and predictors are drawn alike.

    Parameters
    ----------
    units : number of what each region is drawn with, (rows,): as many of these are drawn as there are, whole
    """
    count = rows if units is None else int(units.max()) + 1
    drawn = [
        np.bincount(row_generator(seed, number, "bootstrap").integers(0, count, count), minlength=count)
        for number in replicates
    ]
    counts = np.array(drawn, np.float64)
    return counts if units is None else counts[:, units]


def replicated_pearson(
    truth: Truth, outputs: Outputs, *, replicates: int, seed: int, units: NDArray[np.int64] | None = None
) -> Array:
    """Pearson correlation of each track in each resample of the regions, (replicates, tracks): exact, from the moments
    of regions, whose bins stay together."""
    found = np.empty((replicates, truth.tracks))
    step = max(1, _COUNTS // max(truth.rows, 1))
    for first in range(0, replicates, step):
        here = range(first, min(first + step, replicates))
        counts = resamples(truth.rows, here, seed=seed, units=units)
        for start in range(0, truth.tracks, _TRACKS):
            tracks = slice(start, start + _TRACKS)
            found[here.start : here.stop, tracks] = _weighted_pearson(outputs.moments(tracks), counts)
    return found


def _weighted_pearson(moments: Array, counts: Array) -> Array:
    """Pearson of (8, rows, tracks) with each row counted (replicates, rows) times."""
    n, mean_p, mean_t, s_pp, s_tt, s_pt = moments[:6]
    joint = sums.pooled(moments)
    dp, dt = mean_p - joint[1], mean_t - joint[2]
    # About the mean of all regions, not about 0: squares of large values would swallow their differences.
    raw = (n, n * dp, n * dt, s_pp + n * dp * dp, s_tt + n * dt * dt, s_pt + n * dp * dt)
    total, first_p, first_t, pp, tt, pt = (counts @ values for values in raw)
    safe = np.maximum(total, 1)
    mean = (first_p / safe, first_t / safe)
    none = np.zeros(total.shape)
    s_pp, s_tt = (_left(square, total * m**2) for square, m in zip((pp, tt), mean, strict=True))
    centred = [total, mean[0] + joint[1], mean[1] + joint[2], s_pp, s_tt, pt - total * mean[0] * mean[1], none, none]
    return sums.pearson(np.stack(centred))


def _left(square: Array, taken: Array) -> Array:
    """What is left of a sum of squares, 0 where that is rounding: a resample may have one value only."""
    left = square - taken
    return np.where(left > _ROUNDING * square, left, 0.0)


def interval(values: Array) -> Array:
    """The middle 95 % of replicates, ``(replicates, …) -> (2, …)``; NaN where fewer than half of them are defined."""
    tail = (1 - LEVEL) / 2
    enough = (~np.isnan(values)).mean(axis=0) >= 0.5
    filled = np.where(enough, values, 0.0)
    found: Array = np.where(enough, np.nanquantile(filled, (tail, 1 - tail), axis=0), np.nan)
    return found


def pearson_intervals(
    truth: Truth, outputs: Outputs, *, replicates: int, seed: int, units: NDArray[np.int64] | None = None
) -> tuple[Array, Array]:
    """Intervals of each track's Pearson correlation, (2, tracks), and of their mean over tracks, (2,)."""
    found = replicated_pearson(truth, outputs, replicates=replicates, seed=seed, units=units)
    return interval(found), interval(mean_where_defined(found, axis=1))
