"""The tests of the perturbation seed in plain Python, one sequence and one copy at a time, from their descriptions:
what the package is compared with. Random numbers are those of a splitmix64 stream for each sequence and change."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

_WORD = 1 << 64
_STEP = 0x9E3779B97F4A7C15
Bases = list[int]
Site = tuple[int, int]
Rows = Sequence[Sequence[float]]


def words(key: int) -> Iterator[int]:
    """Numbers of 64 bits."""
    state = key
    while True:
        state = (state + _STEP) % _WORD
        z = state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % _WORD
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % _WORD
        yield z ^ (z >> 31)


def shares(key: int) -> Iterator[float]:
    """Numbers in [0, 1) of 53 bits."""
    return ((word >> 11) / (1 << 53) for word in words(key))


def replaced(s: Bases, sites: Sequence[Site], first: Sequence[float], following: Rows, drawn: Iterator[float]) -> Bases:
    """A copy with sites drawn afresh, each base given the one before it."""
    out = list(s)
    for start, end in sorted(sites):
        for at in range(start, end):
            before = out[at - 1] if at else 4
            weights = first if before == 4 else following[before]
            share = next(drawn)
            out[at] = sum(share >= limit for limit in itertools.islice(itertools.accumulate(weights), 3))
    return out


def swapped(s: Bases, one: Site, other: Site) -> Bases:
    (a, b), (c, d) = sorted([one, other])
    return s[:a] + s[c:d] + s[b:c] + s[a:b] + s[d:]


def all_places(s: Bases, one: Site, other: Site, excluded: range) -> list[tuple[int, int]]:
    """Every way to put both sites back, left one left: bases before the left one, and gap; by gap, then by place."""
    (a, b), (c, d) = sorted([one, other])
    free = len(s) - (b - a) - (d - c)
    return [(first, gap) for gap in range(free + 1) if gap not in excluded for first in range(free - gap + 1)]


def put(s: Bases, one: Site, other: Site, place: tuple[int, int]) -> Bases:
    (a, b), (c, d) = sorted([one, other])
    first, gap = place
    rest = s[:a] + s[b:c] + s[d:]
    return rest[:first] + s[a:b] + rest[first : first + gap] + s[c:d] + rest[first + gap :]


def moved(s: Bases, one: Site, other: Site, drawn: Iterator[float], excluded: range = range(0)) -> Bases:
    places = all_places(s, one, other, excluded)
    return put(s, one, other, places[int(next(drawn) * len(places))])


def slid(s: Bases, one: Site, other: Site, drawn: Iterator[int]) -> Bases:
    (a, _), (_, d) = sorted([one, other])
    rest = s[:a] + s[d:]
    first = ((next(drawn) >> 32) * len(rest)) >> 32
    first += first >= a
    return rest[:first] + s[a:d] + rest[first:]


def loss(z: float, label: int) -> float:
    """Cross entropy of the softmax of (0, z)."""
    return math.log(1 + math.exp(z)) - (z if label else 0.0)


class Plain:
    """The tests of one sequence.

    Parameters
    ----------
    predict : logit of a sequence
    key : of a random stream, by its name
    copies : of each random change
    """

    def __init__(
        self, predict: Callable[[Bases], float], key: Callable[[str], int], *, first: Sequence[float],
        following: Rows, copies: int, excluded: range = range(0),
    ) -> None:  # fmt: skip
        self._predict, self._key, self._copies, self._excluded = predict, key, copies, excluded
        self._first, self._following = first, following

    def _replaced(self, s: Bases, sites: dict[str, Site], names: Sequence[str]) -> list[float]:
        drawn = shares(self._key(f"perturb:replace:{':'.join(names)}"))
        spans = [sites[name] for name in names]
        return [
            self._predict(replaced(s, spans, self._first, self._following, drawn)) for _ in range(self._copies)
        ]  # fmt: skip

    def effects(self, kind: str, motifs: Sequence[str], s: Bases, sites: dict[str, Site], label: int) -> list[float]:
        """Effect in loss and in the signed logit."""
        o, sign = self._predict(s), 1 if label else -1
        if kind == "interaction":
            a, b, both = (
                sum(self._replaced(s, sites, names)) / self._copies
                for names in (motifs[:1], motifs[1:], motifs)
            )  # fmt: skip
            additive = o + (a - o) + (b - o)
            return [loss(both, label) - loss(additive, label), sign * (both - additive)]
        if kind == "presence":
            after = self._replaced(s, sites, motifs)
        else:
            pair, name = [sites[motif] for motif in motifs], ":".join(motifs)
            if kind == "order":
                after = [self._predict(swapped(s, *pair))]
            elif kind == "distance":
                drawn = shares(self._key(f"perturb:move:{name}"))
                after = [self._predict(moved(s, *pair, drawn, self._excluded)) for _ in range(self._copies)]
            else:
                places = words(self._key(f"perturb:slide:{name}"))
                after = [self._predict(slid(s, *pair, places)) for _ in range(self._copies)]
        mean_loss = sum(loss(z, label) for z in after) / len(after)
        return [loss(o, label) - mean_loss, sign * (sum(after) / len(after) - o)]
