"""Tables that ``--where`` chooses rows by: an evaluation's regions.tsv, another TSV, a file of regions. Light."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from drg_hpc.bodies.where import Column
from drg_hpc.config import nearest
from drg_hpc.digests import describe_input
from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import read_json
from drg_hpc.genome.regions import Region
from drg_hpc.genome.text import numbered_lines

_MISSING = frozenset(("", "NA", "nan", "NaN"))
_REGION = ("chrom", "start", "end", "name", "strand")
_TEXT = frozenset(("chrom", "name", "strand", "split", "origin"))
"""Columns that are text whatever they look like: contigs can be named 1, 2, …"""


class Source(Protocol):
    """Columns of rows by their number in the input."""

    @property
    def names(self) -> Collection[str]:
        """Of the columns."""

    def column(self, name: str, rows: Sequence[int]) -> Column:
        """Values of some rows, all numbers or all text, None where missing."""


class Rows:
    """The rows there are to choose from, with the columns of several sources; of two of one name the first is taken."""

    def __init__(self, rows: Sequence[int], sources: Sequence[Source]) -> None:
        self.rows, self._sources = rows, sources
        self._found: dict[str, Column] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def has(self, name: str) -> bool:
        return any(name in source.names for source in self._sources)

    def column(self, name: str) -> Column:
        source = next((source for source in self._sources if name in source.names), None)
        if source is None:
            known = {known for source in self._sources for known in source.names}
            raise UsageError(f"--where: no column {name!r}", fix=nearest(name, known))
        if name not in self._found:
            self._found[name] = source.column(name, self.rows)
        return self._found[name]


class RegionSource:
    """Names and intervals of rows that were read from a BED or FASTA file."""

    names = _REGION

    def __init__(self, regions: Sequence[Region]) -> None:
        self._regions = regions

    def column(self, name: str, rows: Sequence[int]) -> Column:
        """See :class:`Source`."""
        values = [getattr(self._regions[row], name) for row in rows]
        return [float(value) for value in values] if name in ("start", "end") else values

    def numbers(self) -> dict[str, int]:
        """Row number by name.

        Raises
        ------
        InputError : a name twice
        """
        if (twice := first_twice(region.name for region in self._regions)) is not None:
            raise InputError(
                f"rows cannot be found by name: {twice!r} is the name of two",
                fix="give a table with a column row, the number of each row in the input",
            )
        return {region.name: row for row, region in enumerate(self._regions)}


@dataclass(frozen=True)
class Table:
    """A TSV with a line per row.

    Attributes
    ----------
    path : of the file
    sha256 : of the file
    rows : numbers of the rows in the input, in the order of the lines
    split : of the evaluation, None of another table
    store : sha256 of the evaluation's store, None of another table
    columns : those that were asked for, by line
    line : of each row
    """

    path: Path
    sha256: str
    rows: list[int]
    names: Collection[str]
    split: str | None
    store: str | None
    columns: Mapping[str, Column]
    line: Mapping[int, int]

    def require_below(self, count: int) -> None:
        """Refuse rows that an input of so many rows does not have.

        Raises
        ------
        InputError : the highest
        """
        if max(self.rows) >= count:
            raise InputError(f"{self.path}: row {max(self.rows)} of an input of {count} rows, which count from 0",
                             fix="give the table of these rows")  # fmt: skip

    def column(self, name: str, rows: Sequence[int]) -> Column:
        """See :class:`Source`."""
        values = self.columns[name]
        return [values[self.line[row]] for row in rows]  # type: ignore[return-value]


Value = TypeVar("Value", str, int)


def first_twice(values: Iterable[Value]) -> Value | None:
    """The first value that has been there before."""
    seen = set[Value]()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


def read_table(path: Path, wanted: Collection[str], *, numbers: Callable[[], Mapping[str, int]] | None = None) -> Table:
    """The table of an evaluation's folder, or any TSV with a header.

    Parameters
    ----------
    wanted : the columns to keep
    numbers : row by name, for a table without a column ``row``; None where rows are not known by name

    Raises
    ------
    InputError : no such table, a faulty line, no rows, neither ``row`` nor a name that is known, a row twice
    """
    folder = path.is_dir()
    file = path / "regions.tsv" if folder else path
    if not file.is_file():
        raise InputError(
            f"no such {'evaluation' if folder or not path.exists() else 'table'}: {file}",
            fix="give a folder made by drg-evaluate, or a TSV with a column row",
        )
    header, columns = _read(file, wanted)
    rows = _numbers(file, columns, numbers)
    if (twice := first_twice(rows)) is not None:
        raise InputError(f"{file}: row {twice} has two lines")
    lines = {row: line for line, row in enumerate(rows)}
    about = read_json(path / "metrics.json") if folder and (path / "metrics.json").is_file() else {}
    typed = {name: (as_texts if name in _TEXT else as_numbers)(values) for name, values in columns.items()}
    store = about.get("inputs", {}).get("store", {}).get("sha256")
    return Table(file, describe_input(file)["sha256"], rows, header, about.get("split"), store, typed, lines)


def _read(file: Path, wanted: Collection[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Names of all columns, and the cells of the wanted ones, of ``split``, and of ``row``, or without it ``name``."""
    lines = numbered_lines(file)
    header = next((line.split("\t") for _, line in lines), [])
    kept = {*wanted, "split", "row" if "row" in header else "name"}
    places = [(header.index(name), list[str]()) for name in dict.fromkeys(header) if name in kept]
    for number, line in lines:
        cells = line.split("\t")
        if len(cells) != len(header):
            if not line:
                continue
            raise InputError(f"{file}: line {number}: {len(cells)} columns, the header has {len(header)}")
        for place, values in places:
            values.append(cells[place])
    return header, {header[place]: values for place, values in places}


def _numbers(
    file: Path, columns: Mapping[str, list[str]], numbers: Callable[[], Mapping[str, int]] | None
) -> list[int]:
    """The row of each line."""
    if "row" in columns:
        if wrong := next((cell for cell in columns["row"] if not (cell.isascii() and cell.isdigit())), None):
            raise InputError(f"{file}: row {wrong!r} is no number of a row, which count from 0")
        found = [int(cell) for cell in columns["row"]]
    elif "name" in columns and numbers is not None:
        known = numbers()
        if (unknown := next((cell for cell in columns["name"] if cell not in known), None)) is not None:
            raise InputError(f"{file}: no row is named {unknown!r}")
        found = [known[cell] for cell in columns["name"]]
    else:
        raise InputError(f"{file} has no column row, the number of each row in the input",
                         fix="take regions.tsv of an evaluation")  # fmt: skip
    if not found:
        raise InputError(f"{file} has no rows")
    return found


def as_numbers(cells: Sequence[str]) -> Column:
    """Cells of a column as numbers, or as they are where one of them is none.

    Empty cells and NA are missing, and so is a number that is not finite: a quantile of the others must be one too.
    """
    try:
        return [_finite(cell) for cell in cells]
    except ValueError:
        return as_texts(cells)


def as_texts(cells: Sequence[str]) -> list[str | None]:
    """Cells of a column as they are; empty ones and NA are missing."""
    return [None if cell in _MISSING else cell for cell in cells]


def _finite(cell: str) -> float | None:
    value = math.nan if cell in _MISSING else float(cell)
    return value if math.isfinite(value) else None
