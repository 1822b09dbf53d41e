"""Matrices of labels as text, TSV or CSV, a line at a time. Standard library only.

Quotes are those of CSV (a quoted field may hold the delimiter, ``""`` is a quote); a field does not run over several
lines. Lines that start with ``#`` are comments; where the first other line is a row, the comment above is the header.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from drg_hpc.errors import InputError
from drg_hpc.genome.text import numbered_lines

FLOAT32_LIMIT = math.nextafter(2.0**128 - 2.0**103, 0.0)
"""The largest number that float32 rounds to a finite one."""
_MISSING = {"", "na", "nan", "n/a", "#n/a", "<na>", "null", "none", "."}
_DELIMITERS: dict[str | None, str] = {"\t": "a tab", ",": "a comma", ";": "a semicolon", None: "blanks"}
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")
_FORM = "a header line with the tracks, then rows of a name and numbers"

Line = tuple[int, str]
Row = tuple[int, str, str | list[str]]
"""Line number, name, values not yet parsed."""


def bad_label(path: Path, where: str, row: str, column: str, text: object) -> InputError:
    """The error of a value that is no number; ``where`` is ``line 7: ``, or empty."""
    fix = "correct it, or take missing labels out of the loss with --missing mask"
    if _DECIMAL_COMMA.fullmatch(str(text)):
        fix = "write a decimal point, not a comma"
    return InputError(
        f"{path}: {where}row {row!r}, column {column!r}: label {str(text)!r} is not a finite number", fix=fix
    )


class TextMatrix:
    """A text matrix, read once from its start: iterate over its rows and pass each to :meth:`values`.

    Attributes
    ----------
    tracks : names of the columns

    Raises
    ------
    InputError : not a table; with the line: no header, a quote that does not end, a row without name or values
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines = ((number, line) for number, line in numbered_lines(path) if line and not line.isspace())
        header, first, commented = self._head()
        self._rows = chain([first], self._lines)
        self._delimiter = _delimiter(path, header[1], first[1])
        self.tracks = self._tracks(header, len(self._split(*first)) - 1, commented=commented)

    def _head(self) -> tuple[Line, Line, bool]:
        """Header, first row, and whether the header is a comment."""
        comment: Line | None = None
        head: Line | None = None
        for number, line in self._lines:
            if line.startswith("#"):
                comment = comment if head else (number, line[1:])
            elif head is not None:
                return head, (number, line), False
            elif "\r" in line:
                raise InputError(f"{self.path}: lines end with carriage returns only", fix="save it with LF or CRLF")
            elif comment and _is_header_of(self.path, comment[1], line):
                return comment, (number, line), True
            else:
                head = (number, line)
        raise InputError(f"no labels in {self.path}", fix=_FORM)

    def _tracks(self, header: Line, count: int, *, commented: bool) -> list[str]:
        """Track names: the last ``count`` fields of the header, which may or may not name the first column."""
        number, line = header
        fields = [field.strip() for field in self._split(number, line)]
        if count < 1 or len(fields) not in (count, count + 1):
            raise InputError(
                f"{self.path}: line {number}: the header has {len(fields)} columns, the first row {count + 1} "
                f"(columns end with {_DELIMITERS[self._delimiter]})",
                fix=_FORM,
            )
        tracks = fields[-count:]
        if not commented and all(map(_is_number, tracks)):
            raise InputError(
                f"{self.path}: line {number}: no header line with track names, but numbers",
                fix="put the track names in the first line, after # where they are numbers",
            )
        if "" in tracks:
            raise InputError(
                f"{self.path}: line {number}: column {tracks.index('') + 1 + len(fields) - count} has no name",
                fix="name every track; is there a delimiter at the end of the line?",
            )
        return tracks

    def _split(self, number: int, line: str) -> list[str]:
        try:
            return _fields(line, self._delimiter)
        except csv.Error as error:
            raise InputError(
                f"{self.path}: line {number}: quotes that do not match ({error})",
                fix='a quoted field ends on its line, and a quote within it is ""',
            ) from None

    def __iter__(self) -> Iterator[Row]:
        delimiter = self._delimiter
        for number, line in self._rows:
            values: str | list[str]
            if '"' in line:
                name, *values = self._split(number, line)
            elif line[0] == "#":
                continue
            else:
                name, *rest = line.split(delimiter, 1)
                values = rest[0] if rest else []
            name = name.strip()
            if not name or not values:
                what = "no name" if not name else f"no values, the header has {len(self.tracks)}"
                raise InputError(f"{self.path}: line {number}: {what}")
            yield number, name, values

    def values(self, row: Row, *, allow_missing: bool) -> Sequence[float]:
        """The values of a row, NaN where missing.

        Raises
        ------
        InputError : another number of columns than the header; a value that is no finite number within float32
        """
        number, name, raw = row
        fields = raw.split(self._delimiter) if isinstance(raw, str) else raw
        if len(fields) != len(self.tracks):
            raise InputError(
                f"{self.path}: line {number}: {len(fields) + 1} columns, the header has {len(self.tracks) + 1}"
            )
        text = raw if isinstance(raw, str) else "".join(raw)
        try:
            values = list(map(float, fields))
            # hypot is not below any of them, and not finite where one is not; float() would read 1_0 and other digits
            if math.hypot(*values) <= FLOAT32_LIMIT and "_" not in text and text.isascii():
                return values
        except ValueError:
            pass  # looked at one by one below
        pairs = zip(self.tracks, fields, strict=True)
        return [self._value(number, name, track, field.strip(), allow_missing) for track, field in pairs]

    def _value(self, number: int, name: str, track: str, text: str, allow_missing: bool) -> float:
        value = math.nan if text.lower() in _MISSING else _number(text)
        if value is None or (math.isnan(value) and not allow_missing) or abs(value) > FLOAT32_LIMIT:
            raise bad_label(self.path, f"line {number}: ", name, track, text)
        return value


def _number(text: str) -> float | None:
    try:
        return float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        return None


def _is_number(text: str) -> bool:
    return _number(text) is not None


def _fields(line: str, delimiter: str | None) -> list[str]:
    if '"' not in line:
        return line.split(delimiter)
    return next(csv.reader([line], delimiter=delimiter or " ", skipinitialspace=delimiter is None, strict=True))


def _delimiter(path: Path, header: str, row: str) -> str | None:
    """The first delimiter by which header and row have columns that fit, else the first one in the row."""
    order = sorted(_DELIMITERS, key=lambda d: d != ",") if _is_csv(path) else list(_DELIMITERS)
    found = []
    for delimiter in order:
        try:
            count = len(_fields(row, delimiter))
            if count > 1 and len(_fields(header, delimiter)) in (count - 1, count):
                return delimiter
        except csv.Error:
            continue
        if count > 1:
            found.append(delimiter)
    return found[0] if found else order[0]


def _is_csv(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(".csv")


def _is_header_of(path: Path, comment: str, line: str) -> bool:
    """Whether ``line`` is a row of numbers under ``comment``."""
    delimiter = _delimiter(path, comment, line)
    try:
        fields, above = _fields(line, delimiter), _fields(comment, delimiter)
    except csv.Error:
        return False
    values = [field.strip() for field in fields[1:]]
    numeric = bool(values) and all(_is_number(text) or text.lower() in _MISSING for text in values)
    return numeric and len(above) in (len(fields) - 1, len(fields))
