"""Clusters of seqlet windows: first groups by linkage or Leiden, centres for all, every seqlet to its nearest centre.

Linkage needs all pairs, so it sees at most ``sample`` seqlets: the strongest half of them, and a seeded draw from the
rest, so that motifs with weak or rare seqlets are represented. Leiden sees all seqlets, by their nearest neighbours
only. The groups' centres are refined on all seqlets (aligned mean, two rounds), centres that say the same are merged,
and each seqlet ends in the cluster of the nearest centre, or in none when that is less similar than the cut.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drg_hpc.interpretation.communities import communities
from drg_hpc.interpretation.linkage import Linkage, linkage_labels
from drg_hpc.interpretation.neighbours import NeighbourRule, nearest_neighbours
from drg_hpc.interpretation.products import distance_matrix
from drg_hpc.interpretation.similarity import Float32, Metric, Similarity, compare, place
from drg_hpc.rng import row_generator

_BLOCK = 8192
_ROUNDS = 2
_MEDOID = 500
_CELLS_SEARCHED = 24
Method = Literal["linkage", "leiden"]


@dataclass(frozen=True)
class ClusterRule:
    """Parameters.

    Parameters
    ----------
    similarity : cut of the tree (mean similarity within a cluster) and least similarity of a member to its centre
    merge : centres at least this similar become one
    min_overlap : shared positions of two windows
    min_size : seqlets of a cluster
    sample : seqlets that linkage sees
    method, linkage : how the first groups are made
    neighbours, resolution : of Leiden's graph
    """

    similarity: float
    merge: float
    min_overlap: int
    min_size: int
    sample: int
    seed: int
    metric: Metric = "cosine"
    method: Method = "linkage"
    linkage: Linkage = "average"
    neighbours: int = 15
    resolution: float = 1.0


@dataclass(frozen=True)
class Cluster:
    """Members, and how each lies over the cluster's frame of window width.

    Parameters
    ----------
    members : (k,) seqlet numbers, ascending
    offset : (k,) start of the (flipped) window relative to the frame
    flipped : (k,) bool
    similarity : (k,) to the centre
    centre : (4, W) mean of the aligned unit windows
    """

    members: NDArray[np.int64]
    offset: NDArray[np.int64]
    flipped: NDArray[np.bool_]
    similarity: Float32
    centre: Float32


def cluster_windows(profiles: Float32, strength: NDArray[np.floating], rule: ClusterRule) -> list[Cluster]:
    """Clusters of at least ``rule.min_size`` seqlets, largest first.

    Parameters
    ----------
    profiles : (n, 4, W) contributions, any scale
    strength : (n,) decides which seqlets linkage sees
    """
    units = _units(profiles)
    chosen = sample_rows(strength, rule.sample, rule.seed) if rule.method == "linkage" else np.arange(len(units))
    if len(chosen) < 2:
        return []
    share = len(chosen) / len(units)
    groups = _linkage_groups(units[chosen], rule) if rule.method == "linkage" else _leiden_groups(units, rule)
    centres = _group_centres(units[chosen], groups, rule, least=max(2, int(rule.min_size * share / 2)))
    for _ in range(_ROUNDS):
        if not len(centres):
            return []
        centres = np.stack([cluster.centre for cluster in _assign(units, centres, rule, least=2)] or [centres[0]])
        centres = _merge_similar(centres, rule)
    found = _assign(units, centres, rule, least=rule.min_size)
    return sorted(found, key=lambda cluster: (-len(cluster.members), int(cluster.members[0])))


def sample_rows(strength: NDArray[np.floating], size: int, seed: int) -> NDArray[np.int64]:
    """At most ``size`` rows, ascending: the strongest half of the allowance, the rest drawn from the others."""
    if len(strength) <= size:
        return np.arange(len(strength))
    order = np.argsort(-np.abs(strength), kind="stable")
    top, rest = order[: size - size // 2], order[size - size // 2 :]
    drawn = row_generator(seed, 0, "motif sample").choice(rest, size=size // 2, replace=False)
    return np.sort(np.concatenate([top, drawn]))


def _units(windows: Float32) -> Float32:
    norm = np.sqrt((windows.astype(np.float64) ** 2).sum(axis=(1, 2), keepdims=True))
    return np.asarray(windows / np.maximum(norm, 1e-30), np.float32)


def _linkage_groups(units: Float32, rule: ClusterRule) -> NDArray[np.int64]:
    distance = distance_matrix(units, metric=rule.metric, min_overlap=rule.min_overlap)
    return linkage_labels(distance, rule.linkage, cut=1.0 - rule.similarity)


def _leiden_groups(units: Float32, rule: ClusterRule) -> NDArray[np.int64]:
    """Communities; about 2 sqrt(n) cells, so that finding a window's cells and searching them cost alike."""
    pivots = min(len(units), max(1, math.isqrt(4 * len(units))))
    search = NeighbourRule(
        k=min(rule.neighbours, len(units) - 1), min_overlap=rule.min_overlap, pivots=pivots,
        probes=min(pivots, _CELLS_SEARCHED), seed=rule.seed, metric=rule.metric,
    )  # fmt: skip
    found = nearest_neighbours(units, search)
    return communities(found, least=rule.similarity, resolution=rule.resolution, seed=rule.seed)


def _group_centres(units: Float32, groups: NDArray[np.int64], rule: ClusterRule, *, least: int) -> Float32:
    """Centres (c, 4, W) of the groups with at least ``least`` members, each laid around its medoid.

    The medoid of a large group is that of evenly spaced members, as it needs all their pairs.
    """
    centres = []
    for group, size in zip(*np.unique(groups, return_counts=True), strict=True):
        if size < least:
            continue
        members = np.flatnonzero(groups == group)
        some = members[:: -(-len(members) // _MEDOID)]
        total = distance_matrix(units[some], metric=rule.metric, min_overlap=rule.min_overlap).sum(0, dtype=np.float64)
        medoid = units[some[int(np.argmin(total))]][None]
        pairs = compare(units[members], medoid, metric=rule.metric, min_overlap=rule.min_overlap)
        centres.append(_centre(units[members], pairs.offset[:, 0].astype(np.int64), pairs.flipped[:, 0])[0])
    return np.stack(centres) if centres else np.zeros((0, *units.shape[1:]), np.float32)


def _centre(units: Float32, offset: NDArray[np.int64], flipped: NDArray[np.bool_]) -> tuple[Float32, int]:
    """Aligned mean, cut to window width around its centre of mass, and the shift of the frame that this took.

    Without the shift a cluster whose first centre happened to lie at the edge of its window would lose the far side.
    """
    width = units.shape[2]
    mean = place(units, offset + width, flipped, width=3 * width).mean(axis=0)
    weight = np.abs(mean).sum(axis=0)
    middle = float((weight * np.arange(3 * width)).sum() / max(weight.sum(), 1e-30))
    first = int(np.clip(round(middle - (width - 1) / 2), 0, 2 * width))
    return mean[:, first : first + width].astype(np.float32), first - width


def _nearest(units: Float32, centres: Float32, rule: ClusterRule) -> Similarity:
    """Similarity to all centres, in blocks of rows so that memory stays bounded."""
    blocks = [
        compare(units[i : i + _BLOCK], centres, metric=rule.metric, min_overlap=rule.min_overlap)
        for i in range(0, len(units), _BLOCK)
    ]
    value, offset, flipped = (
        np.concatenate([getattr(block, name) for block in blocks]) for name in ("value", "offset", "flipped")
    )
    return Similarity(value, offset, flipped)


def _assign(units: Float32, centres: Float32, rule: ClusterRule, *, least: int) -> list[Cluster]:
    """Every window to its nearest centre, if similar enough; clusters smaller than ``least`` are dropped."""
    near = _nearest(units, centres, rule)
    label = near.value.argmax(axis=1)
    value = near.value[np.arange(len(units)), label]
    found = []
    for k in range(len(centres)):
        members = np.flatnonzero((label == k) & (value >= rule.similarity))
        if len(members) < least:
            continue
        offset, flipped = near.offset[members, k].astype(np.int64), near.flipped[members, k]
        centre, shift = _centre(units[members], offset, flipped)
        found.append(Cluster(members, offset - shift, flipped, value[members], centre))
    return found


def _merge_similar(centres: Float32, rule: ClusterRule) -> Float32:
    """Join the most similar pair of centres until none reaches ``rule.merge``."""
    weights = np.ones(len(centres))
    while len(centres) > 1:
        pairs = compare(_units(centres), _units(centres), metric=rule.metric, min_overlap=rule.min_overlap)
        np.fill_diagonal(pairs.value, -1.0)
        i, j = np.unravel_index(int(pairs.value.argmax()), pairs.value.shape)
        if pairs.value[i, j] < rule.merge:
            break
        offset, flipped = pairs.offset[[i], j].astype(np.int64), pairs.flipped[[i], j]
        moved = place(centres[[i]], offset, flipped, width=centres.shape[2])[0]
        joined = (weights[i] * moved + weights[j] * centres[j]) / (weights[i] + weights[j])
        keep = [k for k in range(len(centres)) if k not in (i, j)]
        weights = np.append(weights[keep], weights[i] + weights[j])
        centres = np.concatenate([centres[keep], joined[None].astype(np.float32)])
    return centres
