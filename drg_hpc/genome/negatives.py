"""What ``--negatives`` asks for. Light."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

from drg_hpc.errors import UsageError

Kind = Literal["dinuc", "dinuc-compat", "gc"]


@dataclass(frozen=True)
class Negatives:
    """Negatives of each row: how they are made, and how many."""

    kind: Kind
    per_row: int


def parse_negatives(text: str | None) -> Negatives | None:
    """Negatives of ``dinuc:R``, ``dinuc-compat:R`` or ``gc:R``; None without.

    Raises
    ------
    UsageError : another form
    """
    if text is None:
        return None
    match = re.fullmatch(r"(dinuc|dinuc-compat|gc):([1-9]\d*)", text)
    if match is None:
        raise UsageError(f"--negatives {text!r}: the form is dinuc:R, dinuc-compat:R or gc:R", fix="such as dinuc:1")
    return Negatives(cast(Kind, match[1]), int(match[2]))
