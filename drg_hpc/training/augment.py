"""Augmentation and dropout keys: functions of (seed, epoch, global row, repeat), never of batches or processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from drg_hpc.rng import row_key

Array = np.ndarray[Any, Any]


def sample_keys(seed: int, epoch: int, rows: Array, stream: str, repeats: Array | None = None) -> Array:
    """A 64-bit key for each global row in one epoch, uint64: what makes augmentation and dropout independent
    of batches and processes (splitmix64 over :func:`drg_hpc.rng.row_key`).

    Parameters
    ----------
    repeats : how often each row came before in the epoch; None: no row comes twice
    """
    counters = (rows.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    if repeats is not None:
        counters += repeats.astype(np.uint64) * np.uint64(0xD1342543DE82EF95)
    z = counters + np.uint64(row_key(seed, epoch, stream))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Array = z ^ (z >> np.uint64(31))
    return mixed


def choose_flips(seed: int, epoch: int, rows: Array, probability: float, repeats: Array | None = None) -> Array:
    """Which rows are trained on as their reverse complement, bool (rows,)."""
    keys = sample_keys(seed, epoch, rows, "reverse-complement", repeats)
    flips: Array = (keys >> np.uint64(11)).astype(np.float64) / 2.0**53 < probability
    return flips


def choose_shifts(seed: int, epoch: int, rows: Array, largest: int, repeats: Array | None = None) -> Array:
    """By how many bases the window of each row is moved, int64 (rows,), uniform in [-largest, largest]."""
    keys = sample_keys(seed, epoch, rows, "jitter", repeats) >> np.uint64(32)
    shifts: Array = ((keys * np.uint64(2 * largest + 1)) >> np.uint64(32)).astype(np.int64) - largest
    return shifts


@dataclass(frozen=True)
class Augmentation:
    """How rows are varied.

    Parameters
    ----------
    seed : the user's
    reverse_complement : probability
    jitter : bases by which a window is moved at most; all inputs of a row move together
    """

    seed: int
    reverse_complement: float = 0.0
    jitter: int = 0

    def flips(self, epoch: int, rows: Array, repeats: Array | None) -> Array | None:
        """Rows to turn; None: none of them."""
        if not self.reverse_complement:
            return None
        return choose_flips(self.seed, epoch, rows, self.reverse_complement, repeats)

    def shifts(self, epoch: int, rows: Array, repeats: Array | None) -> Array | None:
        """Bases to move by; None: stay."""
        return choose_shifts(self.seed, epoch, rows, self.jitter, repeats) if self.jitter else None
