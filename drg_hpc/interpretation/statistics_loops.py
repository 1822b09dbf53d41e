"""One pass over a block of attributions, compiled: all sums of a track in about the time that reading it takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.interpretation.compiled import compiled

Array = NDArray[Any]


@compiled
def add_block(
    values: Array,
    bits: Array,
    summits: Array,
    shift: int,
    first_bin: int,
    at: Array,
    absolute_at: Array,
    by_distance: Array,
    counts: Array,
    magnitudes: Array,
) -> None:
    """Add a block to sums by position, by distance to the summit, and by bin of magnitude.

    Parameters
    ----------
    values, bits : (n, L) float32, and the same as uint32
    summits : (n,) position of the summit
    shift, first_bin : a magnitude's bin is its bits without the sign, shifted right, minus ``first_bin`` plus 1
    at, absolute_at : (L,) float64
    by_distance : (2L-1,) float64, index L-1 is the summit itself
    counts, magnitudes : (bins,) int64 and float64
    """
    rows, length = values.shape
    last = len(counts) - 1
    for i in range(rows):
        middle = length - 1 - summits[i]
        for j in range(length):
            value = np.float64(values[i, j])
            magnitude = abs(value)
            at[j] += value
            absolute_at[j] += magnitude
            by_distance[middle + j] += magnitude
            index = np.int64((bits[i, j] & np.uint32(0x7FFFFFFF)) >> np.uint32(shift)) - first_bin + 1
            if index < 0:
                index = np.int64(0)
            elif index > last:
                index = np.int64(last)
            counts[index] += 1
            magnitudes[index] += magnitude


@compiled
def squares_from(values: Array, mean: float) -> float:
    """Sum of squared deviations of a block (n, L) from ``mean``."""
    total = 0.0
    for i in range(values.shape[0]):
        part = 0.0
        for j in range(values.shape[1]):
            apart = np.float64(values[i, j]) - mean
            part += apart * apart
        total += part
    return total


@compiled
def add_kmers(values: Array, codes: Array, k: int, weights: Array) -> None:
    """Add the sum of magnitudes over each k-mer to the weight of that k-mer.

    Parameters
    ----------
    values : (n, L) float32
    codes : (n, L-k+1) number of the k-mer that starts there, -1 where one of its bases is unknown
    weights : (4^k,) float64
    """
    for i in range(values.shape[0]):
        for j in range(codes.shape[1]):
            if codes[i, j] >= 0:
                total = 0.0
                for shift in range(k):
                    total += abs(np.float64(values[i, j + shift]))
                weights[codes[i, j]] += total


@compiled
def kmer_codes(bases: Array, k: int, codes: Array) -> None:
    """Number of the k-mer that starts at each position, its first base the most significant digit in base four.

    Parameters
    ----------
    bases : (n, L) 0 to 3 for A, C, G, T, else 4
    codes : (n, L-k+1) int32 to fill, -1 where a base is unknown
    """
    top = np.int64(4) ** np.int64(k)
    for i in range(bases.shape[0]):
        code, known = np.int64(0), 0
        for j in range(bases.shape[1]):
            base = np.int64(bases[i, j])
            known = known + 1 if base < 4 else 0
            code = (code * 4 + (base if base < 4 else 0)) % top
            if j >= k - 1:
                codes[i, j - k + 1] = code if known >= k else -1
