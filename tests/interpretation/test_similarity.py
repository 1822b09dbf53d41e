"""All offsets and both strands, against a loop."""

from __future__ import annotations

import numpy as np
import pytest

from drg_hpc.errors import UsageError
from drg_hpc.interpretation.similarity import Metric, compare, flip, place


def by_loop(a: np.ndarray, b: np.ndarray, metric: Metric, min_overlap: int) -> float:
    width, other, best = a.shape[1], b.shape[1], -np.inf
    for turned in (a, a[::-1, ::-1]):
        for offset in range(min_overlap - width, other - min_overlap + 1):
            first, last = min(0, offset), max(other, offset + width)
            left, right = np.zeros((4, last - first)), np.zeros((4, last - first))
            left[:, offset - first : offset - first + width] = turned
            right[:, -first : -first + other] = b
            if metric == "pearson":
                best = max(best, float(np.corrcoef(left.ravel(), right.ravel())[0, 1]))
            else:
                best = max(best, float((left * right).sum() / np.linalg.norm(left) / np.linalg.norm(right)))
    return best


@pytest.mark.parametrize("metric", ["cosine", "pearson"])
@pytest.mark.parametrize(("width", "other"), [(8, 8), (6, 11)])
def test_equals_a_loop(metric: Metric, width: int, other: int) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.2, 1, (5, 4, width)).astype(np.float32), rng.normal(0, 1, (7, 4, other)).astype(np.float32)
    found = compare(a, b, metric=metric, min_overlap=4)
    for i in range(5):
        for j in range(7):
            assert found.value[i, j] == pytest.approx(by_loop(a[i], b[j], metric, 4), abs=2e-5)


def test_offset_and_strand_put_the_query_on_the_reference() -> None:
    rng = np.random.default_rng(1)
    reference = np.zeros((1, 4, 20), np.float32)
    reference[0, :, 6:14] = rng.normal(0, 1, (4, 8))
    queries = np.zeros((4, 4, 20), np.float32)
    for i, shift in enumerate((0, 3, -4, 5)):
        queries[i] = np.roll(reference[0], shift, axis=1)
    queries[2:] = flip(queries[2:])
    found = compare(queries, reference, min_overlap=10)
    np.testing.assert_allclose(found.value[:, 0], 1, atol=1e-6)
    assert found.flipped[:, 0].tolist() == [False, False, True, True]
    laid = place(queries, found.offset[:, 0].astype(np.int64), found.flipped[:, 0], width=20)
    np.testing.assert_allclose(laid, np.repeat(reference, 4, axis=0), atol=1e-6)


def test_self_similarity_is_symmetric_and_empty_windows_are_zero() -> None:
    windows = np.random.default_rng(2).normal(0, 1, (12, 4, 10)).astype(np.float32)
    windows[3] = 0
    found = compare(windows, windows, min_overlap=5)
    np.testing.assert_allclose(found.value, found.value.T, atol=1e-6)
    assert found.value[3].max() == 0 and np.allclose(np.delete(np.diag(found.value), 3), 1)
    assert not found.flipped[0, 0] and found.offset[0, 0] == 0


def test_one_strand_only() -> None:
    windows = np.random.default_rng(3).normal(0, 1, (1, 4, 10)).astype(np.float32)
    assert compare(flip(windows), windows, min_overlap=10).value[0, 0] == pytest.approx(1)
    assert compare(flip(windows), windows, min_overlap=10, both_strands=False).value[0, 0] < 0.9


def test_impossible_overlap() -> None:
    windows = np.zeros((1, 4, 10), np.float32)
    with pytest.raises(UsageError, match="overlap of 11"):
        compare(windows, windows, min_overlap=11)
