"""Members against planted truth, joins of what is the same, and clusters whoever computes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from interpretation.planted import named
from numpy.typing import NDArray

from drg_hpc.interpretation.centres import cluster_of, unit_windows
from drg_hpc.interpretation.clusters import ClusterRule, Method, cluster_windows
from drg_hpc.interpretation.joining import confused_centres, confusion, merge_similar
from drg_hpc.interpretation.membership import Nearest, likely_members, nearest_block, nearest_centres
from drg_hpc.interpretation.neighbours import NeighbourRule, nearest_neighbours
from drg_hpc.interpretation.products import best_values, distance_matrix, pooled_distances
from drg_hpc.interpretation.shuffled import shuffled_windows
from drg_hpc.interpretation.similarity import compare
from drg_hpc.runs.here import Here
from drg_hpc.runs.launch.dask import Cluster, connect

NAMES = ("CTCF", "GATA1", "SPI1", "REST", "MAFK", "NRF1", "TEAD4", "RFX3")
WIDTH = 30
ALIKE = {"metric": "cosine", "min_overlap": 15}


def planted(n: int, *, noise: float, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Unit windows with a site of one of eight motifs, or (a fifth of them) a word without meaning: -1."""
    rng = np.random.default_rng(seed)
    pfms = [motif.pfm for motif in named(*NAMES)]
    truth = np.where(rng.random(n) < 0.2, -1, rng.integers(0, len(pfms), n))
    out = np.zeros((n, 4, WIDTH), np.float32)
    for row, which in enumerate(truth):
        width = int(rng.integers(6, 11)) if which < 0 else pfms[which].shape[1]
        start = int(np.clip((WIDTH - width) // 2 + rng.integers(-5, 6), 0, WIDTH - width))
        bases, heights = rng.integers(0, 4, WIDTH), np.zeros(WIDTH)
        heights[start : start + width] = 1.0
        if which >= 0:
            pfm = pfms[which]
            site = np.array([rng.choice(4, p=column / column.sum()) for column in pfm.T])
            content = 2 + (pfm * np.log2(np.maximum(pfm, 1e-9))).sum(axis=0)
            bases[start : start + width] = site
            heights[start : start + width] = content * pfm[site, np.arange(width)]
        out[row, bases, np.arange(WIDTH)] = heights + rng.normal(0, noise * heights.max(), WIDTH)
        if rng.random() < 0.5:
            out[row] = out[row, ::-1, ::-1].copy()
    return unit_windows(out), truth


@pytest.fixture(scope="module")
def world() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    return planted(1600, noise=0.1, seed=0)


def test_clusters_are_the_planted_motifs(world: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    units, truth = world
    rule = ClusterRule(similarity=None, merge=0.9, min_overlap=15, min_size=20, sample=1000, seed=0)
    found = cluster_windows(units, np.ones(len(units)), rule, pool=Here())
    assert len(found) == len(NAMES)
    label = np.full(len(units), -1)
    for cluster in found:
        which = np.bincount(truth[cluster.members] + 1, minlength=9)
        assert which[1:].max() > 0.9 * len(cluster.members)
        label[cluster.members] = int(which[1:].argmax())
    sites = truth >= 0
    assert (label[sites] == truth[sites]).mean() > 0.95  # with a fixed cut of 0.5: 0.67
    assert (label[~sites] >= 0).mean() < 0.1


def test_few_members_come_by_chance() -> None:
    """Of windows without a motif, no more than the rate become members; the discriminant keeps more of the sites."""
    units, truth = planted(1600, noise=0.3, seed=3)
    centres = np.stack([units[np.flatnonzero(truth == k)[0]] for k in range(8)])
    chance = shuffled_windows(units, 5000, 0)
    more = shuffled_windows(units, len(units), 1)
    mixed = np.concatenate([units[truth >= 0], more])
    real = np.arange(len(mixed)) < (truth >= 0).sum()
    near, by_chance = (nearest_centres(Here(), w, len(w), centres, **ALIKE) for w in (mixed, chance))
    kept = {}
    for discriminate in (False, True):
        members = [
            likely_members((mixed, near), (chance, by_chance), k, rate=0.05, discriminate=discriminate)
            for k in range(8)
        ]
        false = sum(int((~real[rows]).sum()) for rows in members)
        assert 0 < false < 0.1 * sum(map(len, members))
        kept[discriminate] = sum(int(real[rows].sum()) for rows in members)
    assert kept[True] > kept[False] > 0.5 * real.sum()


def test_blocks_make_no_difference(world: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    units, _ = world
    whole = compare(units[:700], units[700:705], **ALIKE)
    block = nearest_block(units, 100, 300, units[700:705], "cosine", 15)
    np.testing.assert_array_equal(block.label, whole.value[100:300].argmax(axis=1))
    np.testing.assert_allclose(block.value, whole.value[100:300].max(axis=1), atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_where_an_array_begins_makes_no_difference(
    world: tuple[NDArray[np.float32], NDArray[np.int64]], count: int
) -> None:
    """What Dask hands over may begin at any byte, and numpy multiplies that without its library."""

    def moved(array: NDArray[np.float32]) -> NDArray[np.float32]:
        buffer = bytearray(array.nbytes + 64)
        start = (-np.frombuffer(buffer, np.uint8).ctypes.data) % 64 + 7
        out = np.frombuffer(buffer, np.float32, count=array.size, offset=start).reshape(array.shape)
        out[...] = array
        assert not out.flags.aligned
        return out

    units, _ = world
    centres = units[:count]
    for one, two in ((units, centres), (moved(units), centres), (units, moved(centres))):
        found = nearest_block(one, 0, len(one), two, "cosine", 15)
        value = best_values(one, two, **ALIKE)
        if one is units and two is centres:
            want, pairs = found, value
        np.testing.assert_array_equal(found.value, want.value)
        np.testing.assert_array_equal(value, pairs)


def test_the_same_motif_twice_becomes_one(world: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    units, truth = world
    rows = [np.flatnonzero(truth == k) for k in (0, 1, 2)]
    members = [rows[0][::2], rows[0][1::2], rows[1], rows[2]]
    first = [units[part[0]] for part in members]
    centres = []
    for part, start in zip(members, first, strict=True):
        near = nearest_centres(Here(), units[part], len(part), start[None], **ALIKE)
        centres.append(cluster_of(units[part], near, np.arange(len(part))).centre)
    both = confusion(units, np.stack(centres), members, **ALIKE)
    assert both[0, 1] > 0.6 and both[2:, :2].max() < 0.1 and both[2, 3] < 0.1
    kept = confused_centres(units, np.stack(centres), members, **ALIKE)
    assert kept.tolist() == ([0, 2, 3] if len(members[0]) >= len(members[1]) else [1, 2, 3])
    assert len(merge_similar(np.stack(centres), 0.9, **ALIKE)) == 3


def test_pools_agree(world: tuple[NDArray[np.float32], NDArray[np.int64]], tmp_path: Path) -> None:
    """Two worker processes, which read the windows themselves, give what this process gives."""
    units, _ = world
    np.save(tmp_path / "units.npy", units)
    rule = ClusterRule(similarity=None, merge=0.9, min_overlap=15, min_size=20, sample=600, seed=0)
    search = NeighbourRule(k=5, min_overlap=15, pivots=40, probes=8, seed=0)
    here = cluster_windows(units, np.ones(len(units)), rule, pool=Here())
    near = nearest_neighbours(units, search, pool=Here())
    with connect(Cluster("local", beside=tmp_path / "x", workers=2)) as pool:
        task = pool.submit(np.load, tmp_path / "units.npy")
        there = cluster_windows(units, np.ones(len(units)), rule, pool=pool, task=task)
        found = nearest_neighbours(units, search, pool=pool, task=task)
        distance = pooled_distances(pool, task, len(units), **ALIKE)
    assert len(here) == len(there) > 3
    for one, two in zip(here, there, strict=True):
        for name in ("members", "offset", "flipped", "similarity", "centre"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    np.testing.assert_array_equal(near.index, found.index)
    np.testing.assert_array_equal(near.value, found.value)
    np.testing.assert_array_equal(distance, distance_matrix(units, **ALIKE))


@pytest.mark.parametrize("method", ["linkage", "leiden"])
@pytest.mark.parametrize("seed", [11, 12])
def test_background_alone_makes_no_cluster(
    world: tuple[NDArray[np.float32], NDArray[np.int64]], method: Method, seed: int
) -> None:
    noise = shuffled_windows(world[0], 1500, seed)
    rule = ClusterRule(similarity=None, merge=0.9, min_overlap=15, min_size=20, sample=1000, seed=0, method=method)
    assert cluster_windows(noise, np.abs(noise).sum(axis=(1, 2)), rule, pool=Here()) == []


@pytest.mark.parametrize("near", [25, 60, 200])
def test_the_rate_holds_with_few_shuffled_windows(near: int) -> None:
    """Mean share of false members over many small worlds, of which the true windows are weak."""
    false = {False: [], True: []}  # type: dict[bool, list[float]]
    for seed in range(40):
        rng = np.random.default_rng(seed)
        centre = np.zeros((4, WIDTH), np.float32)
        centre[rng.integers(0, 4, 12), np.arange(9, 21)] = 1
        noise = rng.normal(0, 1, (2 * near + 60, 4, WIDTH)).astype(np.float32)
        noise[near : near + 60] += 1.2 * centre
        real, chance = unit_windows(noise[: near + 60]), unit_windows(noise[near + 60 :])
        zeros = [np.zeros(len(item), np.int64) for item in (real, chance)]
        pairs = []
        for item, zero in zip((real, chance), zeros, strict=True):
            value = (item * unit_windows(centre[None])).sum(axis=(1, 2)).astype(np.float32)
            pairs.append((item, Nearest(zero, value, zero, zero.astype(bool))))
        for discriminate, shares in false.items():
            members = likely_members(pairs[0], pairs[1], 0, rate=0.1, discriminate=discriminate)
            shares.append(float((members < near).mean()) if len(members) else 0.0)
    assert np.mean(false[False]) < 0.1 and np.mean(false[True]) < 0.12
