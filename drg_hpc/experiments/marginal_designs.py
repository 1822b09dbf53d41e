"""Which insertions a run of drg-marginalize makes: designs, numbered by arithmetic. Light.

A design is a site, or a pair of sites, put at given places of every background; what is put in replaces the bases that
are there. A site of k bases of a sequence of L is centred at ``L // 2 - k // 2``, a pair as one block of its two sites
and the gap between them: the places that tangermeme's ``marginalize`` and ``space`` take.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

By = Literal["motif", "position", "spacing"]
STRANDS = "+-"
KEEP = "N"
"""Letter of a site that leaves the base of the background as it is."""
EFFECT = "effect"
QUANTITIES: Mapping[str, tuple[str, ...]] = {
    "motif": (EFFECT,), "position": (EFFECT,), "spacing": (EFFECT, "left", "right", "interaction"),
}  # fmt: skip
"""What is told of each design: the change of the value; of a pair also that by either site alone at the same place,
and the change by the pair less these two."""


@dataclass(frozen=True)
class Item:
    """What can be put in.

    Attributes
    ----------
    letters : the consensus of a motif, or a sequence as it was given; :data:`KEEP` keeps the background
    file : number of the database that the motif is of; None: a given sequence
    """

    name: str
    letters: str
    file: int | None = None

    @property
    def width(self) -> int:
        """Bases."""
        return len(self.letters)


@dataclass(frozen=True)
class Site:
    """An item at a place.

    Attributes
    ----------
    item : its number
    start : first base in the background
    strand : - puts in the reverse complement
    second : it is the right one of a pair of an item with itself, and gets random numbers of its own
    """

    item: int
    start: int
    strand: str = "+"
    second: bool = False


Design = tuple[Site, ...]
"""One site, or the left and the right one of a pair."""


@dataclass(frozen=True)
class Designs:
    """All designs of a run.

    Attributes
    ----------
    length : bases of a background
    strands : of single sites
    positions : starts of single sites; () is the centre
    pairs : numbers of the left and the right item
    orientations : strands of the left and the right site
    spacings : gaps, bases from the end of the left to the start of the right site
    """

    by: By
    length: int
    items: tuple[Item, ...]
    strands: tuple[str, ...] = ("+",)
    positions: tuple[int, ...] = ()
    pairs: tuple[tuple[int, int], ...] = ()
    orientations: tuple[str, ...] = ()
    spacings: tuple[int, ...] = ()

    def __len__(self) -> int:
        if self.by == "spacing":
            return len(self.pairs) * len(self.orientations) * len(self.spacings)
        return len(self.items) * len(self.strands) * max(1, len(self.positions))

    def __getitem__(self, number: int) -> Design:
        """A design: item by item, strand by strand, position by position; or pair, orientation, spacing."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        if self.by == "spacing":
            rest, spacing = divmod(number, len(self.spacings))
            pair, orientation = divmod(rest, len(self.orientations))
            return self._pair(self.pairs[pair], self.orientations[orientation], self.spacings[spacing])
        rest, position = divmod(number, max(1, len(self.positions)))
        item, strand = divmod(rest, len(self.strands))
        start = self.positions[position] if self.positions else self.centred(self.items[item].width)
        return (Site(item, start, self.strands[strand]),)

    def centred(self, width: int) -> int:
        """Start of a block in the middle of a background."""
        return self.length // 2 - width // 2

    def _pair(self, pair: tuple[int, int], orientation: str, spacing: int) -> Design:
        left, right = pair
        width = self.items[left].width
        start = self.centred(width + spacing + self.items[right].width)
        return (
            Site(left, start, orientation[0]),
            Site(right, start + width + spacing, orientation[1], second=left == right),
        )

    def as_params(self) -> dict[str, Any]:
        """Plain values; :meth:`from_params` is the way back."""
        return {
            "by": self.by,
            "items": [[item.name, item.letters, item.file] for item in self.items],
            **{name: list(getattr(self, name)) for name in ("strands", "positions", "orientations", "spacings")},
            "pairs": [list(pair) for pair in self.pairs],
        }

    @classmethod
    def from_params(cls, params: Mapping[str, Any], *, length: int) -> Designs:
        """The designs of a plan."""
        lists = {name: tuple(params[name]) for name in ("strands", "positions", "orientations", "spacings")}
        items = tuple(Item(name, letters, file) for name, letters, file in params["items"])
        pairs = tuple((left, right) for left, right in params["pairs"])
        return cls(params["by"], length, items, pairs=pairs, **lists)


def insertions_of(design: Design) -> tuple[Design, ...]:
    """What is predicted of a design: it, and of a pair also its left and its right site alone."""
    return (design,) if len(design) == 1 else (design, design[:1], design[1:])


def consensus(rows: Sequence[Sequence[float]]) -> str:
    """The letter of the largest probability at each position, the first of equal ones in the order A, C, G, T; where
    all four are equal :data:`KEEP`."""
    return "".join(KEEP if len(set(row)) == 1 else "ACGT"[max(range(4), key=row.__getitem__)] for row in rows)
