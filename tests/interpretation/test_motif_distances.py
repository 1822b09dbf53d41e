"""DRG's distances against a calculation pair by pair with scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr, t

from drg_hpc.errors import UsageError
from drg_hpc.interpretation.motif_distances import MotifMetric, motif_distances

METRICS: tuple[MotifMetric, ...] = ("correlation", "cosine", "mse", "correlation_pvalue", "jaccard")


def one(x: np.ndarray, y: np.ndarray, metric: str) -> float:
    if metric == "cosine":
        return float(1 - x @ y / np.sqrt((x @ x) * (y @ y)))
    if metric == "mse":
        return float(np.mean((x - y) ** 2))
    if metric == "jaccard":
        return float(1 - np.minimum(x, y).sum() / np.maximum(x, y).sum())
    r = float(pearsonr(x, y)[0])
    if metric == "correlation":
        return 1 - r
    value = r * np.sqrt(len(x) - 2) / np.sqrt(1 - (r - 1e-7) ** 2)
    p = max(2 * t.sf(abs(value), len(x) - 1), 1e-127)
    return float(p if r > 0 else 1 / p)


def pair(a: np.ndarray, b: np.ndarray, metric: str, padding: float, exact: bool) -> tuple[float, int, int]:
    best = (np.inf, 0, 0)
    for strand, left in enumerate((a, a[::-1, ::-1])):
        found = []
        width, other = a.shape[1], b.shape[1]
        for offset in range(4 - width, other - 3):
            first, last = min(0, offset), max(other, offset + width)
            if not exact:
                first, last = (offset, offset + width) if width <= other else (0, other)
            x, y = np.full((4, last - first), padding), np.full((4, last - first), padding)
            for column in range(first, last):
                if 0 <= column - offset < width:
                    x[:, column - first] = left[:, column - offset]
                if 0 <= column < other:
                    y[:, column - first] = b[:, column]
            x, y = x.ravel(), y.ravel()
            distance = one(x, y, metric)
            found.append((-np.mean(x * y) if metric == "mse" else distance, distance, offset))
        _, distance, offset = min(found)
        best = min(best, (distance, offset, strand))
    return best


def motifs(count: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.dirichlet(np.full(4, 0.3), size=int(rng.integers(6, 13))).T for _ in range(count)]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("information", "exact"), [(False, True), (True, True), (False, False)])
def test_equals_pair_by_pair(metric: MotifMetric, information: bool, exact: bool) -> None:
    pfms = motifs(6, 1)
    found = motif_distances(pfms, metric=metric, information=information, exact=exact)
    cells = [np.maximum(0, np.log2((p + 1e-8) / 0.25)) if information else p for p in pfms]
    for i in range(6):
        for j in range(6):
            if i == j:
                continue
            distance, offset, strand = pair(cells[i], cells[j], metric, 0.0 if information else 0.25, exact)
            assert found.distance[i, j] == pytest.approx(distance, rel=1e-8, abs=1e-10)
            assert (found.offset[i, j], found.orientation[i, j]) == (offset, strand)


def test_strands_per_motif_and_bad_input() -> None:
    base = motifs(1, 5)[0]
    turned = base[::-1, ::-1]
    assert motif_distances([base, turned], reverse_complement=False).distance[0, 1] > 0.01
    found = motif_distances([base, turned], reverse_complement=[False, True])
    assert found.distance[0, 1] == pytest.approx(0, abs=1e-9) and found.orientation[0, 1] == 1
    with pytest.raises(UsageError, match="shape"):
        motif_distances([base.T])
    with pytest.raises(UsageError, match="padding 0"):
        motif_distances([base], padding=0)
