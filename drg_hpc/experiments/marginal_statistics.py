"""What the changes on many backgrounds say of an insertion: mean, spread, interval, p and q."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from drg_hpc.experiments.perturb_effects import LEAST
from drg_hpc.rng import row_generator

Array = NDArray[np.float64]
STATISTICS = ("count", "mean", "sd", "se", "low", "high", "p")
_RESAMPLES = 2000
_MANY = 2000
"""Backgrounds from which on the mean is as good as normal."""
_COLUMNS = 256
"""Of which resamples are held at once."""
_ROUNDING = 1e-6
"""Of the largest value: what differences in single precision do not resolve."""


class Summaries:
    """Statistics of changes on the same backgrounds.

    The interval is of the mean, 95 %: percentiles of 2,000 resamples of the backgrounds, the same ones for everything
    that is asked; of 2,000 backgrounds and more 1.96 standard errors. p is two-sided, Wilcoxon's signed-rank test, to
    which changes within rounding are 0. Both are NaN where fewer than six backgrounds have a finite change.
    """

    def __init__(self, backgrounds: int, *, seed: int) -> None:
        self._weights: Array | None = None
        if LEAST <= backgrounds < _MANY:
            drawn = row_generator(seed, backgrounds, "marginalize:bootstrap").integers(
                0, backgrounds, (_RESAMPLES, backgrounds)
            )
            flat = (drawn + backgrounds * np.arange(_RESAMPLES)[:, None]).ravel()
            counts = np.bincount(flat, minlength=_RESAMPLES * backgrounds)
            self._weights = counts.reshape(_RESAMPLES, backgrounds).astype(np.float64)

    def of(self, changes: Array, *, rounding: Array | None = None) -> dict[str, Array]:
        """Each of :data:`STATISTICS`, (k,); sd is divided by n - 1.

        Parameters
        ----------
        changes : (backgrounds, k); what is not finite does not count
        rounding : (k,) sizes up to which a change is none, see :func:`rounding_of`
        """
        parts = [slice(first, first + _COLUMNS) for first in range(0, changes.shape[1], _COLUMNS)]
        found = [self._of(changes[:, part], None if rounding is None else rounding[part]) for part in parts]
        return {name: np.concatenate([each[name] for each in found]) for name in STATISTICS}

    def _of(self, changes: Array, rounding: Array | None) -> dict[str, Array]:
        finite = np.isfinite(changes)
        known = np.where(finite, changes, 0.0)
        count = finite.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = known.sum(axis=0) / count
            squares = (np.where(finite, changes - mean, 0.0) ** 2).sum(axis=0)
            sd = np.where(count > 1, np.sqrt(squares / (count - 1)), np.nan)
            se = sd / np.sqrt(count)
        low, high = self._interval(known, finite, mean, se)
        enough = count >= LEAST
        p = np.full(len(count), np.nan)
        tested = np.where(finite, changes, np.nan)
        if rounding is not None:
            tested = np.where(np.abs(changes) <= rounding, 0.0, tested)
        p[enough] = signed_rank(tested[:, enough])
        return {
            "count": count.astype(np.float64), "mean": mean, "sd": sd, "se": se,
            "low": np.where(enough, low, np.nan), "high": np.where(enough, high, np.nan), "p": p,
        }  # fmt: skip

    def _interval(self, known: Array, finite: NDArray[np.bool_], mean: Array, se: Array) -> tuple[Array, Array]:
        if self._weights is None:
            return mean - 1.96 * se, mean + 1.96 * se
        means = self._weights @ known
        with np.errstate(invalid="ignore", divide="ignore"):
            means /= finite.sum(axis=0) if finite.all() else self._weights @ finite.astype(np.float64)
        # a resample without a finite change says as little as none
        low, high = np.quantile(np.where(np.isfinite(means), means, mean), [0.025, 0.975], axis=0)
        return low, high


def rounding_of(before: Array, changes: Sequence[Array]) -> Array:
    """Sizes (designs, k) up to which differences of values may be rounding: a millionth of the largest value there is.

    Parameters
    ----------
    before : (backgrounds, k)
    changes : (designs, backgrounds, k) each
    """
    largest = [np.nan_to_num(np.abs(each), nan=0.0, posinf=0.0).max(axis=-2) for each in (before, *changes)]
    found: Array = _ROUNDING * np.sum(np.broadcast_arrays(*largest), axis=0)
    return found


def signed_rank(values: Array) -> Array:
    """p of Wilcoxon's signed-rank test of each column, (k,): what ``scipy.stats.wilcoxon`` gives for it; 1 where all
    values are 0.

    Parameters
    ----------
    values : (n, k), at least one of each column finite
    """
    found = np.ones(values.shape[1])
    size = np.sort(np.abs(values), axis=0)
    plain = np.isfinite(values).all(axis=0) & (values != 0).all(axis=0) & (np.diff(size, axis=0) != 0).all(axis=0)
    if plain.any():
        found[plain] = stats.wilcoxon(values[:, plain], axis=0).pvalue
    for column in np.flatnonzero(~plain):  # of ties and zeros scipy decides by the whole array how to compute
        own = values[np.isfinite(values[:, column]), column]
        if own.any():
            found[column] = stats.wilcoxon(own).pvalue
    return found


def adjusted(p: Array) -> Array:
    """Benjamini-Hochberg q of each column (designs, k); NaN where p is NaN, which does not count."""
    found = np.full_like(p, math.nan)
    for column in range(p.shape[1]):
        known = np.isfinite(p[:, column])
        if known.any():
            found[known, column] = stats.false_discovery_control(p[known, column])
    return found
