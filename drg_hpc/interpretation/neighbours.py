"""The k most similar windows of every window without an n x n matrix: cells around pivots, visited nearest first.

Pivots are a seeded draw of windows; a window belongs to the cell of its most similar pivot, and is compared with the
members of its own ``probes`` most similar cells. So about ``probes / pivots`` of all pairs are computed.

Cells are also left out by a bound that loses nothing. Windows continue with zeros, so shifts and strands are
isometries, and the angle of the best alignment, taken over all offsets, obeys the triangle inequality. No member of a
cell can be nearer than ``angle(window, pivot) - radius of the cell``; if the k-th neighbour found so far is nearer than
that, the cell is not searched (cosine only; the pearson union has no such bound). With ``probes`` = ``pivots`` the
cosine answer is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import UsageError
from drg_hpc.interpretation.products import best_values
from drg_hpc.interpretation.similarity import Float32, Metric
from drg_hpc.rng import row_generator

_BLOCK = 2048
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


def nearest_neighbours(windows: Float32, rule: NeighbourRule) -> Neighbours:
    """Neighbours of all windows (n, 4, W), itself not counted; ties go to the lower number.

    Raises
    ------
    UsageError : k, pivots or probes do not fit the number of windows
    """
    n = len(windows)
    if not (1 <= rule.k < n and 1 <= rule.probes <= rule.pivots <= n):
        numbers = f"{rule.k} neighbours, {rule.probes} of {rule.pivots} cells, {n} windows"
        raise UsageError(f"neighbour search with {numbers}", fix="k below the windows, probes <= pivots <= windows")
    cells = _Cells.of(windows, rule)
    index, value = np.full((n, rule.k), -1, np.int32), np.full((n, rule.k), -np.inf, np.float32)
    pairs = 0
    for probe in range(rule.probes):
        order = np.argsort(cells.near[:, probe], kind="stable")
        bounds = np.searchsorted(cells.near[order, probe], np.arange(rule.pivots + 1))
        for cell in range(rule.pivots):
            members = cells.members[cell]
            rows = order[bounds[cell] : bounds[cell + 1]]
            if rule.metric == "cosine" and len(rows):
                least = cells.angle[rows, probe] - cells.radius[cell] - _ROUNDING
                rows = rows[least <= np.arccos(np.clip(value[rows, -1], -1, 1))]
            if not len(rows) or not len(members):
                continue
            for i in range(0, len(rows), _BLOCK):
                part = rows[i : i + _BLOCK]
                found = best_values(windows[part], windows[members], metric=rule.metric, min_overlap=rule.min_overlap)
                index[part], value[part] = _join(part, members, found, index[part], value[part])
            pairs += len(rows) * len(members)
    return Neighbours(index, value, pairs / n**2)


@dataclass(frozen=True)
class _Cells:
    """``near`` (n, probes) the cells of each window by ``angle`` (n, probes) to the pivot; ``members`` and ``radius``
    (largest angle) of each cell."""

    near: NDArray[np.int32]
    angle: Float32
    members: list[NDArray[np.int32]]
    radius: Float32

    @classmethod
    def of(cls, windows: Float32, rule: NeighbourRule) -> _Cells:
        n = len(windows)
        chosen = np.sort(row_generator(rule.seed, 0, "neighbour pivots").choice(n, size=rule.pivots, replace=False))
        near, angle = np.empty((n, rule.probes), np.int32), np.empty((n, rule.probes), np.float32)
        least = 1 if rule.metric == "cosine" else rule.min_overlap  # the bound needs all offsets
        for i in range(0, n, _BLOCK):
            part = slice(i, i + _BLOCK)
            value = best_values(windows[part], windows[chosen], metric=rule.metric, min_overlap=least)
            order = np.argsort(-value, axis=1, kind="stable")[:, : rule.probes]
            near[part] = order
            angle[part] = np.arccos(np.clip(np.take_along_axis(value, order, axis=1), -1, 1))
        members = [np.flatnonzero(near[:, 0] == cell).astype(np.int32) for cell in range(rule.pivots)]
        radius = np.array([angle[rows, 0].max() if len(rows) else 0 for rows in members], np.float32)
        return cls(near, angle, members, radius)


def _join(
    rows: NDArray[np.int64], members: NDArray[np.int32], found: Float32, index: NDArray[np.int32], value: Float32
) -> tuple[NDArray[np.int32], Float32]:
    """The best k of what was there and what was found; a window is not its own neighbour."""
    k = index.shape[1]
    found[rows[:, None] == members[None, :]] = -np.inf
    if found.shape[1] > k:
        best = np.sort(np.argpartition(-found, k - 1, axis=1)[:, :k], axis=1)
        found, names = np.take_along_axis(found, best, axis=1), members[best]
    else:
        names = np.broadcast_to(members, found.shape)
    values, indices = np.hstack([value, found]), np.hstack([index, names])
    indices = np.where(np.isneginf(values), np.int32(-1), indices)
    order = np.lexsort((indices, -values), axis=1)[:, :k]
    return np.take_along_axis(indices, order, axis=1), np.take_along_axis(values, order, axis=1)
