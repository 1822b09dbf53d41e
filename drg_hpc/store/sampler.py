"""The order in which training sees rows: a function of (seed, epoch) alone, so any number of ranks continues it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.rng import row_generator

Array = NDArray[Any]
_STREAM = "epoch-order"


def epoch_order(n: int, seed: int, epoch: int, stream: str = _STREAM) -> NDArray[np.int64]:
    """Permutation of ``0..n-1`` for an epoch."""
    return row_generator(seed, epoch, stream).permutation(n)


@dataclass(frozen=True)
class Source:
    """Rows of one store.

    Parameters
    ----------
    rows : how many
    share : of the samples of an epoch, relative to the other sources
    weights : (rows,) not negative: rows are drawn with replacement in these proportions; None: each row in turn
    """

    rows: int
    share: float = 1.0
    weights: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Order:
    """The samples of an epoch.

    Parameters
    ----------
    positions : int64 (samples,), into the rows of all sources, one source after the other
    repeats : int64 (samples,), how often the same row came before in this epoch; None: each comes once
    """

    positions: NDArray[np.int64]
    repeats: NDArray[np.int64] | None


def shares(sources: Sequence[Source], samples: int) -> list[int]:
    """Samples of each source, in proportion to its share; what is left over by rounding goes to the largest rests."""
    exact = np.array([source.share for source in sources], float)
    exact *= samples / exact.sum()
    counts = np.floor(exact).astype(np.int64)
    rests = np.argsort(counts - exact, kind="stable")
    counts[rests[: samples - int(counts.sum())]] += 1
    found: list[int] = counts.tolist()
    return found


class Sampler:
    """Samples of every epoch.

    Parameters
    ----------
    sources : at least one
    seed : the user's
    samples : of an epoch; None: as many as all sources have rows. A source without weights gives each of its rows
        once, then each once more in another order, and so on.
    """

    def __init__(self, sources: Sequence[Source], *, seed: int, samples: int | None = None) -> None:
        self.samples = sum(source.rows for source in sources) if samples is None else samples
        self._sources, self._seed = list(sources), seed
        self._counts = shares(sources, self.samples)
        self._sums = [None if s.weights is None else np.cumsum(s.weights) for s in sources]

    def epoch(self, epoch: int) -> Order:
        """The samples of an epoch, shuffled over all sources."""
        drawn, first = [], 0
        for number, source in enumerate(self._sources):
            drawn.append(first + self._draw(number, epoch))
            first += source.rows
        positions = np.concatenate(drawn)
        if len(drawn) > 1:
            positions = positions[epoch_order(len(positions), self._seed, epoch, f"{_STREAM}/mix")]
        once = all(s.weights is None and n <= s.rows for s, n in zip(self._sources, self._counts, strict=True))
        return Order(positions, None if once else count_repeats(positions))

    def _draw(self, number: int, epoch: int) -> NDArray[np.int64]:
        source, count, sums = self._sources[number], self._counts[number], self._sums[number]
        stream = _STREAM if number == 0 else f"{_STREAM}/{number}"
        if sums is not None:
            uniform = row_generator(self._seed, epoch, f"{stream}/weighted").random(count)
            last = int(np.searchsorted(sums, sums[-1]))  # the last row that has a weight: rounding may pass it
            drawn: NDArray[np.int64] = np.searchsorted(sums, uniform * sums[-1], side="right")
            return np.minimum(drawn, last)
        passes = [
            epoch_order(source.rows, self._seed, epoch, f"{stream}/pass-{i}" if i else stream)
            for i in range(-(-count // source.rows))
        ]
        return np.concatenate([np.empty(0, np.int64), *passes])[:count]


def count_repeats(positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each item, how many equal ones come before it."""
    order = np.argsort(positions, kind="stable")
    ranked = positions[order]
    first = np.searchsorted(ranked, ranked, side="left")
    repeats = np.empty(len(positions), np.int64)
    repeats[order] = np.arange(len(positions)) - first
    return repeats


def balance_weights(labels: Array) -> NDArray[np.float64]:
    """Weights that draw rows of label 1 and of label 0 equally often; rows whose label is NaN never.

    Parameters
    ----------
    labels : (rows,) of 0, 1 and NaN, both values among them
    """
    weights = np.zeros(len(labels), np.float64)
    for value in (0.0, 1.0):
        here = labels == value
        weights[here] = 0.5 / here.sum()
    return weights
