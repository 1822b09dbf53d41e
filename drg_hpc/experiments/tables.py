"""A grammar as the arrays and numbers that compiled functions read."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from drg_hpc.experiments.grammar import OUTCOMES, RULES, Grammar, gap_weights

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
PRESENCE, ORDER, DISTANCE = range(len(RULES))
MISSING, HOLDS, WRONG_ORDER, WRONG_DISTANCE = range(len(OUTCOMES))


class Tables(NamedTuple):
    """A grammar; what is not said here is as in :class:`Grammar`.

    Parameters
    ----------
    rule : number of the rule
    wrong_gaps : how many gaps outside the range fit
    asked : there is a share of positives
    widths : (motifs + 1,), the last is room for the pair as a block
    needed, others : numbers of the motifs that a positive needs, and of those that it does not
    gaps : (max_gap - min_gap + 1,) cumulative probabilities
    starts : allowed starts, empty: all
    holds, turned, far : (n, 2), see :meth:`Grammar.pairs_of_starts`
    """

    rule: int
    length: int
    min_gap: int
    max_gap: int
    wrong_gaps: int
    asked: bool
    positives: float
    near_misses: float
    widths: Ints
    needed: Ints
    others: Ints
    gaps: Floats
    starts: Ints
    holds: Ints
    turned: Ints
    far: Ints


def gap_probabilities(grammar: Grammar) -> Floats:
    """Probabilities of the gaps from ``min_gap`` to ``max_gap``, see :func:`gap_weights`."""
    weights = np.array(gap_weights(grammar))
    found: Floats = weights / weights.sum()
    return found


def tables_of(grammar: Grammar) -> Tables:
    """The tables of a grammar."""
    pairs = grammar.pairs_of_starts() if grammar.is_pair and grammar.starts else ([], [], [])
    holds, turned, far = (np.array(found, np.int64).reshape(-1, 2) for found in pairs)
    others = [i for i in range(len(grammar.words)) if i not in grammar.needed]
    return Tables(
        rule=RULES.index(grammar.rule),
        length=grammar.length,
        min_gap=grammar.min_gap,
        max_gap=grammar.max_gap,
        wrong_gaps=grammar.wrong_gaps,
        asked=grammar.positives is not None,
        positives=grammar.positives or 0.0,
        near_misses=float(grammar.near_misses),
        widths=np.array([*grammar.widths, 0], np.int64),
        needed=np.array(grammar.needed, np.int64),
        others=np.array(others, np.int64),
        gaps=np.cumsum(gap_probabilities(grammar)) if grammar.is_pair else np.ones(1),
        starts=np.array(grammar.starts, np.int64),
        holds=holds,
        turned=turned,
        far=far,
    )
