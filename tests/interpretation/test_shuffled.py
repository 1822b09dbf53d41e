"""Windows of shuffled letters keep what they should, and the list that chance allows is the longest one."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from drg_hpc.interpretation.shuffled import shuffled_windows, similarity_by_chance, tail_rows


def test_heights_and_letters_stay() -> None:
    rng = np.random.default_rng(0)
    windows = np.zeros((40, 4, 20), np.float32)
    letters = rng.integers(0, 4, (40, 14))
    windows[np.arange(40)[:, None], letters, np.arange(3, 17)] = rng.uniform(0.5, 2, (40, 14))
    found = shuffled_windows(windows, 300, 1)
    assert found.dtype == np.float32 and not found[:, :, :3].any() and not found[:, :, 17:].any()
    heights = {tuple(np.round(row, 5)) for row in windows.sum(axis=1)}
    assert {tuple(np.round(row, 5)) for row in found.sum(axis=1)} <= heights
    by_heights = {tuple(np.round(w.sum(axis=0), 5)): (w > 0).sum(axis=1).tolist() for w in windows}
    for window in found:
        assert ((window > 0).sum(axis=0)[3:17] == 1).all()
        assert (window > 0).sum(axis=1).tolist() == by_heights[tuple(np.round(window.sum(axis=0), 5))]
    same = np.mean([any(np.array_equal(window, real) for real in windows) for window in found])
    assert same < 0.05
    np.testing.assert_array_equal(found, shuffled_windows(windows, 300, 1))
    assert not np.array_equal(found, shuffled_windows(windows, 300, 2))


def test_all_four_values_of_a_position_stay() -> None:
    windows = np.random.default_rng(0).normal(0, 1, (20, 4, 12)).astype(np.float32)
    found = shuffled_windows(windows, 100, 0)
    known = {tuple(sorted(column)) for window in windows for column in window.T}
    assert {tuple(sorted(column)) for window in found for column in window.T} <= known


def test_chance_is_the_similarity_of_shuffled_pairs() -> None:
    windows = np.random.default_rng(0).normal(0, 1, (600, 4, 12)).astype(np.float32)
    low, high = (similarity_by_chance(windows, q, metric="cosine", min_overlap=8) for q in (0.5, 0.999))
    assert 0.2 < low < high < 0.9
    flat = windows.reshape(600, -1)
    flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    assert high > np.quantile(flat[:300] @ flat[300:].T, 0.999)  # the best of many offsets


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=30), st.lists(st.integers(0, 12), max_size=30),
    st.floats(0.05, 5), st.floats(0.01, 0.9),
)  # fmt: skip
def test_the_longest_list(score: list[int], chance: list[int], share: float, rate: float) -> None:
    found = tail_rows(np.array(score, float), np.array(chance, float), share=share, rate=rate)
    best = 0
    order = np.argsort(-np.array(score), kind="stable")
    for size in range(1, len(score) + 1):
        least = score[order[size - 1]]
        if (1 + sum(value >= least for value in chance)) * share <= rate * size:
            best = size
    assert found.tolist() == sorted(order[:best].tolist())
