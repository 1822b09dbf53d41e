"""Statistics of rows and tracks against numpy and scipy on the values themselves, with values missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats
from scipy.spatial.distance import jensenshannon

from drg_hpc.models import moments as sums
from drg_hpc.prediction.shapes import flat_divergence, row_ranks, row_spearman, shape_divergence


@pytest.fixture
def profiles() -> tuple[np.ndarray, np.ndarray]:
    """Predictions and targets (20 rows, 3 tracks, 50 bins), a fifth of the targets missing, one row wholly."""
    rng = np.random.default_rng(0)
    target = rng.poisson(3.0, (20, 3, 50)).astype(np.float64)
    target[rng.random(target.shape) < 0.2] = np.nan
    target[4] = np.nan
    return rng.gamma(2.0, 1.5, target.shape) + 0.3 * np.nan_to_num(target), target


def seen(prediction: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    there = ~np.isnan(target)
    return prediction[there], target[there]


def formulas(p: np.ndarray, y: np.ndarray) -> dict[str, float]:
    return {
        "pearson": float(np.corrcoef(p, y)[0, 1]),
        "r2": float(1 - ((p - y) ** 2).sum() / ((y - y.mean()) ** 2).sum()),
        "mse": float(np.mean((p - y) ** 2)),
        "mae": float(np.mean(np.abs(p - y))),
    }


def test_metrics_of_rows_and_of_rows_together(profiles: tuple[np.ndarray, np.ndarray]) -> None:
    prediction, target = profiles
    moments = sums.row_moments(prediction, target)
    joint, over_tracks = sums.pooled(moments), sums.pooled(moments, axis=2)
    for name, metric in sums.SIMPLE.items():
        for row in range(20):
            for track in range(3):
                if row == 4:
                    assert np.isnan(metric(moments)[row, track])
                    continue
                expected = formulas(*seen(prediction[row, track], target[row, track]))[name]
                assert metric(moments)[row, track] == pytest.approx(expected, rel=1e-11)
            if row != 4:
                expected = formulas(*seen(prediction[row], target[row]))[name]
                assert metric(over_tracks)[row] == pytest.approx(expected, rel=1e-11)
        for track in range(3):
            expected = formulas(*seen(prediction[:, track], target[:, track]))[name]
            assert metric(joint)[track] == pytest.approx(expected, rel=1e-11)


def test_single_values_are_rows_of_one_bin(profiles: tuple[np.ndarray, np.ndarray]) -> None:
    prediction, target = (values[:, :, 0] for values in profiles)
    one = sums.value_moments(prediction, target)
    np.testing.assert_array_equal(one, sums.row_moments(prediction[:, :, None], target[:, :, None]))
    expected = formulas(*seen(prediction[:, 1], target[:, 1]))["pearson"]
    assert sums.pearson(sums.pooled(one))[1] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1 / 3, 123456.789])
def test_constants_have_no_correlation(constant: float) -> None:
    y = np.random.default_rng(1).normal(size=(7, 1, 11))
    flat = np.full(y.shape, constant)
    for p, t in ((flat, y), (y, flat)):
        moments = sums.row_moments(p, t)
        assert np.isnan(sums.pearson(moments)).all() and np.isnan(sums.pearson(sums.pooled(moments))).all()
    assert np.isnan(sums.r2(sums.row_moments(y, flat))).all()
    assert np.isnan(sums.pearson(sums.row_moments(y[:, :, :1], y[:, :, :1]))).all()


def test_large_offsets_do_not_hide_the_variation() -> None:
    rng = np.random.default_rng(2)
    p, y = rng.normal(size=(2, 9, 2, 40)) + 1e7
    found = sums.pearson(sums.pooled(sums.row_moments(p, y)))
    assert found[0] == pytest.approx(np.corrcoef(p[:, 0].ravel(), y[:, 0].ravel())[0, 1], abs=1e-7)


def test_infinite_outputs_give_undefined_metrics() -> None:
    y = np.arange(12.0).reshape(2, 1, 6)
    p = y.copy()
    p[0, 0, 3] = np.inf
    moments = sums.row_moments(p, y)
    for metric in sums.SIMPLE.values():
        assert np.isnan(metric(moments)[0, 0]) and not np.isnan(metric(moments)[1, 0])


def test_divergence_is_that_of_scipy(profiles: tuple[np.ndarray, np.ndarray]) -> None:
    prediction, target = profiles
    found, flat = shape_divergence(prediction, target), flat_divergence(target)
    for row in range(20):
        for track in range(3):
            if row == 4:
                assert np.isnan(found[row, track])
                continue
            p, y = seen(prediction[row, track], target[row, track])
            assert found[row, track] == pytest.approx(jensenshannon(p, y, base=2) ** 2, abs=1e-12)
            assert flat[row, track] == pytest.approx(jensenshannon(np.ones(len(y)), y, base=2) ** 2, abs=1e-12)


def test_divergence_at_its_ends() -> None:
    y = np.array([[[1.0, 0, 0, 3], [0, 0, 0, 0], [1, -1, 1, 1], [1, 0, 0, 3], [1, 2, 3, 4], [2, 0, 0, 0]]])
    p = np.array([[[0, 2.0, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1], [2, 0, 0, 6], [-1, 0, 0, -2], [3, -5, 0, 0]]])
    found = shape_divergence(p, y)[0]
    # no bin in common; no target; a negative target; the same shape; no output above 0; a negative output counts as 0
    np.testing.assert_allclose(found, [1.0, np.nan, np.nan, 0.0, np.nan, 0.0], atol=1e-15)


def test_rank_correlation_of_rows(profiles: tuple[np.ndarray, np.ndarray]) -> None:
    prediction, target = profiles
    found = row_spearman(prediction, target)
    for row in (0, 7, 19):
        for track in range(3):
            expected = stats.spearmanr(*seen(prediction[row, track], target[row, track])).statistic
            assert found[row, track] == pytest.approx(expected, abs=1e-12)
    assert np.isnan(found[4]).all()
    assert np.isnan(row_spearman(np.ones((1, 5)), np.arange(5.0)[None])).all()


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(np.float64, (3, 9), elements=st.integers(0, 5).map(float) | st.just(float("nan"))))
def test_ranks_of_values_that_are_there(values: np.ndarray) -> None:
    found = row_ranks(values)
    for row, ranks in zip(values, found, strict=True):
        there = ~np.isnan(row)
        np.testing.assert_array_equal(ranks[there], stats.rankdata(row[there]))
        assert (ranks[~there] == 0).all()
