"""Values of labels; their noise depends on (seed, row) alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from drg_hpc.experiments.labels import Effects
from drg_hpc.genome.random_words import compiled, uniform
from drg_hpc.rng import row_keys

_STREAM = "simulate-noise"


@compiled
def _normal(keys: NDArray[np.uint64], out: NDArray[np.float64]) -> None:
    """The polar method (Marsaglia and Bray 1964), from each key's own stream."""
    state = np.empty(1, np.uint64)
    for i in range(len(keys)):
        state[0] = keys[i]
        square = 0.0
        while square == 0.0 or square >= 1.0:
            a = 2.0 * uniform(state) - 1.0
            b = 2.0 * uniform(state) - 1.0
            square = a * a + b * b
        out[i] = a * math.sqrt(-2.0 * math.log(square) / square)


def normal_noise(rows: NDArray[np.int64], *, seed: int, stream: str) -> NDArray[np.float64]:
    """Standard normal numbers (rows,) of global rows."""
    out = np.empty(len(rows), np.float64)
    _normal(row_keys(seed, rows, stream), out)
    return out


def label_values(
    effects: Sequence[Effects],
    *,
    present: NDArray[np.bool_],
    holds: NDArray[np.bool_],
    rows: NDArray[np.int64],
    seed: int,
) -> NDArray[np.float32]:
    """Labels (rows, tracks): of the rule, one track of 0 and 1, where there are no effects.

    Parameters
    ----------
    present : (rows, motifs) whether a motif is in the sequence
    holds : (rows,) whether the rule holds
    rows : global row numbers, which the noise depends on
    """
    if not effects:
        return holds.astype(np.float32)[:, None]
    found = np.zeros((len(rows), len(effects)), np.float64)
    for number, item in enumerate(effects):
        for motif, weight in enumerate(item.weights):
            found[:, number] += weight * present[:, motif]
        found[:, number] += item.synergy * holds
        if item.noise:
            found[:, number] += item.noise * normal_noise(rows, seed=seed, stream=f"{_STREAM}/{number}")
    return found.astype(np.float32)
