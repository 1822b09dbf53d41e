"""Kernels are grouped by motif on either strand and at any offset, then by effect."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr

from drg_hpc.interpretation import kernel_clusters as clusters
from drg_hpc.interpretation.linkage import Linkage
from drg_hpc.interpretation.motif_distances import MotifMetric
from drg_hpc.interpretation.splitting import split_by_effects


def motif(seed: int, width: int) -> np.ndarray:
    sharp = np.random.default_rng(seed).dirichlet(np.full(4, 0.1), width).T
    return 0.9 * sharp + 0.1 / 4


def shifted(pfm: np.ndarray, left: int, right: int) -> np.ndarray:
    flat = np.full((4, 1), 0.25)
    return np.concatenate([np.repeat(flat, left, 1), pfm, np.repeat(flat, right, 1)], axis=1)


def planted() -> tuple[list[np.ndarray], np.ndarray]:
    """Two motifs at offsets, turned, in two widths; and one with no information."""
    a, b = motif(1, 8), motif(2, 8)
    pfms = [shifted(a, 0, 4), shifted(b, 2, 2), shifted(a, 3, 1)[::-1, ::-1], shifted(b, 4, 3), shifted(a, 1, 3)]
    return [*pfms, np.full((4, 12), 0.25)], np.array([0, 1, 0, 1, 0, 2])


def best_by_hand(p: np.ndarray, q: np.ndarray) -> float:
    a, b = (np.maximum(0, np.log2((m + 1e-8) / 0.25)) for m in (p, q))
    best = -2.0
    for turned in (a, a[::-1, ::-1]):
        for offset in range(4 - a.shape[1], b.shape[1] - 3):
            first, last = min(0, offset), max(b.shape[1], offset + a.shape[1])
            left, right = np.zeros((4, last - first)), np.zeros((4, last - first))
            left[:, offset - first : offset - first + a.shape[1]] = turned
            right[:, -first : -first + b.shape[1]] = b
            best = max(best, pearsonr(left.ravel(), right.ravel()).statistic)
    return best


def test_distances_by_hand() -> None:
    pfms, _ = planted()
    pairs = clusters.motif_pairs(pfms)
    for i in range(5):
        for j in range(5):
            if i != j:
                assert pairs.distance[i, j] == pytest.approx(1 - best_by_hand(pfms[i], pfms[j]), abs=1e-6)
    np.testing.assert_allclose(pairs.distance[5, :5], 1)
    np.testing.assert_array_equal(pairs.distance, pairs.distance.T)


@pytest.mark.parametrize("method", ["complete", "average", "single"])
def test_planted_motifs(method: Linkage) -> None:
    pfms, truth = planted()
    pairs = clusters.motif_pairs(pfms)
    labels = clusters.by_size(clusters.cluster_motifs(pairs, method=method, limit=0.3))
    np.testing.assert_array_equal(labels, truth)
    mean = clusters.average_motif(pfms, np.flatnonzero(labels == 0), pairs)
    assert mean.shape[1] == 8
    assert min(np.abs(mean - m).max() for m in (motif(1, 8), motif(1, 8)[::-1, ::-1])) < 1e-6
    flat = clusters.average_motif(pfms, np.array([5]), pairs)
    np.testing.assert_allclose(flat, np.full((4, 12), 0.25))


@pytest.mark.parametrize(
    ("metric", "cut"), [("cosine", 0.2), ("mse", 0.1), ("correlation_pvalue", 1e-6), ("jaccard", 0.3)]
)
def test_planted_motifs_by_other_distances(metric: MotifMetric, cut: float) -> None:
    pfms, truth = planted()
    pairs = clusters.motif_pairs(pfms, metric=metric)
    np.testing.assert_array_equal(pairs.distance, pairs.distance.T)
    assert (np.diag(pairs.distance) == 0).all()
    labels = clusters.by_size(clusters.cluster_motifs(pairs, method="complete", limit=cut))
    np.testing.assert_array_equal(labels, truth)
    if metric == "mse":  # of nothing to a motif: the motif's own mean square, in the frame of the offset 0
        bits = np.maximum(0, np.log2((pfms[0] + 1e-8) / 0.25))
        assert pairs.distance[0, 5] == pytest.approx((bits**2).sum() / (4 * 12), rel=1e-5)
    else:
        np.testing.assert_allclose(pairs.distance[5, :5], 1)


def test_clusters_are_divided_by_effect() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    ramp = np.array([0.0, 1.0, 2.0, 4.0])
    effects = np.array([ramp, 2 * ramp + 1, -ramp, ramp, ramp, np.zeros(4)])
    found = split_by_effects(labels, effects, max_distance=0.7)
    assert len(set(found)) == 4
    assert found[0] == found[1] != found[2]
    assert found[3] == found[4]
    np.testing.assert_array_equal(split_by_effects(labels, effects, max_distance=2.0), labels)
    np.testing.assert_array_equal(clusters.by_size(np.array([5, 2, 2, 9, 9, 9])), [2, 1, 1, 0, 0, 0])
