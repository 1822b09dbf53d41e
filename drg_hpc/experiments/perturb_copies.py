"""Copies of sequences with sites replaced, swapped or moved; compiled, one random stream a sequence.

Every copy is as long as the sequence it comes from. Pairs are given as the left and the right site, (n, 2) each: first
base and the one after the last; they do not overlap.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drg_hpc.experiments.background import Background
from drg_hpc.experiments.sequences import thresholds
from drg_hpc.experiments.tables import Ints
from drg_hpc.genome.random_words import below, bits53, compiled, uniform

Codes = NDArray[np.uint8]
"""Base codes: 0 to 3 are A, C, G, T, 4 is unknown."""
Keys = NDArray[np.uint64]
_UNKNOWN = 4


def replaced(
    codes: Codes, offsets: Ints, spans: Ints, background: Background, *, keys: Keys, count: int
) -> Codes:  # fmt: skip
    """Copies (n, count, L) of sequences (n, L) with sites drawn afresh from the background.

    A base is drawn given the one before it, in the copy; with the probabilities of a first base where that one is
    unknown or there is none.

    Parameters
    ----------
    offsets : (n + 1,) the sites of sequence i are ``spans[offsets[i]:offsets[i + 1]]``, by ascending start
    spans : (m, 2)
    keys : (n,) of the random streams
    """
    limits = thresholds([*background.following, background.first])
    out = np.empty((len(codes), count, codes.shape[1]), np.uint8)
    _replace(codes, offsets, spans, limits, keys, out)
    return out


@compiled
def _replace(codes: Codes, offsets: Ints, spans: Ints, limits: Ints, keys: Keys, out: Codes) -> None:
    state = np.empty(1, np.uint64)
    for i in range(out.shape[0]):
        state[0] = keys[i]
        for copy in range(out.shape[1]):
            row = out[i, copy]
            for at in range(row.shape[0]):
                row[at] = codes[i, at]
            for site in range(offsets[i], offsets[i + 1]):
                for at in range(spans[site, 0], spans[site, 1]):
                    before = row[at - 1] if at > 0 else _UNKNOWN
                    drawn = bits53(state)
                    row[at] = (drawn >= limits[before, 0]) + (drawn >= limits[before, 1]) + (drawn >= limits[before, 2])


def swapped(codes: Codes, left: Ints, right: Ints) -> Codes:
    """Sequences (n, 1, L) with both sites in each other's place; what lies between them stays between them."""
    out = np.empty((len(codes), 1, codes.shape[1]), np.uint8)
    _swap(codes, left, right, out)
    return out


@compiled
def _swap(codes: Codes, left: Ints, right: Ints, out: Codes) -> None:
    for i in range(out.shape[0]):
        a, b, c, d = left[i, 0], left[i, 1], right[i, 0], right[i, 1]
        row = out[i, 0]
        for at in range(row.shape[0]):
            row[at] = codes[i, at]
        for at in range(d - c):
            row[a + at] = codes[i, c + at]
        for at in range(c - b):
            row[a + d - c + at] = codes[i, b + at]
        for at in range(b - a):
            row[d - b + a + at] = codes[i, a + at]


def places(free: int, excluded: tuple[int, int] | None) -> int:
    """In how many ways two sites can be put beside ``free`` other bases with a gap that is not excluded, left one left:
    free - g + 1 for each gap g from 0 to ``free``."""
    if free < 0:
        return 0
    low, high = (0, -1) if excluded is None else (max(0, excluded[0]), min(free, excluded[1]))
    within = sum(free - gap + 1 for gap in range(low, high + 1))
    return (free + 1) * (free + 2) // 2 - within


def moved(
    codes: Codes, left: Ints, right: Ints, *, keys: Keys, count: int, excluded: tuple[int, int] | None = None
) -> Codes:
    """Copies (n, count, L) with both sites cut out and put back at random places, the left one left.

    All places at which the sites do not overlap are equally likely, without those where the gap, from the end of the
    left site to the start of the right one, is in ``excluded`` (both ends included). Every sequence must have one: see
    :func:`places`.
    """
    low, high = (0, -1) if excluded is None else excluded
    out = np.empty((len(codes), count, codes.shape[1]), np.uint8)
    _move(codes, left, right, low, high, keys, out)
    return out


@compiled
def _move(codes: Codes, left: Ints, right: Ints, low: int, high: int, keys: Keys, out: Codes) -> None:
    length = codes.shape[1]
    rest = np.empty(length, np.uint8)
    state = np.empty(1, np.uint64)
    for i in range(out.shape[0]):
        state[0] = keys[i]
        a, b, c, d = left[i, 0], left[i, 1], right[i, 0], right[i, 1]
        free = 0
        for at in range(length):
            if at < a or (b <= at and at < c) or d <= at:
                rest[free] = codes[i, at]
                free += 1
        total = 0
        for gap in range(free + 1):
            if gap < low or gap > high:
                total += free - gap + 1
        for copy in range(out.shape[1]):
            drawn = min(int(uniform(state) * total), total - 1)
            gap = 0
            while (low <= gap and gap <= high) or drawn >= free - gap + 1:
                if gap < low or gap > high:
                    drawn -= free - gap + 1
                gap += 1
            row, at = out[i, copy], 0
            for k in range(free + 1):
                if k == drawn:
                    for j in range(a, b):
                        row[at] = codes[i, j]
                        at += 1
                if k == drawn + gap:
                    for j in range(c, d):
                        row[at] = codes[i, j]
                        at += 1
                if k < free:
                    row[at] = rest[k]
                    at += 1


def slid(codes: Codes, left: Ints, right: Ints, *, keys: Keys, count: int) -> Codes:
    """Copies (n, count, L) with the pair, and what lies between, moved as one piece to another random place: the
    control of :func:`moved`, with order and gap as they were. No pair may fill its sequence."""
    out = np.empty((len(codes), count, codes.shape[1]), np.uint8)
    _slide(codes, left, right, keys, out)
    return out


@compiled
def _slide(codes: Codes, left: Ints, right: Ints, keys: Keys, out: Codes) -> None:
    length = codes.shape[1]
    state = np.empty(1, np.uint64)
    for i in range(out.shape[0]):
        state[0] = keys[i]
        a, d = left[i, 0], right[i, 1]
        free = length - (d - a)
        for copy in range(out.shape[1]):
            drawn = np.int64(below(state, free))
            first = drawn + 1 if drawn >= a else drawn
            row = out[i, copy]
            for at in range(d - a):
                row[first + at] = codes[i, a + at]
            for k in range(free):
                row[k if k < first else k + d - a] = codes[i, k if k < a else k + d - a]
