"""Bases of simulated sequences: a background, and sites drawn from the motifs' probabilities. Compiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drg_hpc.experiments.background import Background
from drg_hpc.experiments.grammar import Grammar
from drg_hpc.experiments.placement import outcome, place
from drg_hpc.experiments.tables import Floats, Ints, Tables, tables_of
from drg_hpc.genome.random_words import State, below, bits53, compiled
from drg_hpc.rng import row_keys

WHOLE = 2**53
_STREAM = "simulate"
Codes = NDArray[np.uint8]


@dataclass(frozen=True)
class Simulated:
    """Some consecutive sequences.

    Parameters
    ----------
    codes : (rows, length) base codes
    starts : (rows, motifs) where each motif begins, -1 where it is not there
    minus : (rows, motifs) whether it lies on the reverse strand
    outcome : (rows,) what the rule says, see :data:`drg_hpc.experiments.grammar.OUTCOMES`
    """

    codes: Codes
    starts: Ints
    minus: NDArray[np.bool_]
    outcome: Codes


def thresholds(probabilities: Sequence[Sequence[float]]) -> Ints:
    """(rows, 3) cumulative probabilities of A, C, G as numbers of 53 bits; a base of no probability is never drawn."""
    values = np.array(probabilities, np.float64).reshape(-1, 4)
    sums: Floats = np.cumsum(values, axis=1)[:, :3]
    nothing_left = np.cumsum(values[:, ::-1], axis=1)[:, 2::-1] == 0
    return np.where(nothing_left, WHOLE, np.ceil(sums * WHOLE)).astype(np.int64)


@compiled
def _base(drawn: int, limits: Ints, row: int) -> int:
    """The base that a number of 53 bits stands for; compared without branches."""
    base: int = (drawn >= limits[row, 0]) + (drawn >= limits[row, 1]) + (drawn >= limits[row, 2])
    return base


@compiled
def _background(state: State, limits: Ints, codes: Codes) -> None:
    """Bases of one sequence.

    Parameters
    ----------
    limits : (5, 3) of the first base, then after each base; (1, 3): of every base
    """
    if len(limits) == 1:
        for i in range(len(codes)):
            codes[i] = _base(bits53(state), limits, 0)
        return
    row = 0
    for i in range(len(codes)):
        base = _base(bits53(state), limits, row)
        codes[i] = base
        row = base + 1


@compiled
def _fill(
    keys: NDArray[np.uint64],
    t: Tables,
    background: Ints,
    sites: Ints,
    both: bool,
    codes: Codes,
    starts: Ints,
    minus: NDArray[np.bool_],
    outcomes: Codes,
) -> None:
    """Every row: placement, strands, background, sites, each from the row's own stream.

    Parameters
    ----------
    background : see :func:`_background`
    sites : (positions of all motifs, 3) thresholds
    """
    state = np.empty(1, np.uint64)
    for row in range(len(keys)):
        state[0] = keys[row]
        place(state, t, starts[row])
        outcomes[row] = outcome(t, starts[row])
        if both:
            for motif in range(starts.shape[1]):
                minus[row, motif] = starts[row, motif] >= 0 and below(state, 2) == 1
        _background(state, background, codes[row])
        first = 0
        for motif in range(starts.shape[1]):
            width = t.widths[motif]
            start = starts[row, motif]
            if start >= 0:
                for i in range(width):
                    base = _base(bits53(state), sites, first + i)
                    if minus[row, motif]:
                        codes[row, start + width - 1 - i] = 3 - base
                    else:
                        codes[row, start + i] = base
            first += width


class Simulator:
    """Draws the sequences of a grammar; any rows, in any order, give the same sequences."""

    def __init__(self, grammar: Grammar, background: Background, *, seed: int) -> None:
        self.grammar = grammar
        self._seed = seed
        self._tables = tables_of(grammar)
        chain = any(row != background.first for row in background.following)
        self._background = thresholds([background.first, *(background.following if chain else ())])
        self._sites = thresholds([row for word in grammar.words for row in word.rows])

    def rows(self, start: int, stop: int) -> Simulated:
        """Sequences of global rows ``start`` to ``stop``."""
        count, motifs = stop - start, len(self.grammar.words)
        found = Simulated(
            np.empty((count, self.grammar.length), np.uint8),
            np.empty((count, motifs), np.int64),
            np.zeros((count, motifs), np.bool_),
            np.empty(count, np.uint8),
        )
        _fill(
            row_keys(self._seed, np.arange(start, stop), _STREAM), self._tables, self._background, self._sites,
            self.grammar.both_strands, found.codes, found.starts, found.minus, found.outcome,
        )  # fmt: skip
        return found
