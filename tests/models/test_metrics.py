"""Metrics against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from drg_hpc.models import metrics


@pytest.fixture(params=range(6))
def data(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """Scores with many ties, and labels."""
    generator = np.random.default_rng(request.param)
    scores = generator.integers(0, 12, 60) / 4.0 if request.param % 2 else generator.normal(size=60)
    return scores, (generator.random(60) < 0.3).astype(float)


def test_auroc_counts_pairs(data: tuple[np.ndarray, np.ndarray]) -> None:
    scores, labels = data
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[labels == 1] for n in scores[labels == 0]]
    assert metrics.auroc(scores, labels) == pytest.approx(float(np.mean(pairs)), abs=1e-12)


def test_auprc_sums_over_thresholds(data: tuple[np.ndarray, np.ndarray]) -> None:
    scores, labels = data
    total, recall_before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        called = scores >= threshold
        recall = labels[called].sum() / labels.sum()
        total += (recall - recall_before) * labels[called].mean()
        recall_before = recall
    assert metrics.auprc(scores, labels) == pytest.approx(total, abs=1e-12)


def test_correlations(data: tuple[np.ndarray, np.ndarray]) -> None:
    scores, _ = data
    other = np.round(scores + np.random.default_rng(9).normal(size=60), 1)
    assert metrics.pearson(scores, other) == pytest.approx(stats.pearsonr(scores, other)[0], abs=1e-12)
    assert metrics.spearman(scores, other) == pytest.approx(stats.spearmanr(scores, other)[0], abs=1e-12)
    assert np.array_equal(metrics.average_ranks(scores), stats.rankdata(scores))


def test_undefined_is_nan() -> None:
    ones = np.ones(5)
    assert math.isnan(metrics.auroc(np.arange(5.0), ones))
    assert math.isnan(metrics.auprc(np.arange(5.0), 0 * ones))
    assert math.isnan(metrics.pearson(np.arange(5.0), ones))
    assert math.isnan(metrics.pearson(np.arange(3.0), np.full(3, 0.1)))  # whose mean is not exactly 0.1
    assert math.isnan(metrics.spearman(np.empty(0), np.empty(0)))
    assert math.isnan(metrics.mean_defined(np.array([np.nan])))
    assert metrics.mean_defined(np.array([np.nan, 2.0])) == 2.0


def test_per_track_leaves_missing_values_out() -> None:
    generator = np.random.default_rng(1)
    prediction, target = generator.normal(size=(2, 30, 3, 4))
    valid = generator.random((30, 3, 4)) < 0.7
    found = metrics.per_track("pearson", prediction, target, valid)
    for track in range(3):
        seen = valid[:, track]
        expected = stats.pearsonr(prediction[:, track][seen], target[:, track][seen])[0]
        assert found[track] == pytest.approx(expected, abs=1e-12)
