from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drg_hpc.store.sampler import Sampler, Source, balance_weights, count_repeats, epoch_order, shares


def test_epoch_order() -> None:
    order = epoch_order(1000, 5, 2)
    np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    np.testing.assert_array_equal(order, epoch_order(1000, 5, 2))
    assert order.dtype == np.int64
    assert (order != epoch_order(1000, 5, 3)).any() and (order != epoch_order(1000, 6, 2)).any()
    assert len(epoch_order(0, 0, 0)) == 0


def test_one_store_is_a_permutation() -> None:
    order = Sampler([Source(100)], seed=5).epoch(2)
    np.testing.assert_array_equal(order.positions, epoch_order(100, 5, 2))
    assert order.repeats is None


def test_whole_passes_before_repeats() -> None:
    order = Sampler([Source(10)], seed=1, samples=25).epoch(0)
    for start in (0, 10):
        assert sorted(order.positions[start : start + 10]) == list(range(10))
    assert len(set(order.positions[20:])) == 5
    assert order.repeats is not None
    np.testing.assert_array_equal(order.repeats, np.repeat([0, 1, 2], [10, 10, 5]))
    few = Sampler([Source(10)], seed=1, samples=4).epoch(0)
    assert len(set(few.positions)) == 4 and few.repeats is None


@settings(max_examples=60)
@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=6), st.integers(0, 1000))
def test_shares_add_up(weights: list[float], samples: int) -> None:
    counts = shares([Source(1, weight) for weight in weights], samples)
    exact = np.array(weights) / sum(weights) * samples
    assert sum(counts) == samples
    assert np.abs(np.array(counts) - exact).max() < 1 + 1e-9


def test_mixture_by_share() -> None:
    sampler = Sampler([Source(300, 1.0), Source(100, 3.0)], seed=2)
    order = sampler.epoch(4)
    assert sampler.samples == len(order.positions) == 400
    second = order.positions >= 300
    assert second.sum() == 300
    np.testing.assert_array_equal(np.bincount(order.positions[second] - 300), np.full(100, 3))
    assert len(set(order.positions[~second])) == 100
    assert 0.5 < second[:50].mean() < 1.0  # mixed within the epoch, not one store after the other
    np.testing.assert_array_equal(order.positions, sampler.epoch(4).positions)
    assert (order.positions != sampler.epoch(5).positions).any()


def test_weighted_draws() -> None:
    weights = np.array([0.0, 1.0, 2.0, 0.0, 5.0, 0.0])
    order = Sampler([Source(6, weights=weights)], seed=0, samples=80_000).epoch(1)
    seen = np.bincount(order.positions, minlength=6) / 80_000
    np.testing.assert_allclose(seen, weights / 8, atol=0.01)
    assert (seen[weights == 0] == 0).all()
    assert order.repeats is not None and order.repeats.max() == round(seen[4] * 80_000) - 1


def test_classes_come_equally_often() -> None:
    labels = np.array([1.0] * 30 + [0.0] * 960 + [np.nan] * 10)
    weights = balance_weights(labels)
    assert weights[labels == 1].sum() == pytest.approx(weights[labels == 0].sum())
    drawn = labels[Sampler([Source(1000, weights=weights)], seed=3, samples=20_000).epoch(0).positions]
    assert not np.isnan(drawn).any()
    assert abs(drawn.mean() - 0.5) < 0.02


@settings(max_examples=60)
@given(st.lists(st.integers(0, 8), max_size=40))
def test_repeats_are_counted(positions: list[int]) -> None:
    expected = [positions[:i].count(item) for i, item in enumerate(positions)]
    assert count_repeats(np.array(positions, np.int64)).tolist() == expected
