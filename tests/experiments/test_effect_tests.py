"""Tests of effects against SciPy and plain calculations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import false_discovery_control, wilcoxon

from drg_hpc.experiments.effect_tests import (
    Summary,
    adjusted,
    adjusted_tests,
    largest,
    rounding_of,
    signed_rank,
    summarise,
)


def _rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_count_sum_mean_and_p() -> None:
    values = _rng().normal(-0.1, 1, 200)
    found = summarise(values, seed=0, stream="x")
    assert (found.count, found.p, found.note) == (200, wilcoxon(values).pvalue, "")
    assert (found.total, found.mean) == pytest.approx((sum(values), sum(values) / 200))


def test_what_is_not_finite_does_not_count() -> None:
    values = _rng().normal(0.3, 1, 60)
    plain = summarise(values, seed=0, stream="x")
    found = summarise(np.concatenate([[np.nan], values, [np.inf, -np.inf]]), seed=0, stream="x")
    assert (found.note, found.undefined) == ("3 without a finite effect", 3)
    assert (found.count, found.mean, found.p, found.interval) == (60, plain.mean, plain.p, plain.interval)
    few = summarise(np.array([1.0, np.nan]), seed=0, stream="x")
    assert (few.count, few.p, few.note) == (1, None, "1 sequence, a test needs 6; 1 without a finite effect")
    none = summarise(np.full(9, np.nan), seed=0, stream="x")
    assert (none.count, none.mean, none.p, none.undefined) == (0, 0.0, None, 9)


def test_effects_within_rounding_are_none() -> None:
    before, noise = _rng().normal(3, 1, (50, 2)), _rng().normal(1e-7, 1e-8, (50, 2))
    noise[:, 1] *= 1e6
    before[0], noise[3, 0] = np.nan, -np.inf
    sizes = largest(before) + largest(noise)
    np.testing.assert_array_equal(largest(np.full((3, 2), np.nan)), 0)
    rounding = rounding_of(sizes)
    finite = np.nan_to_num(np.abs(before)).max(axis=0) + np.abs(np.where(np.isinf(noise), 0, noise)).max(axis=0)
    np.testing.assert_allclose(rounding, 1e-6 * finite)
    found = [summarise(noise[:, k], seed=0, stream="x", rounding=rounding[k]) for k in range(2)]
    assert found[0].p == 1 and found[1].p == wilcoxon(noise[:, 1]).pvalue < 1e-8
    assert found[0].mean == pytest.approx(np.delete(noise[:, 0], 3).mean()), "the mean is that of all"
    assert (signed_rank(np.delete(noise, 3, axis=0)) < 1e-8).all()


def test_interval_is_that_of_the_mean_and_depends_on_seed_and_name() -> None:
    values = _rng().normal(0.3, 1, 400)
    found = summarise(values, seed=3, stream="order A B")
    half = 1.96 * values.std() / 20
    assert found.interval == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15 * half)
    assert found == summarise(values, seed=3, stream="order A B")
    assert found.interval != summarise(values, seed=4, stream="order A B").interval
    assert found.interval != summarise(values, seed=3, stream="order A C").interval


def test_interval_of_very_many_values() -> None:
    values = _rng().exponential(size=60_000)
    found = summarise(values, seed=0, stream="x").interval
    means = [_rng().choice(values, len(values)).mean() for _ in range(1)] + [
        np.random.default_rng(i).choice(values, len(values)).mean() for i in range(300)
    ]
    assert found == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.25 * 4 / 245)


def test_too_few_are_said_and_zeros_are_no_evidence() -> None:
    few = summarise(np.ones(5), seed=0, stream="x")
    assert (few.count, few.total, few.p, few.interval) == (5, 5.0, None, None)
    assert "5 sequences" in few.note
    assert summarise(np.zeros(0), seed=0, stream="x").mean == 0
    assert summarise(np.zeros(9), seed=0, stream="x").p == 1


def test_q_counts_only_what_was_tested() -> None:
    p = [0.01, None, 0.04, 0.03]
    tests = [Summary(9, 0.0, 0.0, each, None) for each in p]
    assert adjusted_tests(tests) == [pytest.approx(0.03), None, pytest.approx(0.04), pytest.approx(0.04)]
    assert adjusted_tests([]) == []


def test_q_by_column() -> None:
    p = np.array([[0.01, np.nan], [0.02, np.nan], [np.nan, np.nan], [0.5, np.nan]])
    np.testing.assert_allclose(adjusted(p)[:, 0], [0.03, 0.03, np.nan, 0.5])
    assert np.isnan(adjusted(p)[:, 1]).all()
    some = _rng().random((30, 3)) ** 3
    np.testing.assert_allclose(adjusted(some), np.stack([false_discovery_control(each) for each in some.T], axis=1))
