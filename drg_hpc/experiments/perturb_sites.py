"""Sites of motifs in a block of sequences, and which sequences a test can be made on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from drg_hpc.experiments.perturb_copies import places
from drg_hpc.experiments.perturb_tests import Test
from drg_hpc.experiments.tables import Ints

STATUSES = ("tested", "a motif is missing", "sites overlap", "no other place")
"""What became of a sequence in a test, by number."""
TESTED, MISSING, OVERLAPPING, UNPLACEABLE = range(len(STATUSES))


@dataclass(frozen=True)
class Spans:
    """Sites of one motif: row (m,) in the block, ascending, and span (m, 2), first base and the one after the last; of
    several in a row the one that tests of pairs take is last."""

    row: Ints
    span: Ints


@dataclass(frozen=True)
class BlockSites:
    """Sites of motifs, by name, in ``rows`` sequences of ``length`` bases."""

    rows: int
    length: int
    motifs: Mapping[str, Spans]
    _chosen: dict[str, Ints] = field(default_factory=dict, init=False, repr=False, compare=False)

    @staticmethod
    def of(
        names: Sequence[str], *, rows: int, length: int, row: Ints, motif: Ints, start: Ints, end: Ints
    ) -> BlockSites:  # fmt: skip
        """From a table (m,): row in the block, number of the motif among ``names``, positions; the preferred site of
        several later."""
        order = np.argsort(row, kind="stable")
        span = np.stack([start, end], axis=1).astype(np.int64)
        found = {}
        for number, name in enumerate(names):
            own = order[motif[order] == number]
            found[name] = Spans(row[own].astype(np.int64), span[own])
        return BlockSites(rows, length, found)

    def has(self, name: str) -> NDArray[np.bool_]:
        """Which sequences have a motif, (rows,)."""
        found = np.zeros(self.rows, np.bool_)
        found[self.motifs[name].row] = True
        return found

    def chosen(self, name: str) -> Ints:
        """The site of each sequence that tests of pairs take, (rows, 2), -1 where there is none."""
        if name in self._chosen:
            return self._chosen[name]
        found, own = np.full((self.rows, 2), -1, np.int64), self.motifs[name]
        last = np.append(np.flatnonzero(np.diff(own.row)), len(own.row) - 1) if len(own.row) else own.row
        found[own.row[last]] = own.span[last]
        self._chosen[name] = found
        return found

    def pair(self, names: Sequence[str], used: Ints) -> tuple[Ints, Ints]:
        """The left and the right site, (k, 2) each, of two motifs in some sequences."""
        one, other = (self.chosen(name)[used] for name in names)
        turned = (one[:, 0] > other[:, 0])[:, None]
        return np.where(turned, other, one), np.where(turned, one, other)

    def all_of(self, names: Sequence[str], used: Ints) -> tuple[Ints, Ints]:
        """Offsets (k + 1,) and spans of all sites of some motifs in some sequences, by ascending start."""
        place = np.full(self.rows, -1, np.int64)
        place[used] = np.arange(len(used))
        row = np.concatenate([place[self.motifs[name].row] for name in names])
        span = np.concatenate([self.motifs[name].span for name in names])
        order = np.lexsort((span[:, 1], span[:, 0], row))
        order = order[row[order] >= 0]
        return np.searchsorted(row[order], np.arange(len(used) + 1)), span[order]

    def _overlaps(self, one: str, other: str) -> NDArray[np.bool_]:
        """Sequences in which any site of one motif overlaps any of another."""
        found = np.zeros(self.rows, np.bool_)
        a, b = (self.motifs[name].span + (self.length + 1) * self.motifs[name].row[:, None] for name in (one, other))
        if len(b):  # the sequences now lie one after the other
            b = b[np.argsort(b[:, 0])]
            reached = np.append(-1, np.maximum.accumulate(b[:, 1]))
            before = np.searchsorted(b[:, 0], a[:, 1])  # sites that begin before the end of each of a
            found[self.motifs[one].row[reached[before] > a[:, 0]]] = True
        return found

    def status(self, test: Test) -> NDArray[np.uint8]:
        """Of each sequence in a test, a number of ``STATUSES``, (rows,).

        Presence and interaction replace all sites of a motif, order and distance take one of each.
        """
        found = np.full(self.rows, TESTED, np.uint8)
        found[~np.all([self.has(name) for name in test.motifs], axis=0)] = MISSING
        if test.kind == "presence":
            return found
        here = np.flatnonzero(found == TESTED)
        if test.kind == "interaction":
            found[here[self._overlaps(*test.motifs)[here]]] = OVERLAPPING
            return found
        left, right = self.pair(test.motifs, here)
        apart = left[:, 1] <= right[:, 0]
        found[here[~apart]] = OVERLAPPING
        if test.kind == "order":
            return found
        if test.kind == "shift":
            free = self.length - (right[:, 1] - left[:, 0])
            fits = free > 0
        else:
            free = self.length - (left[:, 1] - left[:, 0]) - (right[:, 1] - right[:, 0])
            known = {bases: places(bases, test.excluded) > 0 for bases in np.unique(free[apart]).tolist()}
            fits = np.array([known.get(bases, False) for bases in free.tolist()], np.bool_)
        found[here[apart & ~fits]] = UNPLACEABLE
        return found
