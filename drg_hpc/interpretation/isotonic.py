"""Where real sums outnumber those of a null at a wanted false discovery rate, by isotonic regression.

The same arithmetic as modisco-lite's, which takes scikit-learn's regression: numbers closer than 1e-15 count as one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from drg_hpc.compiled import compiled

_CLOSE = 1e-15
_LEAST_SHARE = 0.95


@compiled
def _join(x: Any, y: Any, weight: Any, close: float) -> int:  # pragma: no cover - compiled
    """Join what is closer than ``close`` to the first of its group, in place; returns the number of groups."""
    at, here, total, share = 0, x[0], 0.0, 0.0
    for i in range(x.size):
        if x[i] - here >= close:
            x[at], y[at], weight[at] = here, total / share, share
            at += 1
            here, total, share = x[i], 0.0, 0.0
        total += y[i] * weight[i]
        share += weight[i]
    x[at], y[at], weight[at] = here, total / share, share
    return at + 1


def cutoff(values: NDArray[np.float64], null: NDArray[np.float64], *, increasing: bool, fdr: float) -> float:
    """The first of ``values`` (weakest first) whose precision reaches ``1 - fdr``; infinite where a side is empty.

    Parameters
    ----------
    values : real sums of one sign, weakest first
    null : sums of the null of the same sign
    increasing : whether larger sums are more likely to be real (positive ones are)
    """
    if not len(values) or not len(null):
        return math.inf if increasing else -math.inf
    x = np.concatenate([values, null])
    y = np.concatenate([np.ones(len(values)), np.zeros(len(null))])
    weight = np.concatenate([np.ones(len(values)), np.full(len(null), len(values) / len(null))])
    order = np.lexsort((y, x))
    x, y, weight = x[order], y[order], weight[order]
    count = _join(x, y, weight, _CLOSE)
    x = x[:count]
    fit = isotonic_regression(y[:count], weights=weight[:count], increasing=increasing).x
    least = fit[0] if increasing else fit[-1]
    chance = 1 - 1 / max(least, 1e-7)
    share = -1 / chance if chance else -math.inf
    if not _LEAST_SHARE <= share <= 1:
        share = max(min(1.0, share), _LEAST_SHARE)
    precision = np.clip(1 + share * (1 - 1 / np.maximum(np.interp(values, x, fit), 1e-7)), 0.0, 1.0)
    precision[-1] = 1
    return float(values[precision >= 1 - fdr][0])
