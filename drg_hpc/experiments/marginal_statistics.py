"""What the changes on many backgrounds say of an insertion: mean, spread, interval and p."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drg_hpc.experiments.effect_tests import LEAST, RESAMPLES, beyond, signed_rank
from drg_hpc.rng import row_generator

Array = NDArray[np.float64]
STATISTICS = ("count", "mean", "sd", "se", "low", "high", "p")
_MANY = 2000
"""Backgrounds from which on the mean is as good as normal. More, as for single tests, would take a matrix of resamples
too large to hold."""
_COLUMNS = 256
"""Of which resamples are held at once."""


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
                0, backgrounds, (RESAMPLES, backgrounds)
            )
            flat = (drawn + backgrounds * np.arange(RESAMPLES)[:, None]).ravel()
            counts = np.bincount(flat, minlength=RESAMPLES * backgrounds)
            self._weights = counts.reshape(RESAMPLES, backgrounds).astype(np.float64)

    def of(self, changes: Array, *, rounding: Array | None = None) -> dict[str, Array]:
        """Each of :data:`STATISTICS`, (k,); sd is divided by n - 1.

        Parameters
        ----------
        changes : (backgrounds, k); what is not finite does not count
        rounding : (k,) sizes up to which a change is none, see :func:`drg_hpc.experiments.effect_tests.rounding_of`
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
            tested = beyond(tested, rounding)
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
