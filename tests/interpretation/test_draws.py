"""The front of a permutation against numpy's own."""

from __future__ import annotations

import numpy as np
import pytest

from drg_hpc.interpretation import draws


@pytest.mark.parametrize(
    ("n", "size", "steps"), [(2, 1, 3), (1000, 1, 7), (1000, 999, 64), (70_001, 300, 1000), (300_000, 40_000, 1 << 22)]
)
def test_equals_numpy(n: int, size: int, steps: int) -> None:
    for seed in (0, 1234):
        expected = np.sort(np.random.RandomState(seed).permutation(n)[:size])
        np.testing.assert_array_equal(draws.first_of_permutation(n, size, seed, steps=steps), expected)


@pytest.mark.parametrize("top", [1, 1000, 2**31 + 5, 2**32 + 30, 5 * 10**10])
def test_draws_of_any_size(top: int) -> None:
    """Below and above 32 bits, and from one to the other."""
    random = np.random.RandomState(7)
    random.random_sample(1001)  # leaves the state within a block of words
    _, key, position, *_ = random.get_state(legacy=True)
    found = np.empty(min(top + 1, 60), np.int64)
    draws._draws(np.array(key, np.uint32), np.array([position]), top, found)
    expected = [random.randint(0, top - k + 1, dtype=np.int64) for k in range(len(found))]
    assert found.tolist() == expected
