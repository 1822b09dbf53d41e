"""Which rows of an input ``--where`` chooses, settled in the plan. Light, but for targets that stand in no table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drg_hpc.bodies.where import Column, holds
from drg_hpc.bodies.where_parser import Comparison, Condition, Name, Not, parse
from drg_hpc.bodies.where_tables import RegionSource, Rows, Source, Table, read_table
from drg_hpc.digests import digest
from drg_hpc.errors import CorruptError, InputError, UsageError
from drg_hpc.genome.regions import Region
from drg_hpc.store.dataset_layout import REGION_TYPES

TARGETS = ("max_target", "mean_target")


@dataclass(frozen=True)
class Chosen:
    """The rows that a condition chose.

    Attributes
    ----------
    rows : numbers in the input, ascending
    split : that they were chosen from, None where the input has none
    params : what the plan keeps of it: the condition, the sha256 of the table, and that of the rows
    note : how many were chosen
    """

    rows: list[int]
    split: str | None
    params: Mapping[str, Any]
    note: str


@dataclass(frozen=True)
class Where:
    """What ``--where``, ``--evaluation`` and ``--limit`` ask for.

    Attributes
    ----------
    evaluation : folder of drg-evaluate, or a TSV
    limit : take the first so many of the rows chosen

    Raises
    ------
    UsageError : no condition
    """

    text: str
    evaluation: Path | None = None
    limit: int | None = None
    condition: Condition = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "condition", parse(self.text))

    @property
    def names(self) -> set[str]:
        """Columns, and texts in quotes, of the condition."""
        return set(_names(self.condition))

    def of_store(
        self, path: Path, header: Mapping[str, Any], record: Mapping[str, Any], *, model: Mapping[str, Any],
        split: str | None,
    ) -> Chosen:  # fmt: skip
        """Rows of a dataset store.

        Parameters
        ----------
        header, record : of the store, and its description
        model : header of the model; targets are those of its tracks
        split : asked for; None: that of the evaluation, else test

        Raises
        ------
        UsageError : the condition does not fit the columns, or the evaluation is of another split
        InputError : no such table, one of another store, no row is chosen, or a library is needed that is not here
        """
        own = _StoreSource(path, model)
        if self.evaluation is None:
            split = split or "test"
            return self._choose(own.split_rows(split), [own], split=split)
        table = read_table(self.evaluation, self.names)
        if table.store is not None and table.store != record["sha256"]:
            raise InputError(f"{self.evaluation} is an evaluation on another store than {path}",
                             fix="give the evaluation of these rows")  # fmt: skip
        table.require_below(int(header["rows"]))
        return self._choose(_of_split(table, split), [table, own], split=split or table.split, table=table)

    def of_regions(self, regions: Sequence[Region]) -> Chosen:
        """Rows that were read from a file.

        Raises
        ------
        UsageError : the condition does not fit the columns
        InputError : no such table, rows that are not there, or no row is chosen
        """
        own = RegionSource(regions)
        if self.evaluation is None:
            return self._choose(range(len(regions)), [own], split=None)
        table = read_table(self.evaluation, self.names, numbers=own.numbers)
        table.require_below(len(regions))
        return self._choose(sorted(table.rows), [table, own], split=None, table=table)

    def _choose(
        self, rows: Sequence[int], sources: Sequence[Source], *, split: str | None, table: Table | None = None
    ) -> Chosen:
        truth = holds(self.condition, Rows(rows, sources))
        found = [row for row, holds_there in zip(rows, truth, strict=True) if holds_there]
        note = f"{len(found)} of {len(rows)} rows pass --where"
        if not found:
            open_ = sum(value is None for value in truth)
            why = f", {open_} of them for want of a value" if open_ else ""
            raise InputError(f"none of {len(rows)} rows passes --where {self.text!r}{why}")
        found = found[: self.limit]
        params = {"condition": self.text, "rows_sha256": digest(pack(found))}
        return Chosen(found, split, params | ({"table_sha256": table.sha256} if table else {}), note)


def _names(condition: Condition) -> Iterator[str]:
    if isinstance(condition, Comparison):
        yield from (side.text for side in (condition.left, condition.right) if isinstance(side, Name))
    elif isinstance(condition, Not):
        yield from _names(condition.of)
    else:
        for part in condition.parts:
            yield from _names(part)


def _of_split(table: Table, split: str | None) -> list[int]:
    """Rows of a table that are in a split."""
    if split in (None, "all", table.split):
        return sorted(table.rows)
    if "split" not in table.names or split.startswith("fold:"):
        raise UsageError(
            f"--split {split}: {table.path} does not say which rows are in it",
            fix=f"leave --split out{f': it is of split {table.split}' if table.split else ''}",
        )
    rows = sorted(table.rows)
    found = [row for row, own in zip(rows, table.column("split", rows), strict=True) if own == split]
    if not found:
        raise InputError(f"{table.path} has no rows of split {split!r}")
    return found


class _StoreSource:
    """Regions and targets of a store, which only the libraries of the workers can read."""

    names: Collection[str] = (*REGION_TYPES, *TARGETS)

    def __init__(self, path: Path, model: Mapping[str, Any]) -> None:
        self._path, self._model = path, model
        self._columns: Any = None

    def split_rows(self, split: str) -> list[int]:
        """Kept rows of a split."""
        found: list[int] = self._reader("the rows of the store are").split_rows(split)
        return found

    def column(self, name: str, rows: Sequence[int]) -> Column:
        """See :class:`drg_hpc.bodies.where_tables.Source`."""
        found: Column = self._reader(f"{name} is").column(name, rows)
        return found

    def _reader(self, what: str) -> Any:
        try:
            from drg_hpc.bodies.where_store import StoreColumns
        except ModuleNotFoundError as error:
            raise InputError(
                f"--where: {what} read from {self._path}, for which {error.name} is needed; it is not installed here",
                fix="give --evaluation DIR, whose regions.tsv has max_target, mean_target and the regions, or plan in "
                "the image",
            ) from None
        self._columns = self._columns or StoreColumns(self._path, self._model)
        return self._columns


def pack(rows: Iterable[int]) -> list[int]:
    """Starts and stops in turn of the runs of ascending row numbers: ``[3, 4, 5, 9]`` -> ``[3, 6, 9, 10]``."""
    found: list[int] = []
    for row in rows:
        if found and row == found[-1]:
            found[-1] = row + 1
        else:
            found += (row, row + 1)
    return found


def unpack(runs: Sequence[int]) -> list[int]:
    """The rows that :func:`pack` packed."""
    return [row for start, stop in zip(runs[::2], runs[1::2], strict=True) for row in range(start, stop)]


def chosen_rows(params: Mapping[str, Any], aside: Mapping[str, Any]) -> list[int] | None:
    """The rows that a plan was made for; None where it has no condition.

    Raises
    ------
    CorruptError : they are not those of the plan
    """
    if (where := params.get("where")) is None:
        return None
    runs = aside.get("chosen_rows")
    if runs is None or digest(runs) != where["rows_sha256"]:
        raise CorruptError("the plan's list of rows is not the one that it was made with", fix="plan a new run")
    return unpack(runs)
