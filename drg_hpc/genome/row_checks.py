"""What every reader of intervals checks in a row: coordinates, contig names, row names, strands. Light."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from drg_hpc.errors import InputError

LARGEST = 1 << 40
"""No contig is longer, so a larger coordinate is a fault of the file."""
_DIGITS = len(str(LARGEST))
# Most commands that read a BED have no flag for its form.
_ONE_BASED = "is the file 1-based? starts count from 0 here (drg-shard takes --one-based for regions)"
_HEADER = "remove the header line or begin it with # (drg-shard takes --format csv for regions)"
_NAME_FIRST = " (drg-shard takes --format csv for regions with the name first)"


def is_number(text: str) -> bool:
    """Whether a column holds a whole number that is not negative, in plain digits."""
    return text.isdigit() and text.isascii()


def interval(start: str, end: str, *, at: str, one_based: bool = False, row: Sequence[str] = ()) -> tuple[int, int]:
    """Start and end, 0-based half-open, of two columns.

    Parameters
    ----------
    at : path and line, for messages
    one_based : the columns count from 1 and the end is part of the interval
    row : all columns of a BED row, to say what may be wrong with their order

    Raises
    ------
    InputError : not whole numbers, negative, above 2^40, or nothing between them
    """
    if len(start) < _DIGITS > len(end) and is_number(start) and is_number(end):
        first, last = int(start) - one_based, int(end)
        if 0 <= first < last:
            return first, last
    return _checked(start, end, at=at, one_based=one_based, row=row)


def _checked(start: str, end: str, *, at: str, one_based: bool, row: Sequence[str]) -> tuple[int, int]:
    """:func:`interval` for columns that are not plainly right."""
    first, last = _number(start, "start", at), _number(end, "end", at)
    if first is None or last is None:
        _not_numbers(start, end, at, row)
    if first < 0:
        raise InputError(f"{at}: negative start {first}")
    if one_based:
        if first == 0:
            raise InputError(f"{at}: start 0, but starts count from 1 here", fix="is the file 0-based?")
        if last < first:
            raise InputError(f"{at}: end {last} is below start {first}", fix="are they swapped?")
        return first - 1, last
    if last <= first:
        fix = _ONE_BASED if last == first else "are they swapped?"
        raise InputError(f"{at}: end {last} is not above start {first}", fix=fix)
    return first, last


def _number(text: str, what: str, at: str) -> int | None:
    digits = text.removeprefix("-")
    if not is_number(digits):
        return None
    if len(digits.lstrip("0")) > _DIGITS or int(digits[-_DIGITS:]) > LARGEST:
        shown = text if len(text) < 30 else f"{text[:25]}…"
        raise InputError(f"{at}: {what} {shown} is beyond the end of any contig (2^40)")
    value = int(digits[-_DIGITS:])
    return -value if text.startswith("-") else value


def _not_numbers(start: str, end: str, at: str, row: Sequence[str]) -> NoReturn:
    fix = ""
    pairs = [i for i in range(min(len(row), 6) - 1) if is_number(row[i]) and is_number(row[i + 1])]
    if pairs:
        fix = f"columns {pairs[0] + 1} and {pairs[0] + 2} look like them; the order is chrom, start, end"
        fix += _NAME_FIRST if pairs[0] == 2 else ""
    elif row and not any(letter.isdigit() for letter in start + end):
        fix = _HEADER
    raise InputError(f"{at}: start and end must be whole numbers, got {start[:40]!r} {end[:40]!r}", fix=fix)


def contig_name(text: str, at: str) -> str:
    """The name of a contig, as it stands.

    Raises
    ------
    InputError : empty, or with characters that no assembly uses
    """
    if not text:
        raise InputError(f"{at}: the contig name is empty")
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise InputError(f"{at}: {text[:40]!r} is not a contig name", fix="printable ASCII characters without blanks")
    return text


def row_name(text: str, at: str) -> str:
    """The name of a row, as it stands.

    Raises
    ------
    InputError : it has control characters or unusual white space
    """
    if not text.isprintable():
        raise InputError(f"{at}: the name {text[:40]!r} has characters that cannot be printed")
    return text


def strand_of(text: str, at: str, *, unknown: str = ".") -> str:
    """The strand ``+``, ``-`` or ``.``; each character of ``unknown`` and an empty column count as ``.``.

    Raises
    ------
    InputError : anything else
    """
    if text in ("+", "-"):
        return text
    if text in ("", *unknown):
        return "."
    raise InputError(f"{at}: strand must be +, - or ., got {text[:40]!r}")
