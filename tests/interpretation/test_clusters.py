"""Trees against scipy, neighbours against all pairs, splits against their definition."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from drg_hpc.errors import InputError, UsageError
from drg_hpc.interpretation.centres import unit_windows
from drg_hpc.interpretation.clusters import ClusterRule, cluster_windows
from drg_hpc.interpretation.config import MotifsOptions, check_method
from drg_hpc.interpretation.linkage import Linkage, linkage_tree
from drg_hpc.interpretation.neighbours import NeighbourRule, nearest_neighbours
from drg_hpc.interpretation.products import best_values, distance_matrix
from drg_hpc.interpretation.similarity import Metric, compare
from drg_hpc.interpretation.splitting import site_effects, split_by_effects
from drg_hpc.runs.here import Here


@pytest.mark.parametrize("method", ["average", "complete", "single"])
def test_tree_is_scipys(method: Linkage) -> None:
    points = np.random.default_rng(0).normal(size=(120, 5))
    distance = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=-1))
    want = linkage(squareform(distance, checks=False), method)
    np.testing.assert_allclose(linkage_tree(distance, method), want, rtol=1e-9)
    with pytest.raises(UsageError, match="finite"):
        linkage_tree(np.full((3, 3), np.nan), method)


@pytest.mark.parametrize("metric", ["cosine", "pearson"])
def test_products_and_all_neighbours(metric: Metric) -> None:
    windows = np.random.default_rng(1).normal(0.2, 1, (150, 4, 12)).astype(np.float32)
    value = compare(windows, windows, metric=metric, min_overlap=6).value
    np.testing.assert_allclose(best_values(windows, windows, metric=metric, min_overlap=6), value, atol=3e-6)
    distance = distance_matrix(windows, metric=metric, min_overlap=6)
    np.testing.assert_array_equal(distance, distance.T)
    rule = NeighbourRule(k=5, min_overlap=6, pivots=12, probes=12, seed=0, metric=metric)
    found = nearest_neighbours(windows, rule, pool=Here())
    np.fill_diagonal(value, -np.inf)
    np.testing.assert_allclose(found.value, -np.sort(-value, axis=1)[:, :5], atol=3e-6)
    picked = np.take_along_axis(value, found.index.astype(np.int64), axis=1)
    np.testing.assert_allclose(picked, found.value, atol=3e-6)
    with pytest.raises(UsageError, match="13 of 12 cells"):
        nearest_neighbours(windows, NeighbourRule(k=5, min_overlap=6, pivots=12, probes=13, seed=0), pool=Here())


def test_most_neighbours_are_found_in_few_cells() -> None:
    windows = np.repeat(np.random.default_rng(0).normal(0, 1, (40, 4, 12)), 25, axis=0).astype(np.float32)
    windows += np.random.default_rng(1).normal(0, 0.4, windows.shape).astype(np.float32)
    rules = [NeighbourRule(k=10, min_overlap=8, pivots=60, probes=p, seed=0) for p in (60, 10)]
    whole, some = (nearest_neighbours(windows, rule, pool=Here()) for rule in rules)
    assert whole.compared > 0.3 > some.compared
    shared = [len(np.intersect1d(a, b)) for a, b in zip(whole.index, some.index, strict=True)]
    assert 0.95 < np.mean(shared) / 10 <= 1


def test_of_equal_neighbours_the_first() -> None:
    windows = np.repeat(np.random.default_rng(0).normal(0, 1, (2, 4, 12)), 30, axis=0).astype(np.float32)
    found = nearest_neighbours(windows, NeighbourRule(k=5, min_overlap=8, pivots=4, probes=4, seed=0), pool=Here())
    for row in (2, 7, 29, 31, 44):
        same = [i for i in range(60) if i // 30 == row // 30 and i != row]
        assert found.index[row].tolist() == same[:5]


@pytest.mark.parametrize("metric", ["cosine", "pearson"])
def test_products_by_torch(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU would do, on torch's CPU."""
    windows = np.random.default_rng(1).normal(0.2, 1, (60, 4, 12)).astype(np.float32)
    want = best_values(windows, windows[:40], metric=metric, min_overlap=6)
    found = best_values(windows, windows[:40], metric=metric, min_overlap=6, device="cpu:0")
    np.testing.assert_allclose(found, want, atol=3e-6)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="--device cuda: torch finds no GPU"):
        distance_matrix(windows, metric=metric, min_overlap=6, device="cuda")


def test_splits_and_models() -> None:
    up, down = np.array([1.0, 2, 3]), np.array([3.0, 2, 1])
    labels = np.array([0, 0, 0, 0, 1, -1])
    effects = np.stack([up, down, 2 * up, down + 5, up, up])
    assert split_by_effects(labels, effects).tolist() == [0, 1, 0, 1, 2, -1]
    assert split_by_effects(labels, effects, max_distance=2).tolist() == [0, 0, 0, 0, 1, -1]
    with pytest.raises(UsageError, match="shape"):
        split_by_effects(labels, effects[:, :1])
    rows, start, end = np.array([0, 0, 0, 1]), np.array([5, 7, 20, 5]), np.array([9, 12, 25, 9])
    found = site_effects(rows, start, end, np.array([0, 1, 0, 1]), np.array([1.0, -2, 4, 8]), tracks=2)
    np.testing.assert_array_equal(found, [[1, -2], [1, -2], [4, 0], [0, 8]])


def test_leiden(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    windows = np.repeat(rng.normal(0, 1, (3, 4, 20)), 30, axis=0) + rng.normal(0, 0.1, (90, 4, 20))
    rule = ClusterRule(similarity=0.7, merge=0.9, min_overlap=12, min_size=5, sample=60, seed=0, method="leiden")
    if importlib.util.find_spec("leidenalg") is None:
        with pytest.raises(UsageError, match="leidenalg, which is not installed"):
            cluster_windows(unit_windows(windows), np.ones(90), rule, pool=Here())
        return
    found = cluster_windows(unit_windows(windows), np.ones(90), rule, pool=Here())
    assert sorted(tuple(np.unique(c.members // 30)) for c in found) == [(0,), (1,), (2,)]


def test_flags_of_the_other_method() -> None:
    options = MotifsOptions.model_validate({"seqlets": "a", "out": "b", "neighbours": 9})
    with pytest.raises(UsageError, match="--neighbours with --method linkage"):
        check_method(options)
