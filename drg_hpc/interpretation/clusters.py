"""Clusters of seqlet windows: first groups by linkage or Leiden, centres for all, every seqlet to its nearest centre.

Linkage needs all pairs, so it sees at most ``sample`` seqlets at a time: the strongest half of them, and a seeded draw
from the rest, so that motifs with weak or rare seqlets are represented; then it sees what found no cluster, in the same
way. Leiden sees all seqlets, by their nearest neighbours only. The groups' centres are refined on all seqlets (aligned
mean, two rounds), centres that say the same are joined, and each seqlet ends in the cluster of the nearest centre, or
in none.

How alike is alike enough is read off shuffled windows (:mod:`.shuffled`): two windows are linked for what they have in
common beyond the similarity that each has to one shuffled window in 1,000, groups as large as shuffled windows form are
left out (of linkage), and a seqlet is a member if few shuffled windows would be (:mod:`.membership`). With a fixed
``similarity`` that number is cut and membership.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from drg_hpc.interpretation.centres import Cluster, cluster_of, group_centres
from drg_hpc.interpretation.communities import communities
from drg_hpc.interpretation.joining import confused_centres, merge_similar
from drg_hpc.interpretation.linkage import Linkage, linkage_labels
from drg_hpc.interpretation.membership import likely_members, nearest_centres
from drg_hpc.interpretation.neighbours import NeighbourRule, nearest_neighbours
from drg_hpc.interpretation.pool import Pool
from drg_hpc.interpretation.products import best_values, pooled_distances
from drg_hpc.interpretation.shuffled import shuffled_windows, similarity_by_chance
from drg_hpc.interpretation.similarity import Float32, Metric
from drg_hpc.rng import row_generator

_ROUNDS, _JOINS = 2, 5
CELLS_SEARCHED = 32
_SHUFFLED = 20_000
"""Shuffled windows, at least; else as many as real ones, so that each stands for one real one at most."""
_CHANCE_LINKED = 3000
_LEVELS = 1500
_CUTS = (0.999, 0.999, 0.99)
"""Quantiles of the similarity of shuffled pairs, of each look at the seqlets without a cluster."""
Method = Literal["linkage", "leiden"]


@dataclass(frozen=True)
class ClusterRule:
    """Parameters.

    Parameters
    ----------
    similarity : cut of the tree (mean similarity within a cluster) and least similarity of a member to its centre;
        None: from shuffled windows
    merge : centres at least this similar become one, as do those whose members are confusable
    min_overlap : shared positions of two windows
    min_size : seqlets of a cluster
    sample : seqlets that linkage sees
    method, linkage : how the first groups are made
    neighbours, resolution : of Leiden's graph
    by_chance : share of a cluster's members that shuffled windows would be, at most
    device : where all pairs are compared
    """

    similarity: float | None
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
    by_chance: float = 0.05
    device: str = "cpu"


def cluster_windows(
    units: Float32, strength: NDArray[np.floating], rule: ClusterRule, *, pool: Pool, task: Any = None
) -> list[Cluster]:
    """Clusters of at least ``rule.min_size`` seqlets, largest first.

    Parameters
    ----------
    units : (n, 4, W) windows of :func:`unit_windows`
    strength : (n,) decides which seqlets linkage sees
    task : a task of ``pool`` that gives the same windows, so that they need not travel with every task
    """
    if len(units) < 2:
        return []
    work = _Work(units, units if task is None else task, pool, rule)
    free, centres = np.arange(len(units)), np.zeros((0, *units.shape[1:]), np.float32)
    found: list[Cluster] = []
    for quantile in _CUTS if rule.similarity is None and rule.method == "linkage" else _CUTS[:1]:
        if len(free) < max(2, rule.min_size):
            break
        new = work.first_centres(free, strength, quantile)
        if not len(new):
            continue
        centres = work.refined(np.concatenate([centres, new]))
        found = work.joined(work.clusters(centres, least=rule.min_size))
        taken = np.zeros(len(units), bool)
        for cluster in found:
            taken[cluster.members] = True
        free = np.flatnonzero(~taken)
    return sorted(found, key=lambda cluster: (-len(cluster.members), int(cluster.members[0])))


def sample_rows(strength: NDArray[np.floating], size: int, seed: int) -> NDArray[np.int64]:
    """At most ``size`` rows, ascending: the strongest half of the allowance, the rest drawn from the others."""
    if len(strength) <= size:
        return np.arange(len(strength))
    order = np.argsort(-np.abs(strength), kind="stable")
    top, rest = order[: size - size // 2], order[size - size // 2 :]
    drawn = row_generator(seed, 0, "motif sample").choice(rest, size=size // 2, replace=False)
    return np.sort(np.concatenate([top, drawn]))


class _Work:
    """The windows, real and shuffled, and what is done to them."""

    def __init__(self, units: Float32, task: Any, pool: Pool, rule: ClusterRule) -> None:
        self.units, self.task, self.pool, self.rule = units, task, pool, rule
        self.alike: dict[str, Any] = {"metric": rule.metric, "min_overlap": rule.min_overlap}
        self.pairs: dict[str, Any] = {**self.alike, "device": rule.device}
        self.chance, self.chance_task = np.zeros((0, *units.shape[1:]), np.float32), None
        if rule.similarity is None:
            self.chance_task = pool.submit(shuffled_windows, self.task, max(_SHUFFLED, len(units)), rule.seed)
            (self.chance,) = pool.collect([self.chance_task])
        self._largest_by_chance: dict[tuple[float, int], int] = {}

    def first_centres(self, free: NDArray[np.int64], strength: NDArray[np.floating], quantile: float) -> Float32:
        """Centres (c, 4, W) of groups among the windows ``free``."""
        rule = self.rule
        if rule.method == "leiden":
            cut = rule.similarity or similarity_by_chance(self.chance, quantile, **self.pairs)
            return group_centres(self.units, self._leiden_groups(cut), least=max(2, rule.min_size // 2), **self.alike)
        chosen = free[sample_rows(strength[free], rule.sample, rule.seed)]
        if len(chosen) < 2:
            return np.zeros((0, *self.units.shape[1:]), np.float32)
        rows = self.pool.submit(_rows_of, self.task, chosen)
        distance = pooled_distances(self.pool, rows, len(chosen), **self.pairs)
        least = max(2, int(rule.min_size * len(chosen) / len(free) / 2))
        if rule.similarity is not None:
            groups = linkage_labels(distance, rule.linkage, cut=1.0 - rule.similarity)
        else:
            groups = self._beyond_chance(distance, self.units[chosen], quantile)
            least = max(least, self._chance_group(quantile, len(chosen)) + 1)
        del distance
        return group_centres(self.units[chosen], groups, least=least, **self.alike)

    def _beyond_chance(self, distance: Float32, windows: Float32, quantile: float) -> NDArray[np.int64]:
        """Groups by similarity less the mean of what the two windows reach with shuffled ones; ``distance`` is used up.

        A level for each window, not one for all: short high windows are more alike by chance than wide ones.
        """
        some = self.chance[:_LEVELS]
        blocks = [best_values(windows[i : i + 1024], some, **self.pairs) for i in range(0, len(windows), 1024)]
        level = np.concatenate([np.quantile(block, quantile, axis=1) for block in blocks]).astype(np.float32)
        for i in range(len(distance)):
            distance[i] = np.maximum(distance[i] + (level[i] + level) / 2, 0)
            distance[i, i] = 0
        return linkage_labels(distance, self.rule.linkage, cut=1.0)

    def _chance_group(self, quantile: float, size: int) -> int:
        """Members of the largest group that as many shuffled windows form (of 3,000, in proportion)."""
        if (quantile, size) not in self._largest_by_chance:
            linked = self.chance[-min(size, _CHANCE_LINKED) :]
            distance = pooled_distances(self.pool, linked, len(linked), **self.pairs)
            groups = self._beyond_chance(distance, linked, quantile)
            self._largest_by_chance[quantile, size] = math.ceil(int(np.bincount(groups).max()) * size / len(linked))
        return self._largest_by_chance[quantile, size]

    def _leiden_groups(self, cut: float) -> NDArray[np.int64]:
        """Communities; about 2 sqrt(n) cells, so that finding a window's cells and searching them cost alike."""
        rule, n = self.rule, len(self.units)
        pivots = min(n, max(1, math.isqrt(4 * n)))
        search = NeighbourRule(
            k=min(rule.neighbours, n - 1), pivots=pivots, probes=min(pivots, CELLS_SEARCHED), seed=rule.seed,
            **self.pairs,
        )  # fmt: skip
        found = nearest_neighbours(self.units, search, pool=self.pool, task=self.task)
        return communities(found, least=cut, resolution=rule.resolution, seed=rule.seed)

    def refined(self, centres: Float32) -> Float32:
        """Aligned means of the members, twice, with joins in between."""
        least = 2 if self.rule.similarity is not None else max(2, self.rule.min_size)
        for _ in range(_ROUNDS):
            found = self.clusters(centres, least=least, last=False)
            if not found:
                return centres[:0]
            members, centres = [cluster.members for cluster in found], np.stack([cluster.centre for cluster in found])
            centres = centres[confused_centres(self.units, centres, members, **self.alike)]
            centres = merge_similar(centres, self.rule.merge, **self.alike)
        return centres

    def joined(self, found: list[Cluster]) -> list[Cluster]:
        """Clusters until no two of them are confusable."""
        for _ in range(_JOINS if found else 0):
            members, centres = [cluster.members for cluster in found], np.stack([cluster.centre for cluster in found])
            kept = confused_centres(self.units, centres, members, **self.alike)
            if len(kept) == len(found):
                break
            found = self.clusters(centres[kept], least=self.rule.min_size)
        return found

    def clusters(self, centres: Float32, *, least: int, last: bool = True) -> list[Cluster]:
        """Every window to its nearest centre, if it belongs there; clusters smaller than ``least`` are dropped.

        Parameters
        ----------
        last : by the discriminant too, which needs good centres
        """
        if not len(centres):
            return []
        near = nearest_centres(self.pool, self.task, len(self.units), centres, **self.alike)
        fixed = self.rule.similarity is not None
        by_chance = (
            None if fixed else nearest_centres(self.pool, self.chance_task, len(self.chance), centres, **self.alike)
        )
        found = []
        for k in range(len(centres)):
            if by_chance is None:
                members = np.flatnonzero((near.label == k) & (near.value >= (self.rule.similarity or 0)))
            else:
                pair = ((self.units, near), (self.chance, by_chance))
                members = likely_members(*pair, k, rate=self.rule.by_chance, discriminate=last)
            if len(members) >= least:
                found.append(cluster_of(self.units, near, members))
        return found


def _rows_of(windows: Float32, rows: NDArray[np.int64]) -> Float32:
    return windows[rows]
