"""Numbers of ablations: fresh draws for a piece, effects of its copies, and windows laid over the positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drg_hpc.experiments.sequences import thresholds
from drg_hpc.experiments.tables import Ints
from drg_hpc.rng import key_words, row_keys

Array = NDArray[np.float64]
Codes = NDArray[np.uint8]
_UNKNOWN = 4


def drawn(
    windows: Codes, starts: Ints, frequencies: Sequence[float], *, copies: int, seed: int, row: int
) -> Codes:  # fmt: skip
    """Fresh bases for pieces (n, W) of one width, (n, copies, W); unknown bases stay.

    Random numbers depend on the seed, the row, the piece (start and width) and the number of the copy alone.

    Parameters
    ----------
    windows : what is there
    starts : (n,) in the sequence
    frequencies : of A, C, G, T
    row : number that random numbers depend on
    """
    width, (limits,) = windows.shape[1], thresholds([frequencies])
    found = np.empty((len(windows), copies, width), np.uint8)
    for copy in range(copies):
        keys = row_keys(seed, starts, f"ablate:background:{width}:{copy}", step=row)
        bits = (key_words(keys, width) >> np.uint64(11)).astype(np.int64)
        bases = (bits[..., None] >= limits).sum(axis=-1).astype(np.uint8)
        found[:, copy] = np.where(windows == _UNKNOWN, windows, bases)
    return found


@dataclass(frozen=True)
class Effects:
    """Of n pieces on k values.

    Attributes
    ----------
    mean : (n, k), mean over copies of the value of the copy minus that of the sequence; over models the mean of that
    sd : (n, k), over copies, of the mean over models, divided by copies - 1; NaN of one copy
    model_sd : (n, k), of the effect over models, divided by their number (as drg-predict does); None where there is one
    """

    mean: Array
    sd: Array
    model_sd: Array | None


def effects_of(values: Array, original: Array) -> Effects:
    """Effects of pieces.

    Parameters
    ----------
    values : of the copies, (models, n, copies, k)
    original : of the sequence, (models, k)
    """
    by_model = values.mean(axis=2) - original[:, None]
    copies, models = values.shape[2], len(values)
    over_models = values.mean(axis=0)
    sd = over_models.std(axis=1, ddof=1) if copies > 1 else np.full(over_models[:, 0].shape, np.nan)
    return Effects(by_model.mean(axis=0), sd, by_model.std(axis=0) if models > 1 else None)


def over_positions(effects: Array, starts: Ints, *, width: int, length: int) -> Array:
    """Mean effect of the windows that cover each position, (k, length); NaN where none does.

    Parameters
    ----------
    effects : (n, k) of windows of one width
    starts : (n,), each once
    """
    total, count = np.zeros((effects.shape[1], length)), np.zeros(length)
    for offset in range(width):
        total[:, starts + offset] += effects.T
        count[starts + offset] += 1
    with np.errstate(invalid="ignore"):
        found: Array = total / count
    return found
