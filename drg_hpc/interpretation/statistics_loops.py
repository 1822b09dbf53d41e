"""One pass over a block of attributions, compiled: all sums of a track in less time than reading it takes.

Loops over positions that the compiler can make wide without reordering a sum stand apart from those that scatter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.compiled import compiled

Array = NDArray[Any]


@compiled
def add_block(
    values: Array, summits: Array, at: Array, absolute_at: Array, by_distance: Array, magnitudes: Array
) -> None:
    """Add a block to sums by position and by distance to the summit.

    Parameters
    ----------
    values : (n, L) float32
    summits : (n,) position of the summit
    at, absolute_at : (L,) float64
    by_distance : (2L-1,) float64, index L-1 is the summit itself
    magnitudes : (n, L) float64, to be filled
    """
    rows, length = values.shape
    for i in range(rows):
        line = magnitudes[i]
        for j in range(length):
            value = np.float64(values[i, j])
            magnitude = abs(value)
            line[j] = magnitude
            at[j] += value
            absolute_at[j] += magnitude
        around = by_distance[length - 1 - summits[i] : 2 * length - 1 - summits[i]]
        for j in range(length):
            around[j] += line[j]


@compiled
def add_bins(bits: Array, magnitudes: Array, shift: int, first_bin: int, counts: Array, sums: Array) -> None:
    """Add a block to the histogram of magnitudes.

    Parameters
    ----------
    bits, magnitudes : (n, L) the float32 as uint32, and their magnitudes as float64
    shift, first_bin : a magnitude's bin is its bits without the sign, shifted right, minus ``first_bin`` plus 1
    counts, sums : (bins,) int64 and float64
    """
    last, first, places = np.int32(len(counts) - 1), np.int32(first_bin - 1), np.uint32(shift)
    bins = np.empty(bits.shape[1], np.uint32)
    for i in range(bits.shape[0]):
        for j in range(bits.shape[1]):
            index = np.int32((bits[i, j] & np.uint32(0x7FFFFFFF)) >> places) - first
            bins[j] = np.uint32(min(max(index, np.int32(0)), last))
        for j in range(bits.shape[1]):
            counts[bins[j]] += 1
            sums[bins[j]] += magnitudes[i, j]


@compiled
def squares_from(values: Array, mean: float) -> float:
    """Sum of squared deviations of a block (n, L) from ``mean``: by position, then over these."""
    by_position = np.zeros(values.shape[1])
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            apart = np.float64(values[i, j]) - mean
            by_position[j] += apart * apart
    total = 0.0
    for j in range(values.shape[1]):
        total += by_position[j]
    return total


@compiled
def subtract_means(values: Array, means: Array, out: Array) -> None:
    """Deviations (T, n) float64 of ``values`` (T, n) float32 from ``means`` (T,)."""
    for i in range(values.shape[0]):
        line, mean, found = values[i], means[i], out[i]
        for j in range(values.shape[1]):
            found[j] = np.float64(line[j]) - mean


@compiled
def add_kmers(magnitudes: Array, codes: Array, k: int, weights: Array) -> None:
    """Add the sum of magnitudes over each k-mer to the weight of that k-mer.

    Parameters
    ----------
    magnitudes : (n, L) float64
    codes : (n, L-k+1) uint32 number of the k-mer that starts there, 4^k where one of its bases is unknown
    weights : (4^k + 1,) float64
    """
    count = codes.shape[1]
    sums = np.empty(count)
    for i in range(codes.shape[0]):
        for j in range(count):
            sums[j] = magnitudes[i, j]
        for shift in range(1, k):
            shifted = magnitudes[i, shift : shift + count]
            for j in range(count):
                sums[j] += shifted[j]
        for j in range(count):
            weights[codes[i, j]] += sums[j]


@compiled
def read_bases(onehot: Array, bases: Array) -> None:
    """Bases (n, L) int8 of sequences (n, 4, L): 0 to 3 for A, C, G, T, 4 where there is none."""
    for i in range(onehot.shape[0]):
        a, c, g, t = onehot[i, 0], onehot[i, 1], onehot[i, 2], onehot[i, 3]
        for j in range(onehot.shape[2]):
            bases[i, j] = min(max(4 - 4 * a[j] - 3 * c[j] - 2 * g[j] - t[j], 0), 4)


@compiled
def count_bases(onehot: Array, bases: Array, known: Array, pairs: Array) -> None:
    """Add sequences to the numbers of bases and of pairs of neighbours.

    Parameters
    ----------
    onehot, bases : (n, 4, L) and (n, L) int8
    known : (4, L) int64
    pairs : (25,) int64, of a base in 0 to 4 times five plus the next one
    """
    for i in range(onehot.shape[0]):
        for base in range(4):
            line, total = onehot[i, base], known[base]
            for j in range(onehot.shape[2]):
                total[j] += np.int64(line[j])
        for j in range(onehot.shape[2] - 1):
            pairs[np.uint32(bases[i, j] * 5 + bases[i, j + 1])] += 1


@compiled
def count_kmers(codes: Array, counts: Array) -> None:
    """Add the k-mers (n, L-k+1) uint32 to their numbers (4^k + 1,) int64."""
    for i in range(codes.shape[0]):
        for j in range(codes.shape[1]):
            counts[codes[i, j]] += 1


@compiled
def kmer_codes(bases: Array, k: int, codes: Array) -> None:
    """Number of the k-mer that starts at each position, its first base the most significant digit in base four.

    Parameters
    ----------
    bases : (n, L) 0 to 3 for A, C, G, T, else 4
    codes : (n, L-k+1) uint32 to fill, 4^k where a base is unknown
    """
    size = np.int64(1) << np.int64(2 * k)
    for i in range(bases.shape[0]):
        code, known = np.int64(0), 0
        for j in range(bases.shape[1]):
            base = np.int64(bases[i, j])
            known = known + 1 if base < 4 else 0
            code = ((code << 2) | (base & 3)) & (size - 1)
            if j >= k - 1:
                codes[i, j - k + 1] = np.uint32(code if known >= k else size)
