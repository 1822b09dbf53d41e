"""Order statistics and counts over sorted arrays that are never joined: they may be mapped from files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
_TOP = np.uint64(1 << 63)


def _keys_to_values(keys: NDArray[np.uint64]) -> Float64:
    """The doubles whose order is that of the keys."""
    bits = np.where(keys >= _TOP, keys ^ _TOP, ~keys)
    return bits.view(np.float64)


class SortedPieces:
    """Several ascending float64 arrays seen as one.

    Parameters
    ----------
    pieces : (n_i,) each, ascending, finite
    looked_at : called with a piece after each search in it, so that what was mapped for it can be given back
    """

    def __init__(self, pieces: Sequence[Float64], looked_at: Callable[[Float64], None] | None = None) -> None:
        self.pieces = [piece for piece in pieces if len(piece)]
        self._looked_at = looked_at
        self.size = sum(len(piece) for piece in self.pieces)

    def count_below(self, values: Float64) -> NDArray[np.int64]:
        """Numbers below each value."""
        return self._count(values, "left")

    def count_up_to(self, values: Float64) -> NDArray[np.int64]:
        """Numbers up to and with each value."""
        return self._count(values, "right")

    def _count(self, values: Float64, side: Any) -> NDArray[np.int64]:
        total = np.zeros(len(values), np.int64)
        for piece in self.pieces:
            total += np.searchsorted(piece, values, side=side)
            if self._looked_at is not None:
                self._looked_at(piece)
        return total

    def count_absolute_below(self, value: float) -> int:
        """Numbers whose absolute value is below ``value``."""
        return max(0, int(self.count_below(np.array([value]))[0] - self.count_up_to(np.array([-value]))[0]))

    def order(self, ranks: Sequence[int]) -> tuple[float, ...]:
        """The numbers of some ranks, 0 being the smallest."""
        return tuple(self._select(np.asarray(ranks, np.int64), self.count_up_to).tolist())

    def order_absolute(self, rank: int) -> float:
        """The absolute value of some rank, 0 being the smallest."""

        def up_to(values: Float64) -> NDArray[np.int64]:
            return np.where(values < 0, 0, self.count_up_to(values) - self.count_below(-values))

        return float(self._select(np.array([rank]), up_to)[0])

    def _select(self, ranks: NDArray[np.int64], up_to: Callable[[Float64], NDArray[np.int64]]) -> Float64:
        """Smallest doubles that more than ``ranks`` numbers reach, by halving the range of all doubles."""
        if self.size == 0 or (ranks < 0).any() or (ranks >= self.size).any():
            raise IndexError(f"ranks {ranks.tolist()} of {self.size} numbers")
        # From -inf to inf, both ends inclusive.
        low = np.full(len(ranks), ~np.float64(-np.inf).view(np.uint64))
        high = np.full(len(ranks), np.float64(np.inf).view(np.uint64) ^ _TOP)
        while (low < high).any():
            middle = low + (high - low) // np.uint64(2)
            reached = up_to(_keys_to_values(middle)) > ranks
            high, low = np.where(reached, middle, high), np.where(reached, low, np.minimum(middle + np.uint64(1), high))
        return _keys_to_values(low) + 0.0

    def percentiles(self, percents: NDArray[Any], first: int, count: int) -> Float64:
        """Percentiles of the ``count`` numbers from rank ``first`` on, linear as those of numpy, to the last bit."""
        place = (count - 1) * (np.asarray(percents) / 100)
        before = np.floor(place).astype(np.int64)
        after = np.minimum(before + 1, count - 1)
        values = np.array(self.order([*(first + before), *(first + after)]))
        low, high = values[: len(place)], values[len(place) :]
        part, step = place - before, high - low
        return np.asarray(np.where(part >= 0.5, high - step * (1 - part), low + step * part), np.float64)
