"""Which windows belong to which centre: the nearest, if it is nearer than shuffled windows come.

Two steps, each with the same rate of windows that chance would bring (:mod:`.shuffled`). Similarity to the centre
first. Then the members that this gives and the shuffled windows nearest to the same centre, all laid over it, are told
apart by a diagonal linear discriminant (Dudoit et al. 2002): cells that the members agree on count more than in a mean.
"""

from __future__ import annotations

from collections.abc import Iterator
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
"""Shuffled windows near a centre, below which their variance says too little for a discriminant."""


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
    discriminate : by the discriminant, where at least 20 shuffled windows are nearest to the centre
    """
    near, by_chance = windows[1], chance[1]
    rows, others = np.flatnonzero(near.label == centre), np.flatnonzero(by_chance.label == centre)
    share = len(near.label) / len(by_chance.label)
    kept = rows[tail_rows(near.value[rows], by_chance.value[others], share=share, rate=rate)]
    if not discriminate or len(kept) < _FEW or len(others) < _FEW:
        return kept
    weight = _discriminant(_moments(*windows, kept), _moments(*chance, others))
    score, chance_score = _scores(*windows, rows, weight), _scores(*chance, others, weight)
    return rows[tail_rows(score, chance_score, share=share, rate=rate)]


def laid_over(windows: Float32, near: Nearest, rows: NDArray[np.int64]) -> Iterator[NDArray[np.float64]]:
    """Some windows over their centre, (block, 4 W), block by block."""
    for i in range(0, len(rows), _BLOCK):
        part = rows[i : i + _BLOCK]
        placed = place(windows[part], near.offset[part], near.flipped[part], width=windows.shape[2])
        yield placed.reshape(len(part), -1)


def _moments(windows: Float32, near: Nearest, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
    """Mean and variance of every cell."""
    total = square = np.zeros(4 * windows.shape[2])
    for block in laid_over(windows, near, rows):
        total, square = total + block.sum(axis=0), square + (block**2).sum(axis=0)
    mean = total / len(rows)
    return mean, np.maximum(square / len(rows) - mean**2, 0)


def _discriminant(members: tuple[NDArray[np.float64], ...], chance: tuple[NDArray[np.float64], ...]) -> Any:
    """Weight of every cell: difference of the means over the mean variance."""
    variance = (members[1] + chance[1]) / 2
    return (members[0] - chance[0]) / np.maximum(variance + _SHRINK * variance.mean(), 1e-30)


def _scores(windows: Float32, near: Nearest, rows: NDArray[np.int64], weight: Any) -> NDArray[np.float64]:
    blocks = [block @ weight for block in laid_over(windows, near, rows)]
    return np.concatenate(blocks) if blocks else np.zeros(0)
