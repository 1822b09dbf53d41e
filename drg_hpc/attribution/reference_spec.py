"""What sequences are compared with: the names of reference sets, parsed. Light: plans read it on login nodes."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from drg_hpc.errors import UsageError

Kind = Literal["zero", "uniform", "freq", "dinuc", "dinuc-compat", "file"]
FIXED: tuple[Kind, ...] = ("zero", "uniform", "freq")
"""One reference, the same at every position."""
SHUFFLED: tuple[Kind, ...] = ("dinuc", "dinuc-compat")
COUNT = 20
"""Shuffles of a sequence unless a number is given (as tangermeme, DeepSHAP of ChromBPNet)."""
MOST = 10_000
GRAMMAR = "zero, uniform, freq:A,C,G,T, dinuc[:N], dinuc-compat[:N], euler[:N] (another name of dinuc), or a FILE"
_FREQUENCIES = {"zero": (0.0, 0.0, 0.0, 0.0), "uniform": (0.25, 0.25, 0.25, 0.25)}


@dataclass(frozen=True)
class ReferenceSpec:
    """A set of references for every sequence.

    Parameters
    ----------
    kind : zero, uniform, freq: one reference with those base frequencies everywhere; dinuc: shuffles that keep the
        counts of neighbouring pairs, drawn uniformly; dinuc-compat: those of tangermeme's deep_lift_shap; file
    count : references of a sequence; 0: as many as the file has
    frequencies : of A, C, G, T, for zero, uniform and freq
    path : the file
    """

    kind: Kind
    count: int = 1
    frequencies: tuple[float, ...] = ()
    path: Path | None = None

    @property
    def random(self) -> bool:
        """Whether the seed has an effect."""
        return self.kind in SHUFFLED

    @property
    def text(self) -> str:
        """How it is asked for."""
        if self.kind == "file":
            return str(self.path)
        if self.kind == "freq":
            return "freq:" + ",".join(f"{value:g}" for value in self.frequencies)
        return f"{self.kind}:{self.count}" if self.random else self.kind


def parse_frequencies(text: str, *, option: str) -> tuple[float, ...]:
    """``0.3,0.2,0.2,0.3`` (A, C, G, T) as four numbers that sum to 1.

    Raises
    ------
    UsageError : not four non-negative numbers, or their sum is not 1
    """
    try:
        values = tuple(float(item) for item in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 4 or not all(math.isfinite(value) and value >= 0 for value in values):
        raise UsageError(f"{option} {text!r} is not four frequencies a,c,g,t", fix="for example 0.3,0.2,0.2,0.3")
    if abs(sum(values) - 1) > 1e-3:
        raise UsageError(f"{option} {text!r} sums to {sum(values):g}, not 1", fix="for example 0.3,0.2,0.2,0.3")
    return values


def parse_references(text: str) -> ReferenceSpec:
    """See :data:`GRAMMAR`. A file named like a kind is asked for as ``./zero``.

    Raises
    ------
    UsageError : none of these, a number of shuffles that is not from 1 to 10,000, or no such file
    """
    if text in _FREQUENCIES:
        return ReferenceSpec("zero" if text == "zero" else "uniform", frequencies=_FREQUENCIES[text])
    head, colon, rest = text.partition(":")
    if head == "freq" and colon:
        return ReferenceSpec("freq", frequencies=parse_frequencies(rest, option="--references freq:"))
    if head in (*SHUFFLED, "euler"):
        kind: Kind = "dinuc-compat" if head == "dinuc-compat" else "dinuc"
        if not colon:
            return ReferenceSpec(kind, COUNT)
        if not re.fullmatch("[0-9]{1,5}", rest) or not 1 <= int(rest) <= MOST:
            raise UsageError(f"--references {text!r}: {rest!r} is no number of shuffles from 1 to {MOST:,}",
                             fix=f"for example {head}:{COUNT}")  # fmt: skip
        return ReferenceSpec(kind, int(rest))
    path = Path(text)
    try:
        there = path.is_file()
    except (OSError, ValueError):  # no name that a file could have
        there = False
    if not there:
        raise UsageError(f"--references {text!r} is not known, and no file", fix=GRAMMAR)
    return ReferenceSpec("file", 0, path=path)
