"""Dinucleotide shuffles: random sequences with exactly the same counts of neighbouring base pairs.

A shuffle is an Eulerian path through the multigraph of the sequence's base pairs. A uniformly random path is drawn
as in uShuffle (Jiang et al. 2008, BMC Bioinformatics 9:192): the last exits of all bases form a random arborescence
towards the last base, found by Wilson's loop-erased random walk (1996); the other exits are permuted freely.
Holding the last exits fixed, as some tools do, misses many shuffles; it is here by the name ``dinuc-compat``, since
published DeepLIFT references were drawn so.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drg_hpc.genome.random_words import below, compiled
from drg_hpc.rng import row_keys


@compiled
def _shuffle_run(run: NDArray[np.uint8], out: NDArray[np.uint8], state: NDArray[np.uint64]) -> None:
    """Shuffle one run of A, C, G, T (codes 0 to 3) into ``out``; both ends stay."""
    length = len(run)
    exits = np.empty((4, length), np.uint8)
    count = np.zeros(4, np.int64)
    for i in range(length - 1):
        exits[run[i], count[run[i]]] = run[i + 1]
        count[run[i]] += 1
    last_exit = np.zeros(4, np.int64)
    in_tree = np.zeros(4, np.bool_)
    in_tree[run[length - 1]] = True
    for base in range(4):
        if count[base] == 0:
            continue
        node = base
        while not in_tree[node]:
            last_exit[node] = below(state, count[node])
            node = exits[node, last_exit[node]]
        node = base
        while not in_tree[node]:
            in_tree[node] = True
            node = exits[node, last_exit[node]]
    for base in range(4):
        free = count[base]
        if base != run[length - 1] and free > 0:
            free -= 1
            chosen = last_exit[base]
            exits[base, chosen], exits[base, free] = exits[base, free], exits[base, chosen]
        for i in range(free - 1, 0, -1):
            j = below(state, i + 1)
            exits[base, i], exits[base, j] = exits[base, j], exits[base, i]
    used = np.zeros(4, np.int64)
    node = run[0]
    out[0] = node
    for i in range(1, length):
        following = exits[node, used[node]]
        used[node] += 1
        node = following
        out[i] = node


@compiled
def _shuffle_rows(codes: NDArray[np.uint8], keys: NDArray[np.uint64], out: NDArray[np.uint8]) -> None:
    """Shuffle every run between unknown bases of every row."""
    state = np.empty(1, np.uint64)
    for row in range(codes.shape[0]):
        state[0] = keys[row]
        start = 0
        while start < codes.shape[1]:
            if codes[row, start] > 3:
                out[row, start] = codes[row, start]
                start += 1
                continue
            stop = start
            while stop < codes.shape[1] and codes[row, stop] <= 3:
                stop += 1
            _shuffle_run(codes[row, start:stop], out[row, start:stop], state)
            start = stop


def dinucleotide_shuffle(codes: NDArray[np.uint8], keys: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Shuffle rows of base codes, each by its own key.

    Parameters
    ----------
    codes : (rows, length), A, C, G, T = 0 to 3, unknown = 4
    keys : (rows,) seeds, from :func:`shuffle_keys`

    Returns
    -------
    (rows, length). Unknown bases stay where they are; the runs between them are shuffled each on its own and keep
    their first and last base. A sequence that has no other arrangement comes back as it was.
    """
    out = np.empty_like(codes)
    _shuffle_rows(np.ascontiguousarray(codes), np.ascontiguousarray(keys, np.uint64), out)
    return out


def shuffle_keys(seed: int, rows: NDArray[np.int64] | range, copy: int) -> NDArray[np.uint64]:
    """Keys of shuffle number ``copy`` of each row: functions of (seed, row, copy) alone."""
    return row_keys(seed, rows, f"dinuc:{copy}")


@compiled
def _compat_rows(codes: NDArray[np.uint8], words: NDArray[np.uint32], out: NDArray[np.uint8]) -> bool:
    """Shuffle every row by the same random words; False if there are too few of them."""
    length = codes.shape[1]
    exits = np.empty((5, length), np.uint8)
    for row in range(codes.shape[0]):
        count = np.zeros(5, np.int64)
        for i in range(length - 1):
            exits[codes[row, i], count[codes[row, i]]] = codes[row, i + 1]
            count[codes[row, i]] += 1
        word = 0
        for base in range(5):
            for i in range(count[base] - 2, 0, -1):  # the last exit stays last
                mask = 1
                while mask < i:
                    mask = 2 * mask + 1
                j = i + 1
                while j > i:
                    if word == len(words):
                        return False
                    j = words[word] & mask
                    word += 1
                exits[base, i], exits[base, j] = exits[base, j], exits[base, i]
        used = np.zeros(5, np.int64)
        node = codes[row, 0]
        out[row, 0] = node
        for i in range(1, length):
            following = exits[node, used[node]]
            used[node] += 1
            node = following
            out[row, i] = node
    return True


def _words(seed: int, size: int) -> NDArray[np.uint32]:
    """First raw words of NumPy's legacy generator."""
    return np.random.RandomState(seed % (1 << 32)).randint(0, 1 << 32, size, np.uint32)


def dinucleotide_shuffle_compat(codes: NDArray[np.uint8], *, seed: int, copy: int) -> NDArray[np.uint8]:
    """Reference number ``copy`` of each row as tangermeme's ``deep_lift_shap`` draws it, bit for bit.

    Every row is shuffled by NumPy's Mersenne twister, seeded with ``seed + copy`` (modulo 2^32) whatever the row, so a
    row's reference depends on nothing but the row and that sum. The last exit of each base stays the last.

    Parameters
    ----------
    codes : (rows, length), A, C, G, T = 0 to 3, unknown = 4

    Returns
    -------
    (rows, length). tangermeme refuses unknown bases unless it is told ``allow_N``; these are its shuffles with that:
    N counts as a fifth base, so Ns may move (padding at one end alone stays). A sequence that has no other such
    arrangement comes back as it was.
    """
    out = np.empty_like(codes)
    if codes.size:
        size = 2 * codes.shape[1] + 64  # 1.4 words a base are used on average
        while not _compat_rows(np.ascontiguousarray(codes), _words(seed + copy, size), out):
            size *= 2
    return out
