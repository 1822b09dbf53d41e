"""Conditions on columns of a table of rows, as ``--where`` takes them. Light.

``pearson > 0.5 and (max_target >= q90 or not split == "train")``: comparisons of columns with numbers, texts,
quantiles and each other, joined by ``and``, ``or``, ``not`` and parentheses. ``q90`` is the 90 % quantile of the column
that it is compared with, over the rows there are to choose from. Names of columns with other characters than letters,
digits, ``_``, ``.``, ``:`` and ``@`` stand in quotes or backticks, texts in quotes. A comparison with a missing value
is neither true nor false, and neither is what hangs on it alone: ``not`` does not select such a row.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Protocol

from drg_hpc.bodies.where_parser import Comparison, Condition, Name, Not, Operand, Quantile
from drg_hpc.errors import UsageError

Column = Sequence[float | None] | Sequence[str | None]
Truth = bool | None
_Kind = Literal["number", "text", "missing"]
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


class Table(Protocol):
    """Rows to choose from."""

    def __len__(self) -> int: ...

    def has(self, name: str) -> bool:
        """Whether there is such a column."""

    def column(self, name: str) -> Column:
        """The values of a column, all numbers or all text, None where missing.

        Raises
        ------
        UsageError : no such column
        """


def quantile(values: Iterable[float], percent: float) -> float:
    """Quantile of some numbers, between two of them on the straight line (type 7 of Hyndman and Fan 1996)."""
    ordered = sorted(values)
    place = percent / 100 * (len(ordered) - 1)
    low = min(math.floor(place), max(len(ordered) - 2, 0))
    a, b, t = ordered[low], ordered[min(low + 1, len(ordered) - 1)], place - low
    if a == b:
        return a
    return b - (b - a) * (1 - t) if t >= 0.5 else a + (b - a) * t  # from the nearer end, so that no end is missed


def holds(condition: Condition, table: Table) -> list[Truth]:
    """Whether a condition holds, for each row of a table; None where a missing value leaves it open.

    Raises
    ------
    UsageError : no such column, a number compared with a text, a quantile without a column
    """
    if isinstance(condition, Comparison):
        return _compare(condition, table)
    if isinstance(condition, Not):
        return [None if value is None else not value for value in holds(condition.of, table)]
    decides = condition.word == "or"  # one True decides an or, one False an and
    found = [holds(part, table) for part in condition.parts]
    return [decides if decides in row else None if None in row else not decides for row in zip(*found, strict=True)]


def _compare(condition: Comparison, table: Table) -> list[Truth]:
    sides = (condition.left, condition.right)
    columns = [_column(side, table) for side in sides]
    values = [
        column if column is not None else _constant(side, columns[1 - i], table)
        for i, (side, column) in enumerate(zip(sides, columns, strict=True))
    ]
    kinds = {_kind(side) for side in values} - {"missing"}
    if len(kinds) > 1:
        raise UsageError(f"--where: {_told(condition)}: a number is compared with a text")
    if kinds == {"text"} and condition.sign not in ("==", "!="):
        raise UsageError(f"--where: {_told(condition)}: texts are equal (==) or not (!=)")
    compare = _OPERATORS[condition.sign]
    left, right = (
        itertools.repeat(side, len(table)) if isinstance(side, float | str | None) else side for side in values
    )
    return [None if a is None or b is None else compare(a, b) for a, b in zip(left, right, strict=True)]


def _column(side: Operand, table: Table) -> Column | None:
    """The values of an operand that is a column; one that is not in quotes must be."""
    if not isinstance(side, Name) or (side.quoted and not table.has(side.text)):
        return None
    return table.column(side.text)


def _constant(side: Operand, other: Column | None, table: Table) -> float | str | None:
    """What a number, a quantile or a text is compared with a column as.

    Raises
    ------
    UsageError : there is no column that it can be compared with
    """
    if isinstance(side, Name):
        if other is None or _kind(other) == "number":
            table.column(side.text)  # says that there is no such column
        return side.text
    if other is None:
        raise UsageError("--where: one side of each comparison has to be a column", fix="such as pearson>0.5")
    if isinstance(side, Quantile):
        if _kind(other) == "text":
            raise UsageError(f"--where: q{side.percent:g} is compared with a column of texts")
        known = [value for value in other if isinstance(value, float)]
        return quantile(known, side.percent) if known else None
    return side


def _kind(values: Column | float | str | None) -> _Kind:
    first = values if isinstance(values, float | str | None) else next((v for v in values if v is not None), None)
    return "missing" if first is None else "text" if isinstance(first, str) else "number"


def _told(condition: Comparison) -> str:
    def told(side: Operand) -> str:
        if isinstance(side, Name):
            return side.text
        return f"q{side.percent:g}" if isinstance(side, Quantile) else f"{side:g}"

    return f"{told(condition.left)} {condition.sign} {told(condition.right)}"
