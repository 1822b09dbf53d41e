"""Small grammars, and the rule of a grammar written plainly, for tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from drg_hpc.experiments.background import Background, independent
from drg_hpc.experiments.grammar import Grammar, Rule, Word
from drg_hpc.experiments.sequences import Simulated, Simulator

EVEN = independent([0.25] * 4)


def word(name: str, width: int) -> Word:
    """A motif whose columns differ, none of them with a probability of 0 or 1."""
    draws = np.random.default_rng(width).dirichlet([0.5] * 4, width)
    return Word(name, tuple(tuple(row) for row in (0.98 * draws + 0.005).tolist()))


def grammar(rule: Rule = "order", length: int = 60, widths: tuple[int, ...] = (6, 9, 5), **changes: Any) -> Grammar:
    """Motifs m0, m1, …; the first two are needed."""
    words = tuple(word(f"m{i}", width) for i, width in enumerate(widths))
    share = {} if rule == "presence" else {"positives": 0.5, "near_misses": 0.25}
    return Grammar(rule, length, words, (0, 1), **{**share, **changes})


def simulate(made: Grammar, rows: int, *, background: Background = EVEN, seed: int = 0) -> Simulated:
    """The first sequences of a grammar."""
    return Simulator(made, background, seed=seed).rows(0, rows)


def sites_by_row(found: Simulated, made: Grammar) -> list[list[tuple[int, int, int]]]:
    """(motif, start, end) of the sites of every sequence, from the starts."""
    widths = made.widths
    return [
        [(motif, start, start + widths[motif]) for motif, start in enumerate(starts) if start >= 0]
        for starts in found.starts.tolist()
    ]


def says(made: Grammar, sites: list[tuple[int, int, int]]) -> bool:
    """Whether the rule holds for sites (motif, start, end) of one sequence, by the words of the specification."""
    places = {motif: (start, end) for motif, start, end in sites}
    if any(motif not in places for motif in made.needed):
        return False
    if made.rule == "presence":
        return True
    (start_a, end_a), (start_b, _) = (places[motif] for motif in made.needed)
    if not start_a < start_b:
        return False
    return made.rule == "order" or made.min_gap <= start_b - end_a <= made.max_gap
