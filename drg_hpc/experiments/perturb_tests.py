"""Which perturbation tests there are, and the changed sequences that each of them compares. Light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal, get_args

Kind = Literal["presence", "order", "distance", "shift", "interaction"]
Change = Literal["replace", "swap", "move", "slide"]
Effect = Literal["loss", "logit", "value"]
EFFECTS: tuple[Effect, ...] = get_args(Effect)
ASKED: tuple[Kind, ...] = ("presence", "order", "distance", "interaction")
"""Tests that can be asked for; ``shift`` is the control that comes with distance."""
_CHANGES: Mapping[Kind, Change] = {"order": "swap", "distance": "move", "shift": "slide"}
Gaps = tuple[int, int]
"""Least and largest number of bases between two sites."""


@dataclass(frozen=True)
class Part:
    """Copies of a sequence that are changed in one way.

    Attributes
    ----------
    motifs : one or two; those whose sites are replaced, or the pair that is swapped, moved or slid
    excluded : gaps that a moved pair may not have
    """

    change: Change
    motifs: tuple[str, ...]
    excluded: Gaps | None = None

    @property
    def stream(self) -> str:
        """Of the random numbers."""
        return f"perturb:{self.change}:{':'.join(self.motifs)}"


@dataclass(frozen=True)
class Test:
    """A test of one motif (presence) or of a pair; ``shift`` is the control of distance.

    Attributes
    ----------
    excluded : of distance: gaps that the moved pair may not have, both ends included; None: it may have any
    """

    __test__ = False  # not one of pytest's

    kind: Kind
    motifs: tuple[str, ...]
    excluded: Gaps | None = None

    @property
    def name(self) -> str:
        """Kind and motifs, for people."""
        return " ".join((self.kind, *self.motifs))

    @property
    def parts(self) -> tuple[Part, ...]:
        """The copies it compares with the sequence; interaction: with the first, the second and both motifs replaced.

        Tests that replace the sites of one motif share their copies.
        """
        if self.kind == "presence":
            return (Part("replace", self.motifs),)
        if self.kind == "interaction":
            first, second = self.motifs
            return tuple(Part("replace", names) for names in ((first,), (second,), (first, second)))
        return (Part(_CHANGES[self.kind], self.motifs, self.excluded),)

    def as_params(self) -> dict[str, Any]:
        """Plain values; :func:`test_of` is the way back."""
        excluded = None if self.excluded is None else list(self.excluded)
        return {"kind": self.kind, "motifs": list(self.motifs), "excluded": excluded}


def test_of(params: Mapping[str, Any]) -> Test:
    """The test of a plan."""
    excluded = params["excluded"]
    return Test(params["kind"], tuple(params["motifs"]), None if excluded is None else (excluded[0], excluded[1]))


test_of.__test__ = False  # type: ignore[attr-defined]  # not one of pytest's


def list_tests(
    motifs: Sequence[str], kinds: Sequence[Kind], *, excluded: Gaps | None = None, of: frozenset[str] | None = None
) -> list[Test]:
    """Presence of every motif, then order, distance with its control, and interaction of every pair.

    Parameters
    ----------
    excluded : gaps that moved pairs may not have
    of : the pair that these gaps are of; None: every pair
    """
    found = [Test("presence", (name,)) for name in motifs if "presence" in kinds]
    for kind in (kind for kind in ASKED if kind in kinds and kind != "presence"):
        for pair in combinations(motifs, 2):
            gaps = excluded if kind == "distance" and (of is None or of == set(pair)) else None
            found.append(Test(kind, pair, gaps))
            if kind == "distance":
                found.append(Test("shift", pair))
    return found
