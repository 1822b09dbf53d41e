"""Edits of a sequence: at one interval, other bases than those that are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.attribution.views import View

NO_BASE = 4
"""Code of an unknown base, an all-zero column; 0 to 3 are A, C, G, T."""
Codes = NDArray[np.uint8]
Positions = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Edits:
    """Edits of one input of one row, each of them made alone. One of width 0 changes nothing.

    Attributes
    ----------
    starts : int64 (E,), first base that is replaced
    widths : int64 (E,), bases that are replaced
    codes : uint8 (sum of widths,), what is put there, edit after edit
    input : number of the input that is edited
    """

    starts: Positions
    widths: Positions
    codes: Codes
    input: int = 0

    def __len__(self) -> int:
        return len(self.starts)

    @cached_property
    def offsets(self) -> Positions:
        """Edit e puts in ``codes[offsets[e] : offsets[e + 1]]``; (E + 1,)."""
        found: Positions = np.concatenate([[0], np.cumsum(self.widths)]).astype(np.int64)
        return found

    def __getitem__(self, part: slice) -> Edits:
        first, last, step = part.indices(len(self))
        assert step == 1
        last = max(first, last)
        codes = self.codes[self.offsets[first] : self.offsets[last]]
        return Edits(self.starts[first:last], self.widths[first:last], codes, self.input)

    def take(self, chosen: NDArray[Any]) -> Edits:
        """Some of the edits, by number or by a bool (E,)."""
        numbers = np.arange(len(self))[chosen]
        widths = self.widths[numbers]
        return Edits(self.starts[numbers], widths, self.codes[_ranges(self.offsets[numbers], widths)], self.input)

    @property
    def owners(self) -> Positions:
        """Edit of each code."""
        return np.repeat(np.arange(len(self)), self.widths)

    @property
    def places(self) -> Positions:
        """Position of each code."""
        return _ranges(self.starts, self.widths)

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """The mutants ``(E, 4, L)`` of a one-hot sequence ``(4, L)``."""
        return self.put(x.expand(len(self), *x.shape).clone())

    def put(self, rows: torch.Tensor) -> torch.Tensor:
        """Make edit e in row e of ``(E, 4, L)``, in place."""
        owners, places, codes = (
            torch.from_numpy(each).to(rows.device) for each in (self.owners, self.places, self.codes.astype(np.int64))
        )
        rows[owners, :, places] = _columns(rows)[codes]
        return rows

    def mirrored(self, length: int) -> Edits:
        """The same edits of the reverse complement of a sequence of ``length`` bases."""
        turned = _ranges(self.offsets[1:] - 1, self.widths, step=-1)
        codes = self.codes[turned]
        return Edits(
            length - self.starts - self.widths,
            self.widths,
            np.where(codes < NO_BASE, np.uint8(3) - codes, codes).astype(np.uint8),
            self.input,
        )

    def shifted(self, shift: int, length: int) -> Edits:
        """The same edits of the sequence moved to the right by ``shift`` bases: what falls off it is left out, so that
        an edit may end up with width 0."""
        if not shift:
            return self
        starts = np.clip(self.starts + shift, 0, length)
        stops = np.clip(self.starts + self.widths + shift, 0, length)
        places = self.places + shift
        return Edits(starts, stops - starts, self.codes[(places >= 0) & (places < length)], self.input)

    def as_seen(self, view: View, length: int) -> Edits:
        """The same edits of what a view shows to a model of a sequence of ``length`` bases."""
        moved = self.shifted(view.shift, length)
        return moved.mirrored(length) if view.reverse else moved


def _columns(like: torch.Tensor) -> torch.Tensor:
    """One-hot column of each code, (5, 4)."""
    return torch.eye(NO_BASE + 1, 4, dtype=like.dtype, device=like.device)


def _ranges(firsts: Positions, widths: Positions, *, step: int = 1) -> Positions:
    """``first, first + step, …`` of each width, one after the other."""
    before = np.cumsum(widths) - widths
    within = np.arange(int(widths.sum())) - np.repeat(before, widths)
    found: Positions = np.repeat(firsts, widths) + step * within
    return found


def concatenated(parts: Sequence[Edits]) -> Edits:
    """Edits of one input, one list after the other."""
    assert len({part.input for part in parts}) == 1
    return Edits(
        np.concatenate([part.starts for part in parts]),
        np.concatenate([part.widths for part in parts]),
        np.concatenate([part.codes for part in parts]),
        parts[0].input,
    )


def unchanged(count: int, *, input: int = 0) -> Edits:
    """Edits of width 0."""
    none = np.zeros(count, np.int64)
    return Edits(none, none, np.zeros(0, np.uint8), input)


def sequence_codes(x: NDArray[Any]) -> Codes:
    """Codes ``(L,)`` of a one-hot sequence ``(4, L)``."""
    return np.where((x != 0).any(axis=0), x.argmax(axis=0), NO_BASE).astype(np.uint8)


def substitutions(codes: Codes, positions: Positions, *, input: int = 0) -> Edits:
    """Every other base at some positions: position by position, A, C, G, T without the one that is there, so three at
    a base and four at an unknown one.

    Parameters
    ----------
    codes : of the sequence, (L,)
    """
    positions = np.asarray(positions, np.int64)
    alternatives = codes[positions, None] != np.arange(4)
    where, bases = np.nonzero(alternatives)
    return Edits(positions[where], np.ones(len(where), np.int64), bases.astype(np.uint8), input)


def replacements(starts: Positions, codes: Codes, *, input: int = 0) -> Edits:
    """Windows with other bases.

    Parameters
    ----------
    codes : what is put at each start, (E, W)
    """
    count, width = codes.shape
    return Edits(np.asarray(starts, np.int64), np.full(count, width, np.int64), codes.reshape(-1), input)


def deletions(codes: Codes, starts: Positions, size: int, *, input: int = 0) -> Edits:
    """``size`` bases taken out at each start: what is to the right moves up, unknown bases come in at the end.

    Parameters
    ----------
    codes : of the sequence, (L,)
    """
    length = len(codes)
    starts = np.asarray(starts, np.int64)
    widths = length - starts
    padded = np.concatenate([codes, np.full(size, NO_BASE, np.uint8)])
    return Edits(starts, widths, padded[_ranges(starts + size, widths)], input)


def insertions(codes: Codes, starts: Positions, inserted: Codes, *, input: int = 0) -> Edits:
    """Bases put in before the base at each start: what is to the right moves on, the last bases fall off.

    Parameters
    ----------
    codes : of the sequence, (L,)
    inserted : at each start, (E, s)
    """
    starts = np.asarray(starts, np.int64)
    widths = len(codes) - starts
    offsets = np.cumsum(widths) - widths
    moved = np.maximum(_ranges(starts - inserted.shape[1], widths), 0)  # what is before a start is overwritten below
    found = codes[moved]
    for number, (at, width) in enumerate(zip(offsets, widths, strict=True)):
        put = min(inserted.shape[1], int(width))
        found[at : at + put] = inserted[number, :put]
    return Edits(starts, widths, found, input)
