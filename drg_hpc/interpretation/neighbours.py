"""The k most similar windows of every window without an n x n matrix: cells around pivots, visited nearest first.

Pivots are a seeded draw of windows; a window belongs to the cell of its most similar pivot, and is compared with the
members of its own ``probes`` most similar cells. So about ``probes / pivots`` of all pairs are computed, cell by cell,
and the cells are shared out as tasks.

Cells are also left out by a bound that loses nothing. Windows continue with zeros, so shifts and strands are
isometries, and the angle of the best alignment, taken over all offsets, obeys the triangle inequality. No member of a
cell can be nearer than ``angle(window, pivot) - radius of the cell``; if the k-th neighbour found so far is nearer than
that, the cell is not searched (cosine only; the pearson union has no such bound). The own cell is searched before the
others, so that there is a k-th neighbour. With ``probes`` = ``pivots`` the cosine answer is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import UsageError
from drg_hpc.interpretation.pool import Pool
from drg_hpc.interpretation.products import best_values
from drg_hpc.interpretation.similarity import Float32, Metric
from drg_hpc.rng import row_generator

_BLOCK = 2048
_TASKS, _UNDER_WAY = 64, 8
_ROUNDING = 1e-3
"""Radians that float32 may be wrong by, near angle 0."""


@dataclass(frozen=True)
class Neighbours:
    """Most similar windows, best first.

    Parameters
    ----------
    index : (n, k) int32, -1 where fewer were found
    value : (n, k) similarity, -inf there
    compared : pairs computed, as a share of n**2
    """

    index: NDArray[np.int32]
    value: Float32
    compared: float


@dataclass(frozen=True)
class NeighbourRule:
    """How to search.

    Parameters
    ----------
    k : neighbours of a window
    pivots, probes : cells, and how many of them a window is compared with at most
    """

    k: int
    min_overlap: int
    pivots: int
    probes: int
    seed: int
    metric: Metric = "cosine"
    device: str = "cpu"


Found = tuple[NDArray[np.int64], NDArray[np.int32], Float32]
"""Rows of windows, and their best neighbours: (rows,), (rows, k), (rows, k)."""
Job = tuple[NDArray[np.int64], NDArray[np.int32]]
"""Rows to compare with the members of one cell."""


def nearest_neighbours(windows: Float32, rule: NeighbourRule, *, pool: Pool, task: Any = None) -> Neighbours:
    """Neighbours of all windows (n, 4, W), itself not counted; ties go to the lower number.

    Parameters
    ----------
    task : a task of ``pool`` that gives the same windows, so that they need not travel with every task

    Raises
    ------
    UsageError : k, pivots or probes do not fit the number of windows
    """
    n = len(windows)
    if not (1 <= rule.k < n and 1 <= rule.probes <= rule.pivots <= n):
        numbers = f"{rule.k} neighbours, {rule.probes} of {rule.pivots} cells, {n} windows"
        raise UsageError(f"neighbour search with {numbers}", fix="k below the windows, probes <= pivots <= windows")
    source = windows if task is None else task
    cells = _Cells.of(source, n, rule, pool)
    index, value = np.full((n, rule.k), -1, np.int32), np.full((n, rule.k), -np.inf, np.float32)
    pairs = 0
    for levels in (slice(0, 1), slice(1, rule.probes)):
        jobs = [job for job in cells.jobs(levels, value[:, -1], bound=rule.metric == "cosine") if len(job[0])]
        pairs += sum(len(rows) * len(members) for rows, members in jobs)
        size = -(-len(jobs) // _TASKS) or 1
        parts = [jobs[i : i + size] for i in range(0, len(jobs), size)]
        for first in range(0, len(parts), _UNDER_WAY):
            some = [pool.submit(search_cells, source, part, rule) for part in parts[first : first + _UNDER_WAY]]
            for rows, found, near in pool.collect(some):
                both = np.hstack([index[rows], found]), np.hstack([value[rows], near])
                index[rows], value[rows] = _best(*both, rule.k)
    return Neighbours(index, value, pairs / n**2)


def pivot_block(windows: Float32, chosen: NDArray[np.int64], first: int, rule: NeighbourRule) -> Any:
    """Cells of up to 2,048 windows from ``first`` on, nearest first, and the angles to their pivots; a task."""
    part = windows[first : first + _BLOCK]
    least = 1 if rule.metric == "cosine" else rule.min_overlap  # the bound needs all offsets
    value = best_values(part, windows[chosen], metric=rule.metric, min_overlap=least, device=rule.device)
    near = np.argsort(-value, axis=1, kind="stable")[:, : rule.probes]
    return near.astype(np.int32), np.arccos(np.clip(np.take_along_axis(value, near, axis=1), -1, 1))


def search_cells(windows: Float32, jobs: list[Job], rule: NeighbourRule) -> Found:
    """The best neighbours of the jobs' rows among the jobs' members; a task."""
    rows = np.unique(np.concatenate([job[0] for job in jobs]))
    index, value = np.full((len(rows), rule.k), -1, np.int32), np.full((len(rows), rule.k), -np.inf, np.float32)
    for wanted, members in jobs:
        for i in range(0, len(wanted), _BLOCK):
            part = wanted[i : i + _BLOCK]
            found = best_values(
                windows[part], windows[members], metric=rule.metric, min_overlap=rule.min_overlap, device=rule.device
            )
            found[part[:, None] == members[None, :]] = -np.inf  # a window is not its own neighbour
            names, found = _top(found, members, rule.k)
            at = np.searchsorted(rows, part)
            index[at], value[at] = _best(np.hstack([index[at], names]), np.hstack([value[at], found]), rule.k)
    return rows, index, value


@dataclass(frozen=True)
class _Cells:
    """``near`` (n, probes) the cells of each window by ``angle`` (n, probes) to the pivot; ``members`` and ``radius``
    (largest angle) of each cell."""

    near: NDArray[np.int32]
    angle: Float32
    members: list[NDArray[np.int32]]
    radius: Float32

    @classmethod
    def of(cls, windows: Any, n: int, rule: NeighbourRule, pool: Pool) -> _Cells:
        chosen = np.sort(row_generator(rule.seed, 0, "neighbour pivots").choice(n, size=rule.pivots, replace=False))
        blocks = pool.collect([pool.submit(pivot_block, windows, chosen, i, rule) for i in range(0, n, _BLOCK)])
        near, angle = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        members = [np.flatnonzero(near[:, 0] == cell).astype(np.int32) for cell in range(rule.pivots)]
        radius = np.array([angle[rows, 0].max() if len(rows) else 0 for rows in members], np.float32)
        return cls(near, angle, members, radius)

    def jobs(self, levels: slice, least: Float32, *, bound: bool) -> Iterator[Job]:
        """Per cell: the windows that have it among these levels, less those that the bound leaves out.

        Parameters
        ----------
        least : (n,) similarity of the k-th neighbour so far, -inf where there is none
        """
        near, angle = self.near[:, levels], self.angle[:, levels]
        order = np.argsort(near, axis=None, kind="stable")
        bounds = np.searchsorted(near.reshape(-1)[order], np.arange(len(self.members) + 1))
        flat_angle = np.ascontiguousarray(angle).reshape(-1)
        for cell, members in enumerate(self.members):
            places = order[bounds[cell] : bounds[cell + 1]]
            rows = places // max(1, near.shape[1])
            if bound:
                reach = flat_angle[places] - self.radius[cell] - _ROUNDING
                rows = rows[reach <= np.arccos(np.clip(least[rows], -1, 1))]
            yield (rows if len(members) else rows[:0]), members


def _top(found: Float32, members: NDArray[np.int32], k: int) -> tuple[NDArray[np.int32], Float32]:
    """The best k of each row, all where there are fewer."""
    if found.shape[1] <= k:
        return np.broadcast_to(members, found.shape), found
    least = -np.partition(-found, k - 1, axis=1)[:, k - 1 : k]
    better, tied = found > least, found == least
    room = k - better.sum(axis=1, keepdims=True)
    chosen = better | (tied & (np.cumsum(tied, axis=1) <= room))  # of equal ones the first, as members ascend
    best = np.nonzero(chosen)[1].reshape(len(found), k)
    return members[best], np.take_along_axis(found, best, axis=1)


def _best(indices: NDArray[np.int32], values: Float32, k: int) -> tuple[NDArray[np.int32], Float32]:
    """The best k of each row, best first."""
    indices = np.where(np.isneginf(values), np.int32(-1), indices)
    order = np.lexsort((indices, -values), axis=1)[:, :k]
    return np.take_along_axis(indices, order, axis=1), np.take_along_axis(values, order, axis=1)
