"""What ``--negatives`` asks for. Light."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast, get_args

from drg_hpc.config import nearest
from drg_hpc.errors import UsageError

Kind = Literal["dinuc", "dinuc-compat", "gc"]
_KINDS = get_args(Kind)
_MOST = 1000
_FORMS = "the form is dinuc:R, dinuc-compat:R or gc:R"


@dataclass(frozen=True)
class Negatives:
    """Negatives of each row: how they are made, and how many."""

    kind: Kind
    per_row: int


def parse_negatives(text: str | None) -> Negatives | None:
    """Negatives of ``dinuc:R``, ``dinuc-compat:R`` or ``gc:R``, R from 1 to 1000; None without.

    Raises
    ------
    UsageError : another form
    """
    if text is None:
        return None
    kind, _, number = text.strip().partition(":")
    if "," in text:
        raise UsageError(f"--negatives {text!r}: one kind only", fix=_FORMS)
    if kind not in _KINDS:
        raise UsageError(f"--negatives {text!r}: no kind {kind!r}", fix=f"{_FORMS}; {nearest(kind, _KINDS)}")
    if not re.fullmatch("[0-9]{1,4}", number) or not 1 <= int(number) <= _MOST:
        raise UsageError(
            f"--negatives {text!r}: how many for each row, from 1 to {_MOST}?", fix=f"{_FORMS}, such as {kind}:1"
        )
    return Negatives(cast(Kind, kind), int(number))
