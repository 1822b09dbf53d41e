"""Backgrounds that motifs are put into: sequences drawn from an input and shuffled, or random ones.

Which rows are drawn, and how each is shuffled, depends on the seed, the number of the row in its input, the number of
the shuffle and nothing else: more backgrounds, motifs or shards leave those that were there as they were.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drg_hpc.experiments.background import Background
from drg_hpc.experiments.perturb_copies import Codes, replaced
from drg_hpc.genome.onehot import UNKNOWN
from drg_hpc.genome.shuffle import dinucleotide_shuffle
from drg_hpc.rng import row_generator, row_keys

Shuffle = Literal["dinuc", "mono", "none"]
Rows = NDArray[np.int64]


def draw_rows(numbers: Rows, count: int, *, seed: int) -> Rows:
    """Places in ``numbers`` of the rows that are drawn, ascending; all of them where there are no more.

    Parameters
    ----------
    numbers : (n,) of rows in their input
    """
    if len(numbers) <= count:
        return np.arange(len(numbers))
    keys = row_keys(seed, numbers, "marginalize:drawn")
    return np.sort(np.argsort(keys, kind="stable")[:count])


def shuffled(codes: Codes, numbers: Rows, copies: Rows, *, how: Shuffle, seed: int) -> Codes:
    """Backgrounds (n, L) made of sequences (n, L); unknown bases stay where they are.

    Parameters
    ----------
    numbers : (n,) of the rows in their input
    copies : (n,) numbers of the shuffles
    """
    if how == "none" or not len(codes):
        return codes
    if how == "dinuc":
        keys = np.empty(len(codes), np.uint64)
        for copy in np.unique(copies).tolist():
            own = copies == copy
            keys[own] = row_keys(seed, numbers[own], f"marginalize:dinuc:{copy}")
        return dinucleotide_shuffle(codes, keys)
    found = codes.copy()
    for sequence, row, copy in zip(found, numbers.tolist(), copies.tolist(), strict=True):
        known = sequence < UNKNOWN
        sequence[known] = row_generator(seed, row, f"marginalize:mono:{copy}").permutation(sequence[known])
    return found


def random_backgrounds(numbers: Rows, background: Background, *, length: int, seed: int) -> Codes:
    """Backgrounds (n, length) of independent bases or of a chain, each by its number."""
    count = len(numbers)
    codes = np.full((count, length), UNKNOWN, np.uint8)
    spans = np.tile(np.array([0, length], np.int64), (count, 1))
    keys = row_keys(seed, numbers, "marginalize:random")
    return replaced(codes, np.arange(count + 1), spans, background, keys=keys, count=1)[:, 0]
