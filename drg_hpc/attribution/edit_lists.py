"""The edits of a sequence that a kind of edit asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drg_hpc.attribution.edit_spec import EditSpec
from drg_hpc.attribution.edits import (
    NO_BASE,
    Codes,
    Edits,
    Positions,
    deletions,
    insertions,
    replacements,
    substitutions,
)
from drg_hpc.genome.shuffle import dinucleotide_shuffle
from drg_hpc.rng import key_words, row_keys

PIECE_CODES = 1 << 22
"""Bases put in by the edits that are held at once; one of an indel is every base to its right."""


@dataclass(frozen=True)
class RowInput:
    """One input of one row, to be edited.

    Attributes
    ----------
    number, name : of the input; the name is "" where there is one
    codes : of the sequence, (L,)
    row : global row number
    seed : of random bases and shuffles, which depend on (seed, row, input, position, copy) alone
    """

    number: int
    name: str
    codes: Codes
    row: int
    seed: int

    def _keys(self, spec: EditSpec, starts: Positions, copy: int) -> NDArray[np.uint64]:
        return row_keys(self.seed, starts, f"ism:{spec.slug}:{self.name}:{copy}", step=self.row)


def edit_starts(spec: EditSpec, asked: NDArray[np.bool_], *, among: NDArray[np.bool_] | None = None) -> Positions:
    """Where edits of a kind are made: at positions asked for (L,), at every ``stride``-th from the first on, where the
    edit fits into the sequence.

    Parameters
    ----------
    among : positions that are left after a screen; None for all
    """
    found = np.flatnonzero(asked)
    if len(found):
        found = found[(found - found[0]) % spec.stride == 0]
    if spec.kind in ("deletions", "windows"):
        found = found[found + spec.size <= len(asked)]
    if among is not None:
        found = found[among[found]]
    return found.astype(np.int64)


def edit_pieces(spec: EditSpec, given: RowInput, starts: Positions) -> Iterator[Edits]:
    """The edits at some starts, start by start with the copies of each together, in pieces that fit into memory."""
    width = {"substitutions": 3, "windows": spec.size * spec.copies}.get(spec.kind, len(given.codes))
    step = max(1, PIECE_CODES // width)
    for first in range(0, len(starts), step):
        yield _edits(spec, given, starts[first : first + step])


def _edits(spec: EditSpec, given: RowInput, starts: Positions) -> Edits:
    if spec.kind == "substitutions":
        return substitutions(given.codes, starts, input=given.number)
    if spec.kind == "deletions":
        return deletions(given.codes, starts, spec.size, input=given.number)
    put = _put_in(spec, given, starts)
    if spec.kind == "insertions":
        return insertions(given.codes, starts, put[:, 0], input=given.number)
    return replacements(np.repeat(starts, spec.copies), put.reshape(-1, spec.size), input=given.number)


def _put_in(spec: EditSpec, given: RowInput, starts: Positions) -> Codes:
    """What comes in at each start, (E, copies, size)."""
    shape = (len(starts), spec.copies, spec.size)
    if spec.fill == "n":
        return np.full(shape, NO_BASE, np.uint8)
    if spec.fill == "bases":
        return np.broadcast_to(np.array(["ACGT".index(base) for base in spec.bases], np.uint8), shape)
    if spec.fill == "random":
        words = key_words(given._keys(spec, starts, 0), spec.size)
        return (words >> np.uint64(62)).astype(np.uint8)[:, None]
    windows = given.codes[starts[:, None] + np.arange(spec.size)]
    shuffle = dinucleotide_shuffle if spec.fill == "dinuc" else _shuffled
    return np.stack([shuffle(windows, given._keys(spec, starts, copy)) for copy in range(spec.copies)], axis=1)


def _shuffled(windows: Codes, keys: NDArray[np.uint64]) -> Codes:
    """Bases of each window (E, K) in random order; unknown ones stay where they are."""
    known = windows < NO_BASE
    words = np.where(known, key_words(keys, windows.shape[1]) >> np.uint64(1), np.iinfo(np.uint64).max)
    drawn = np.take_along_axis(windows, np.argsort(words, axis=1, kind="stable"), axis=1)  # known bases come first
    found = np.empty_like(windows)
    np.put_along_axis(found, np.argsort(~known, axis=1, kind="stable"), drawn, axis=1)
    return found
