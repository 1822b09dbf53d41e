"""Several predictors compared, metric by metric: the paired Wilcoxon signed-rank test over tracks and over regions."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from drg_hpc.prediction.scores import BETTER

Array = NDArray[Any]
COLUMNS = (
    "over", "metric", "better", "a", "b", "n", "mean_a", "mean_b", "median_difference", "a_better", "b_better", "p",
    "p_adjusted",
)  # fmt: skip


def signed_rank_p(difference: Array) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test (Wilcoxon 1945) that differences are symmetric about 0, without
    those that are 0; exact for few without ties. NaN when all are 0, or there are none."""
    changed = difference[difference != 0]
    return float(stats.wilcoxon(changed).pvalue) if len(changed) else float("nan")


def _adjusted(values: Sequence[float]) -> list[float]:
    """Benjamini & Hochberg's (1995) adjustment, of the p-values that are defined."""
    p = np.array(values)
    seen = ~np.isnan(p)
    if seen.any():
        p[seen] = stats.false_discovery_control(p[seen])
    return [float(value) for value in p]


def compare(over: str, values: Mapping[str, Mapping[str, Array]], metrics: Sequence[str]) -> list[dict[str, Any]]:
    """A record for each metric and pair of predictors.

    Parameters
    ----------
    over : tracks or regions
    values : predictor -> metric -> one value a track or region, NaN where undefined

    Returns
    -------
    see :data:`COLUMNS`: n pairs with both defined, means over them, the median of a - b, how many are better on either
    side, p, and p adjusted over the pairs of predictors of the metric
    """
    found = []
    for metric in metrics:
        records = []
        for a, b in itertools.combinations(values, 2):
            if metric not in values[a] or metric not in values[b]:
                continue
            x, y = values[a][metric], values[b][metric]
            seen = ~(np.isnan(x) | np.isnan(y))
            if seen.any():
                records.append({"over": over, "metric": metric, "a": a, "b": b} | _pair(metric, x[seen], y[seen]))
        for record, p in zip(records, _adjusted([record["p"] for record in records]), strict=True):
            record["p_adjusted"] = p
        found += records
    return found


def _pair(metric: str, x: Array, y: Array) -> dict[str, Any]:
    difference = x - y
    above, below = int((difference > 0).sum()), int((difference < 0).sum())
    better = BETTER[metric]
    return {
        "better": better, "n": len(x), "mean_a": float(x.mean()), "mean_b": float(y.mean()),
        "median_difference": float(np.median(difference)),
        "a_better": above if better == "higher" else below, "b_better": below if better == "higher" else above,
        "p": signed_rank_p(difference),
    }  # fmt: skip
