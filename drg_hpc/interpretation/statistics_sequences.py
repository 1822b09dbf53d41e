"""What drg-stats counts of sequences: bases, dinucleotides, k-mers, and how often each distance to a summit occurs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drg_hpc.interpretation.statistics_loops import count_bases, count_kmers, kmer_codes, read_bases


@dataclass(frozen=True)
class Composition:
    """Sequences of some regions.

    Parameters
    ----------
    regions, left_out : counted, and not counted since they were not kept
    bases : (5, L) A, C, G, T and everything else by position
    pairs : (4, 4) a base and the next one, where both are known
    distances : (2L-1,) bases at each distance to their region's summit, from -(L-1) on
    kmers : (4^k,) occurrences, (0,) where none are wanted
    """

    regions: int
    left_out: int
    bases: NDArray[np.int64]
    pairs: NDArray[np.int64]
    distances: NDArray[np.int64]
    kmers: NDArray[np.int64]


@dataclass(frozen=True)
class Sequences:
    """Sequences of one block of rows.

    Parameters
    ----------
    onehot : (n, 4, L)
    bases : (n, L) 0 to 3, else 4
    codes : (n, L-k+1) numbers of k-mers, 4^k with an unknown base; (n, 0) where none are wanted
    summits : (n,) positions
    """

    onehot: NDArray[np.int8]
    bases: NDArray[np.int8]
    codes: NDArray[np.uint32]
    summits: NDArray[np.int64]


def read_sequences(onehot: NDArray[np.int8], *, summits: NDArray[np.int64] | None = None, kmer: int = 0) -> Sequences:
    """Bases and k-mers of a block.

    Parameters
    ----------
    onehot : (n, 4, L)
    summits : (n,) positions; None, or a negative one: the centre, L // 2
    kmer : length of k-mers, 0 for none
    """
    rows, _, length = onehot.shape
    bases = np.empty((rows, length), np.int8)
    read_bases(onehot, bases)
    codes = np.empty((rows, max(length - kmer + 1, 0) if kmer else 0), np.uint32)
    if codes.size:
        kmer_codes(bases, kmer, codes)
    return Sequences(onehot, bases, codes, fill_summits(summits, rows, length))


def fill_summits(summits: NDArray[np.int64] | None, rows: int, length: int) -> NDArray[np.int64]:
    """Positions of the summits, the centre where none is known or it lies outside of the row."""
    if summits is None:
        return np.full(rows, length // 2, np.int64)
    found = np.asarray(summits, np.int64)
    return np.where((found < 0) | (found >= length), length // 2, found)


def count_distances(summits: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """(2L-1,) bases at each distance, from -(L-1) on; every row has distances -summit to L-1-summit."""
    starts = np.bincount(length - 1 - summits, minlength=2 * length)
    ends = np.bincount(2 * length - 1 - summits, minlength=2 * length)
    return np.asarray(np.cumsum(starts - ends)[: max(2 * length - 1, 0)], np.int64)


def composition_block(sequences: Sequences, *, left_out: int = 0, kmer: int = 0) -> Composition:
    """Counts of one block."""
    onehot = sequences.onehot
    known, pairs = np.zeros(onehot.shape[1:], np.int64), np.zeros(25, np.int64)
    count_bases(onehot, sequences.bases, known, pairs)
    kmers = np.zeros(4**kmer + 1 if kmer else 0, np.int64)
    if kmer:
        count_kmers(sequences.codes, kmers)
    return Composition(
        regions=len(onehot),
        left_out=left_out,
        bases=np.concatenate([known, len(onehot) - known.sum(axis=0, keepdims=True)]),
        pairs=pairs.reshape(5, 5)[:4, :4],
        distances=count_distances(sequences.summits, onehot.shape[2]),
        kmers=kmers[: 4**kmer] if kmer else kmers,
    )


def merge_compositions(left: Composition, right: Composition) -> Composition:
    """Counts over the rows of both."""
    return Composition(
        left.regions + right.regions,
        left.left_out + right.left_out,
        left.bases + right.bases,
        left.pairs + right.pairs,
        left.distances + right.distances,
        left.kmers + right.kmers,
    )


def kmer_text(code: int, kmer: int) -> str:
    """Letters of a k-mer."""
    return "".join("ACGT"[(code >> (2 * place)) & 3] for place in range(kmer - 1, -1, -1))
