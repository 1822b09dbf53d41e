"""Which windows belong to which centre: the nearest, if it is nearer than shuffled windows come.

Two steps, each with the same rate of windows that chance would bring (:mod:`.shuffled`). Similarity to the centre
first. Then the members that this gives and the shuffled windows nearest to the same centre, all laid over it, are told
apart by a diagonal linear discriminant (Dudoit et al. 2002): cells that the members agree on count more than in a mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.files import failpoint
from drg_hpc.interpretation.pool import Pool
from drg_hpc.interpretation.shuffled import tail_rows
from drg_hpc.interpretation.similarity import Float32, Metric, compare, place

_BLOCK = 8192
_SHRINK = 0.05
"""Share of the mean variance added to every cell's."""
_FEW = 20
"""Members, and shuffled windows near a centre, below which their variance says too little for a discriminant."""


@dataclass(frozen=True)
class Nearest:
    """The most similar centre of each window.

    Parameters
    ----------
    label : (n,) number of the centre
    value : (n,) similarity
    offset, flipped : (n,) how the window lies over it
    """

    label: NDArray[np.int64]
    value: Float32
    offset: NDArray[np.int64]
    flipped: NDArray[np.bool_]


def nearest_block(
    windows: Float32, first: int, end: int, centres: Float32, metric: Metric, min_overlap: int
) -> Nearest:
    """Of rows ``first`` to ``end`` of ``windows``; a task."""
    failpoint("motifs.block")
    found = compare(windows[first:end], centres, metric=metric, min_overlap=min_overlap)
    label = found.value.argmax(axis=1)
    rows = np.arange(end - first)
    offset = found.offset[rows, label].astype(np.int64)
    return Nearest(label, found.value[rows, label], offset, found.flipped[rows, label])


def nearest_centres(
    pool: Pool, windows: Any, count: int, centres: Float32, *, metric: Metric, min_overlap: int
) -> Nearest:
    """Of all windows, in blocks that the pool shares.

    Parameters
    ----------
    windows : (count, 4, W) unit windows, or a task that gives them
    """
    blocks = pool.collect(
        [
            pool.submit(nearest_block, windows, i, min(i + _BLOCK, count), centres, metric, min_overlap)
            for i in range(0, count, _BLOCK)
        ]
    )
    names = ("label", "value", "offset", "flipped")
    return Nearest(*(np.concatenate([getattr(block, name) for block in blocks]) for name in names))


def likely_members(
    windows: tuple[Float32, Nearest], chance: tuple[Float32, Nearest], centre: int, *, rate: float, discriminate: bool
) -> NDArray[np.int64]:
    """Windows of a centre, ascending, of which a share of at most ``rate`` is expected by chance.

    Parameters
    ----------
    windows, chance : real and shuffled unit windows (n, 4, W), (m, 4, W), and their nearest centres
    discriminate : by the discriminant, where there are 20 members by similarity and 20 shuffled windows near the centre
    """
    near, by_chance = windows[1], chance[1]
    rows, others = np.flatnonzero(near.label == centre), np.flatnonzero(by_chance.label == centre)
    share = len(near.label) / len(by_chance.label)
    kept = rows[tail_rows(near.value[rows], by_chance.value[others], share=share, rate=rate)]
    if not discriminate or len(kept) < _FEW or len(others) < _FEW:
        return kept
    inside, outside = _Moments.of(*windows, kept), _Moments.of(*chance, others)
    belongs = np.isin(rows, kept)
    score = _scores(*windows, rows, lambda block, at: (inside.without(block, belongs[at]), outside.whole))
    chance_score = _scores(*chance, others, lambda block, at: (inside.whole, outside.without(block, None)))
    return rows[tail_rows(score, chance_score, share=share, rate=rate)]


def laid_over(windows: Float32, near: Nearest, rows: NDArray[np.int64]) -> Iterator[NDArray[np.float64]]:
    """Some windows over their centre, (block, 4 W), block by block."""
    for i in range(0, len(rows), _BLOCK):
        part = rows[i : i + _BLOCK]
        placed = place(windows[part], near.offset[part], near.flipped[part], width=windows.shape[2])
        yield placed.reshape(len(part), -1)


Pair = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Mean and variance of every cell, of all windows or of all but one in each row."""


@dataclass(frozen=True)
class _Moments:
    """Sums over windows laid over a centre, (4 W,) each, and their number."""

    total: NDArray[np.float64]
    square: NDArray[np.float64]
    count: int

    @classmethod
    def of(cls, windows: Float32, near: Nearest, rows: NDArray[np.int64]) -> _Moments:
        total = square = np.zeros(4 * windows.shape[2])
        for block in laid_over(windows, near, rows):
            total, square = total + block.sum(axis=0), square + (block**2).sum(axis=0)
        return cls(total, square, len(rows))

    @property
    def whole(self) -> Pair:
        mean = self.total / self.count
        return mean, np.maximum(self.square / self.count - mean**2, 0)

    def without(self, block: NDArray[np.float64], belongs: NDArray[np.bool_] | None) -> Pair:
        """For each window of a block the moments without itself, if it is among the sums (None: all are)."""
        own = np.ones((len(block), 1)) if belongs is None else belongs[:, None].astype(np.float64)
        left = self.count - own
        mean = (self.total - own * block) / left
        return mean, np.maximum((self.square - own * block**2) / left - mean**2, 0)


def _scores(
    windows: Float32, near: Nearest, rows: NDArray[np.int64], moments: Callable[[NDArray[np.float64], slice], Any]
) -> NDArray[np.float64]:
    """Each window's cells, weighted by difference of the means over the mean variance.

    A window takes no part in the moments that it is judged by: else chance would look less like the members than it is.
    """
    found, at = [], 0
    for block in laid_over(windows, near, rows):
        members, others = moments(block, slice(at, at + len(block)))
        variance = (members[1] + others[1]) / 2
        spread = np.maximum(variance + _SHRINK * variance.mean(axis=-1, keepdims=True), 1e-30)
        found.append((block * ((members[0] - others[0]) / spread)).sum(axis=1))
        at += len(block)
    return np.concatenate(found) if found else np.zeros(0)
