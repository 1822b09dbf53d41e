"""Tests of effects over sequences or backgrounds: Wilcoxon's signed-rank test, bootstrap intervals of the mean, q of a
table. Values that are not finite do not count, and changes within rounding are none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from drg_hpc.files import counted
from drg_hpc.genome.random_words import below, compiled
from drg_hpc.rng import row_keys

Array = NDArray[np.float64]
LEAST = 6
"""Values that a test needs: a two-sided signed-rank test of five cannot give p < 0.05."""
RESAMPLES = 2000
_MANY = 50_000
"""Values from which on their mean is as good as normal, and resampling them tells nothing more."""
_ROUNDING = 1e-6
"""Of the largest value: what differences in single precision do not resolve."""


@dataclass(frozen=True)
class Summary:
    """A test of one motif, pair or piece.

    Attributes
    ----------
    count, total, mean : of the finite values
    p : two-sided, Wilcoxon's signed-rank test; None where ``note`` says why there is none
    interval : of the mean, 95 % (percentile bootstrap; of very many values mean +- 1.96 standard errors); None as p
    note : why it was not tested, and how many values were not finite; empty where there is nothing to say
    undefined : values that were not finite
    """

    count: int
    total: float
    mean: float
    p: float | None
    interval: tuple[float, float] | None
    note: str = ""
    undefined: int = 0


def largest(values: NDArray[np.floating]) -> Array:
    """The largest finite size of each column of values (..., n, k), (..., k); 0 where there is none."""
    sizes = np.abs(np.asarray(values, np.float64))
    found: Array = np.where(np.isfinite(sizes), sizes, 0.0).max(axis=-2, initial=0.0)
    return found


def rounding_of(sizes: Array) -> Array:
    """Sizes up to which a difference of values may be rounding: a millionth of the largest of the values.

    Parameters
    ----------
    sizes : of the largest values
    """
    found: Array = _ROUNDING * np.asarray(sizes, np.float64)
    return found


def summarise(values: Array, *, seed: int, stream: str, rounding: float = 0.0) -> Summary:
    """Test whether the values of some sequences lie around 0.

    Parameters
    ----------
    values : (n,); what is not finite does not count
    stream : of the random numbers: resamples depend on it and the seed alone
    rounding : size up to which a value counts as 0 in the test, see :func:`rounding_of`
    """
    finite = values[np.isfinite(values)]
    count, total, undefined = len(finite), float(finite.sum()), len(values) - len(finite)
    mean = total / count if count else 0.0
    notes = [f"{undefined} without a finite effect"] if undefined else []
    if count < LEAST:
        note = "; ".join([f"{counted(count, 'sequence')}, a test needs {LEAST}", *notes])
        return Summary(count, total, mean, None, None, note, undefined)
    p = float(signed_rank(beyond(finite, rounding)[:, None])[0])
    return Summary(count, total, mean, p, _interval(finite, mean, seed, stream), "; ".join(notes), undefined)


def beyond(values: Array, rounding: float | Array) -> Array:
    """Values, 0 where they are within rounding."""
    found: Array = np.where(np.abs(values) <= rounding, 0.0, values)
    return found


def _interval(values: Array, mean: float, seed: int, stream: str) -> tuple[float, float]:
    count = len(values)
    if count >= _MANY:
        half = 1.96 * float(values.std(ddof=1)) / math.sqrt(count)
        return mean - half, mean + half
    totals = np.empty(RESAMPLES)
    _resample(values, row_keys(seed, range(RESAMPLES), stream), totals)
    low, high = np.quantile(totals / count, [0.025, 0.975]).tolist()
    return low, high


@compiled
def _resample(values: Array, keys: NDArray[np.uint64], totals: Array) -> None:
    """Add up as many values as there are, drawn with replacement; one random stream for each total."""
    state = np.empty(1, np.uint64)
    for number in range(len(totals)):
        state[0] = keys[number]
        total = 0.0
        for _ in range(len(values)):
            total += values[below(state, len(values))]
        totals[number] = total


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
    """Benjamini-Hochberg q of each column (n, k); NaN where p is NaN, which does not count."""
    found = np.full_like(p, math.nan)
    for column in range(p.shape[1]):
        known = np.isfinite(p[:, column])
        if known.any():
            found[known, column] = stats.false_discovery_control(p[known, column])
    return found


def adjusted_tests(tests: Sequence[Summary]) -> list[float | None]:
    """Benjamini-Hochberg q of each test of a table; None for those that were not tested, which do not count."""
    p = np.array([math.nan if test.p is None else test.p for test in tests])
    return [None if math.isnan(q) else q for q in adjusted(p[:, None])[:, 0].tolist()]
