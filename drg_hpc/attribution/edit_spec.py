"""Kinds of edits of in-silico mutagenesis, as ``--edits`` asks for them. Light.

- ``substitutions``: every other base at every position
- ``deletions:S``: S bases taken out
- ``insertions:S`` (random bases) or ``insertions:ACGT`` (these), put in before a position
- ``windows:K:shuffle[:R]``, ``windows:K:dinuc[:R]``: K bases replaced by R shuffles of them (dinuc: that keep the
  counts of neighbouring pairs), mean over the R
- ``windows:K:n``: by unknown bases; ``windows:motif:TGACTCA``: by these
- ``windows:K/S:…`` and ``windows:motif/S:…``: a window at every S-th position only

Several are separated by commas.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

from drg_hpc.errors import UsageError

COPIES = 10
"""Shuffles of a window unless a number is given."""
GRAMMAR = (
    "substitutions, deletions:S, insertions:S, insertions:ACGT, windows:K[/S]:shuffle[:R], windows:K[/S]:dinuc[:R], "
    "windows:K[/S]:n, windows:motif[/S]:TGACTCA"
)
_SPEC = re.compile(
    r"substitutions|deletions:(?P<deleted>\d{1,6})|insertions:((?P<random>\d{1,6})|(?P<inserted>[ACGT]+))"
    r"|windows:(?P<width>\d{1,6})(/(?P<stride>\d{1,6}))?:((?P<fill>shuffle|dinuc)(:(?P<copies>\d{1,4}))?|n)"
    r"|windows:motif(/(?P<motif_stride>\d{1,6}))?:(?P<motif>[ACGT]+)"
)
Fill = Literal["", "random", "bases", "shuffle", "dinuc", "n"]


@dataclass(frozen=True)
class EditSpec:
    """One kind of edit, made at every position that is asked for and where it fits into the sequence.

    Attributes
    ----------
    size : bases that are replaced, taken out or put in
    fill : what comes in: the given ``bases``, random ones, shuffles of those that are there, or unknown ones (n)
    copies : shuffles of a window
    stride : distance of windows, counted from the first position asked for
    """

    kind: Literal["substitutions", "deletions", "insertions", "windows"]
    size: int = 1
    fill: Fill = ""
    bases: str = ""
    copies: int = 1
    stride: int = 1

    @property
    def slug(self) -> str:
        """Name of the dataset in files."""
        if self.kind == "substitutions":
            return "substitution"
        if self.fill == "bases":
            return f"{self.kind[:-1]}_{self.bases}"
        ending = f"_{self.fill}" if self.kind == "windows" else ""
        return f"{self.kind[:-1]}_{self.size}{ending}"

    @property
    def text(self) -> str:
        """How it is asked for."""
        stride = f"/{self.stride}" if self.stride > 1 else ""
        if self.kind == "substitutions":
            return self.kind
        if self.kind == "windows" and self.fill == "bases":
            return f"windows:motif{stride}:{self.bases}"
        if self.kind == "windows":
            copies = f":{self.copies}" if self.fill in ("shuffle", "dinuc") else ""
            return f"windows:{self.size}{stride}:{self.fill}{copies}"
        return f"{self.kind}:{self.bases or self.size}"

    def count(self, positions: int) -> int:
        """Edits at so many positions in a row, all of known bases."""
        if self.kind == "substitutions":
            return 3 * positions
        return -(-positions // self.stride) * self.copies


def parse_edits(text: str) -> tuple[EditSpec, ...]:
    """See the head of this module.

    Raises
    ------
    UsageError : none of these, a size of 0, or two that would share a dataset
    """
    found = tuple(_edit(item.strip()) for item in text.split(","))
    slugs = [spec.slug for spec in found]
    if twice := next((slug for slug in slugs if slugs.count(slug) > 1), None):
        raise UsageError(f"--edits {text}: {twice} twice", fix="give each kind and size once")
    return found


def _edit(text: str) -> EditSpec:
    match = _SPEC.fullmatch(text)
    if match is None:
        raise UsageError(f"--edits {text!r} is not known", fix=f"one or more of: {GRAMMAR}")
    given = match.groupdict()
    stride = int(given["stride"] or given["motif_stride"] or 1)
    if given["deleted"]:
        found = EditSpec("deletions", int(given["deleted"]))
    elif given["random"]:
        found = EditSpec("insertions", int(given["random"]), "random")
    elif given["inserted"]:
        found = EditSpec("insertions", len(given["inserted"]), "bases", given["inserted"])
    elif given["motif"]:
        found = EditSpec("windows", len(given["motif"]), "bases", given["motif"], stride=stride)
    elif given["width"]:
        fill, copies = given["fill"] or "n", given["copies"]
        shuffles = 1 if fill == "n" else int(copies or COPIES)
        found = EditSpec("windows", int(given["width"]), cast("Fill", fill), copies=shuffles, stride=stride)
    else:
        found = EditSpec("substitutions")
    if not (found.size and found.copies and found.stride):
        raise UsageError(f"--edits {text}: sizes, strides and numbers of shuffles begin at 1")
    return found
