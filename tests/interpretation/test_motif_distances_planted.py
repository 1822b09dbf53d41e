"""60 planted motifs by DRG's distances (drg.md 4.6) and complete linkage at 0.05, all against numpy and scipy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.stats import t

from drg_hpc.interpretation.linkage import linkage_labels
from drg_hpc.interpretation.motif_distances import MotifDistances, motif_distances

SEEDS = (
    70, 112, 113, 116, 164, 180, 209, 230, 266, 267, 277, 300, 305, 312, 327, 346, 363, 395, 602, 633,
)  # fmt: skip
"""Families that are unlike each other: three in ten pairs of random ones are one cluster at 0.05, which is 1.96
standard errors of the best of some fifty alignments."""
MEMBERS, CUT = 3, 0.05


@dataclass(frozen=True)
class Family:
    motifs: list[np.ndarray]
    left: list[int]
    """Random positions before the core, of each as it was before one was turned."""


def family(seed: int) -> Family:
    """A core of 6 to 9 positions three times, a third of it noise, with 0 to 3 random positions at each end, the second
    one reverse complemented."""
    rng = np.random.default_rng(seed)
    core = rng.dirichlet(np.full(4, 0.05), size=int(rng.integers(6, 10))).T
    motifs, lefts = [], []
    for member in range(MEMBERS):
        own = 0.65 * core + 0.35 * rng.dirichlet(np.full(4, 0.3), size=core.shape[1]).T
        left, right = (rng.dirichlet(np.ones(4), size=int(rng.integers(0, 4))).T for _ in range(2))
        whole = np.hstack([left, own, right])
        motifs.append(whole[::-1, ::-1] if member == 1 else whole)
        lefts.append(left.shape[1])
    return Family(motifs, lefts)


@dataclass(frozen=True)
class Plain:
    distance: float
    offset: int
    orientation: int
    second: float
    """Distance of the next best alignment."""


def plain(a: np.ndarray, b: np.ndarray) -> Plain:
    """One pair: every alignment with four shared positions or more, over the union, missing cells 1/4."""
    width, other = a.shape[1], b.shape[1]
    places, r, cells = [], [], []
    for orientation, left in enumerate((a, a[::-1, ::-1])):
        for offset in range(4 - width, other - 3):
            first, last = min(0, offset), max(other, offset + width)
            x, y = np.full((4, last - first), 0.25), np.full((4, last - first), 0.25)
            x[:, offset - first : offset - first + width] = left
            y[:, -first : other - first] = b
            places.append((offset, orientation))
            r.append(np.corrcoef(x.ravel(), y.ravel())[0, 1])
            cells.append(x.size)
    value, n = np.array(r), np.array(cells)
    statistic = value * np.sqrt(n - 2) / np.sqrt(1 - (value - 1e-7) ** 2)
    p = np.maximum(2 * t.sf(np.abs(statistic), n - 1), 1e-127)
    distance = np.where(value > 0, p, 1 / p)
    best, second = np.argsort(distance, kind="stable")[:2]
    return Plain(float(distance[best]), *places[best], float(distance[second]))


@pytest.fixture(scope="module")
def pfms() -> list[np.ndarray]:
    return [motif for seed in SEEDS for motif in family(seed).motifs]


@pytest.fixture(scope="module")
def ours(pfms: list[np.ndarray]) -> MotifDistances:
    return motif_distances(pfms, metric="correlation_pvalue")


@pytest.fixture(scope="module")
def theirs(pfms: list[np.ndarray]) -> list[list[Plain]]:
    return [[plain(a, b) for b in pfms] for a in pfms]


def column(theirs: list[list[Plain]], name: str) -> np.ndarray:
    return np.array([[getattr(pair, name) for pair in row] for row in theirs])


def test_all_pairs(pfms: list[np.ndarray], ours: MotifDistances, theirs: list[list[Plain]]) -> None:
    assert len(pfms) == 60 and len({pfm.shape[1] for pfm in pfms}) >= 8
    apart = ~np.eye(60, dtype=bool)
    distance, offset, orientation = (column(theirs, name) for name in ("distance", "offset", "orientation"))
    np.testing.assert_allclose(ours.distance[apart], distance[apart], rtol=1e-7)
    np.testing.assert_array_equal(ours.offset[apart], offset[apart])
    np.testing.assert_array_equal(ours.orientation[apart], orientation[apart])
    assert (column(theirs, "second")[apart] > distance[apart] * (1 + 1e-6)).all()  # no offset is one of two as good
    assert np.diag(ours.distance).max() < 1e-30
    assert not np.diag(ours.offset).any() and not np.diag(ours.orientation).any()


def test_offsets_and_orientations_are_those_planted(pfms: list[np.ndarray], ours: MotifDistances) -> None:
    """Of two of one family: as far apart as their random flanks are long, and turned where one of both is."""
    wrong = []
    for k, seed in enumerate(SEEDS):
        left, width = family(seed).left, [pfm.shape[1] for pfm in pfms[MEMBERS * k : MEMBERS * (k + 1)]]
        wanted = {
            (0, 2): (0, left[2] - left[0]),
            (1, 0): (1, left[0] - left[1]),  # turned back it begins with its left flank
            (0, 1): (1, (width[1] - left[1]) - (width[0] - left[0])),  # both begin with their right flanks
        }
        for (i, j), want in wanted.items():
            a, b = MEMBERS * k + i, MEMBERS * k + j
            if (ours.orientation[a, b], ours.offset[a, b]) != want:
                wrong.append((seed, i, j))
    assert wrong == []


def test_complete_linkage(ours: MotifDistances, theirs: list[list[Plain]]) -> None:
    distance = column(theirs, "distance")
    np.fill_diagonal(distance, 0)
    np.testing.assert_allclose(distance, distance.T, rtol=1e-9)  # a pair is the same both ways
    tree = linkage(squareform(np.minimum(distance, distance.T)), "complete")
    wanted = fcluster(tree, t=CUT, criterion="distance")
    found = linkage_labels(np.minimum(ours.distance, ours.distance.T), "complete", cut=CUT)
    truth = np.repeat(np.arange(len(SEEDS)), MEMBERS)
    assert len(set(zip(found, wanted, strict=True))) == len(set(found)) == len(set(wanted))
    np.testing.assert_array_equal(found, truth)
    linked = linkage_labels(np.minimum(ours.distance, ours.distance.T), "single", cut=CUT)
    assert linked.max() < found.max()  # it is complete linkage that keeps them apart
