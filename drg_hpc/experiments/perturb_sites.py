"""Sequences with the sites of motifs replaced, swapped or moved; every one is as long as the sequence it comes from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.experiments.background import Background

Codes = NDArray[np.uint8]
Site = tuple[int, int]
"""First base of a site and the one after its last."""


def replaced(
    codes: Codes, sites: Sequence[Site], background: Background, *, count: int, generator: np.random.Generator
) -> Codes:
    """``count`` sequences (count, L) with each site drawn afresh from the background.

    A base is drawn given the one before it, in the new sequence; with the probabilities of a first base where that one
    is unknown or there is none.

    Parameters
    ----------
    codes : of the sequence (L,), 0 to 3 are A, C, G, T, 4 is unknown
    """
    out = np.repeat(codes[None], count, axis=0)
    table = np.cumsum([*background.following, background.first], axis=1)[:, :3]
    for start, end in sorted(sites):
        for at in range(start, end):
            before = out[:, at - 1] if at else np.full(count, 4, np.uint8)
            out[:, at] = (generator.random(count)[:, None] >= table[before]).sum(axis=1)
    return out


def swapped(codes: Codes, one: Site, other: Site) -> Codes:
    """The sequence (L,) with two sites in each other's place; what lies between them stays between them.

    Raises
    ------
    InputError : the sites overlap
    """
    left, right = _ordered(one, other)
    out = codes.copy()
    parts = (codes[slice(*right)], codes[left[1] : right[0]], codes[slice(*left)])
    out[left[0] : right[1]] = np.concatenate(parts)
    return out


def moved(
    codes: Codes,
    one: Site,
    other: Site,
    *,
    count: int,
    generator: np.random.Generator,
    excluded: tuple[int, int] | None = None,
) -> Codes:
    """``count`` sequences (count, L) with both sites cut out and put back at random places, the left one left.

    All places at which the sites do not overlap are equally likely, without those where the gap, from the end of the
    left site to the start of the right one, is in ``excluded`` (both ends included).

    Raises
    ------
    InputError : the sites overlap, or no place is left
    """
    left, right = _ordered(one, other)
    rest = np.concatenate([codes[: left[0]], codes[left[1] : right[0]], codes[right[1] :]])
    gaps = np.arange(len(rest) + 1)
    places = len(rest) - gaps + 1.0
    if excluded is not None:
        places[(gaps >= excluded[0]) & (gaps <= excluded[1])] = 0
    if not places.any():
        raise InputError(f"two sites of {left[1] - left[0]} and {right[1] - right[0]} bases in a sequence of "
                         f"{len(codes)} have no place with another gap",
                         fix="a narrower range of distances")  # fmt: skip
    drawn = generator.choice(gaps, size=count, p=places / places.sum())
    before = generator.integers(0, len(rest) - drawn, endpoint=True)
    sites = codes[slice(*left)], codes[slice(*right)]
    return np.stack([
        np.concatenate([rest[:first], sites[0], rest[first : first + gap], sites[1], rest[first + gap :]])
        for first, gap in zip(before.tolist(), drawn.tolist(), strict=True)
    ])  # fmt: skip


def slid(codes: Codes, one: Site, other: Site, *, count: int, generator: np.random.Generator) -> Codes:
    """``count`` sequences (count, L) with the pair, and what lies between, moved as one piece to another random place:
    the control of :func:`moved`, with order and gap as they were.

    Raises
    ------
    InputError : the sites overlap, or the pair fills the sequence
    """
    left, right = _ordered(one, other)
    piece = codes[left[0] : right[1]]
    rest = np.concatenate([codes[: left[0]], codes[right[1] :]])
    if not len(rest):
        raise InputError(f"the pair fills the sequence of {len(codes)} bases: it cannot be moved")
    drawn = generator.integers(0, len(rest), count)
    firsts = drawn + (drawn >= left[0])
    return np.stack([np.concatenate([rest[:first], piece, rest[first:]]) for first in firsts.tolist()])


def _ordered(one: Site, other: Site) -> tuple[Site, Site]:
    left, right = sorted([one, other])
    if right[0] < left[1]:
        raise InputError(f"sites {left[0]}-{left[1]} and {right[0]}-{right[1]} overlap", fix="take pairs that do not")
    return left, right
