"""Places, gaps, orientations and sequences as the flags of drg-marginalize say them. Light."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product

from drg_hpc.errors import UsageError
from drg_hpc.experiments.marginal_designs import STRANDS, Item

_RANGE = re.compile(r"(?P<first>[0-9]{0,9}):(?P<last>[0-9]{0,9})(:(?P<step>[0-9]{1,9}))?")
_NUMBER = re.compile(r"[0-9]{1,9}")
_FORM = "numbers and ranges FIRST:END[:STEP] without END, separated by commas, such as 0:60:5 or 3,10,20:40"
_SIGNS = str.maketrans("fr", STRANDS)
ORIENTATIONS = tuple("".join(pair) for pair in product(STRANDS, repeat=2))
"""Strands of the left and the right site."""


def parse_numbers(text: str, *, flag: str, end: int, why: str) -> tuple[int, ...]:
    """Places or gaps, in the order given, each once.

    Parameters
    ----------
    end : numbers are below it; a range without an END goes to it
    why : what the largest number is, for messages

    Raises
    ------
    UsageError : not such a text, an empty range, or a number that does not fit
    """
    found: dict[int, None] = {}
    for part in (each.strip() for each in text.split(",")):
        match = _RANGE.fullmatch(part)
        if match is not None:
            first, last, step = (int(match[name]) if match[name] else None for name in ("first", "last", "step"))
            if step == 0:
                raise UsageError(f"{flag} {part}: a step is at least 1", fix="such as ::1, or leave it out")
            stop = end if last is None else last
            numbers: Sequence[int] = range(first or 0, stop, step or 1)
        elif _NUMBER.fullmatch(part):
            numbers = [int(part)]
        else:
            shown = f"{text!r}: {part!r}" if part and part != text.strip() else repr(text)
            raise UsageError(f"{flag} {shown} is not understood", fix=_FORM)
        if not numbers:
            raise UsageError(f"{flag} {part}: no number is in this range", fix=f"the largest that fits is {end - 1}")
        if numbers[-1] >= end:
            raise UsageError(f"{flag} {part}: {numbers[-1]} does not fit, {why}", fix=f"at most {end - 1}")
        found |= dict.fromkeys(numbers)
    return tuple(found)


def parse_orientations(given: Sequence[str]) -> tuple[str, ...]:
    """Strands of the left and the right site; () is all of them.

    Parameters
    ----------
    given : two letters or signs, f or + for forward, r or - for reverse; several by blanks or commas

    Raises
    ------
    UsageError : another word, or none at all
    """
    found: dict[str, None] = {}
    form = "one or more of ff, fr, rf, rr"
    for word in (word for each in given for word in each.replace(",", " ").split()):
        signs = word.translate(_SIGNS)
        if signs not in ORIENTATIONS:
            raise UsageError(f"--orientations {word!r}: the strand of the left site, then of the right one",
                             fix=form)  # fmt: skip
        found[signs] = None
    if given and not found:
        raise UsageError(f"--orientations {' '.join(given)!r}: no strands", fix=form)
    return tuple(found) or ORIENTATIONS


def parse_sequence(text: str) -> Item:
    """``ACGTN…`` or ``NAME=ACGTN…``.

    Raises
    ------
    UsageError : no bases, or another letter
    """
    name, equals, given = text.rpartition("=")
    letters = given.strip().upper()
    if not letters or set(letters) - set("ACGTN"):
        raise UsageError(f"--sequences {text!r}: letters are A, C, G, T, and N where the background stays",
                         fix="give ACGTN… or NAME=ACGTN…")  # fmt: skip
    if equals and (not name.strip() or name.split() != [name.strip()]):
        raise UsageError(f"--sequences {text!r}: a name is one word", fix="NAME=ACGTN…")
    return Item(name.strip() or letters, letters)
