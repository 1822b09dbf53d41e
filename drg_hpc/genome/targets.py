"""Borzoi's targets table: tab-separated, an index, then named columns. Standard library only.

identifier, file; where present clip, clip_soft, scale, sum_stat, strand_pair, description.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from drg_hpc.errors import InputError
from drg_hpc.genome.text import numbered_lines

Order = Literal["new", "old"]
Stat = Literal["sum", "mean", "sum_sqrt", "mean_sqrt", "sum_exp75", "median", "max", "peak"]

STATS = ("sum", "mean", "sum_sqrt", "mean_sqrt", "sum_exp75", "median", "max", "peak")
_OTHER_NAMES = {"avg": "mean", "avg_sqrt": "mean_sqrt"}
_ABSENT = ("", "nan", "NaN", "NA", "None")


@dataclass(frozen=True, slots=True)
class Target:
    """One track of the table.

    Parameters
    ----------
    name, file, description : as the table has them; the file is found relative to the table
    strand_partner : number of the row with the other strand, or its own
    stat, scale, clip_soft, clip : how its values were, or are to be, transformed; None: no such clip
    line : of the table, for messages
    """

    name: str
    file: Path
    strand_partner: int
    description: str
    stat: Stat = "mean"
    scale: float = 1.0
    clip_soft: float | None = None
    clip: float | None = None
    line: int = 0


def transform_info(target: Target, order: Order) -> dict[str, Any]:
    """What a store keeps of a track's transform (``track_info``): order, stat, scale, clip_soft, clip.

    ``genome.transforms.Transform(**info)`` is the transform itself. A track read without one has ``"identity"`` there.

    Raises
    ------
    InputError : sum_exp75, which the old order does not have
    """
    if order == "old" and target.stat == "sum_exp75":
        raise InputError(
            f"line {target.line} of the targets table: {target.name}: sum_stat sum_exp75 exists in the new order only",
            fix="use --transform-order new",
        )
    return {
        "order": order,
        "stat": target.stat,
        "scale": target.scale,
        "clip_soft": target.clip_soft,
        "clip": target.clip,
    }


def read_targets(path: Path, *, files: bool = True) -> list[Target]:
    """Rows of a targets table. ``file`` is relative to the table's folder; ``strand_pair`` holds index values.

    Columns may stand in any order after the index; ``identifier`` and ``file`` are needed. Empty settings and absent
    columns mean: scale 1, no clips, sum_stat mean, its own strand pair.

    Parameters
    ----------
    files : the files of the tracks must be there; a table that only tells transforms may come without them

    Raises
    ------
    InputError : with the line: columns missing or twice, a wrong number of them, an index or identifier twice, a file
        that is not there, a setting that is no number or out of range, a strand_pair that is no index or not mutual
    """
    lines = [(number, line.split("\t")) for number, line in numbered_lines(path) if line.strip()]
    if len(lines) < 2:
        raise InputError(f"no targets in {path}", fix="a header line, then one row per track")
    columns = _columns(path, lines[0][0], [name.strip() for name in lines[0][1]])
    rows: list[_Row] = []
    for number, fields in lines[1:]:
        where = f"{path}: line {number}"
        if len(fields) != len(lines[0][1]):
            raise InputError(f"{where}: {len(fields)} columns, the header has {len(lines[0][1])}")
        rows.append(_Row(where, number, [field.strip() for field in fields], columns))
    index: dict[str, int] = {}
    names: dict[str, int] = {}
    for i, row in enumerate(rows):
        for key, seen, what in ((row.fields[0], index, "index"), (row.text("identifier"), names, "identifier")):
            if not key:
                raise InputError(f"{row.where}: no {what}")
            if key in seen:
                raise InputError(f"{row.where}: {what} {key!r} occurs twice, first on line {rows[seen[key]].number}")
            seen[key] = i
    return [_target(path, row, i, rows, index, files=files) for i, row in enumerate(rows)]


@dataclass(frozen=True, slots=True)
class _Row:
    where: str
    number: int
    fields: list[str]
    columns: dict[str, int]

    def text(self, column: str, default: str = "") -> str:
        return self.fields[self.columns[column]] if column in self.columns else default

    def positive(self, column: str) -> float | None:
        """A number above 0, or None where there is none."""
        text = self.text(column)
        if text in _ABSENT:
            return None
        try:
            value = float(text)
        except ValueError:
            raise InputError(f"{self.where}: {column} {text!r} is not a number") from None
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{self.where}: {column} {text!r} must be a number above 0")
        return value


def _columns(path: Path, number: int, header: list[str]) -> dict[str, int]:
    columns: dict[str, int] = {}
    for i, name in enumerate(header):
        if name and name in columns:
            raise InputError(f"{path}: line {number}: column {name!r} occurs twice")
        columns[name] = i
    for column in ("identifier", "file"):
        if column not in columns:
            raise InputError(
                f"{path}: line {number}: no column {column!r}", fix="it must be a tab-separated targets table"
            )
        if columns[column] == 0:
            raise InputError(
                f"{path}: line {number}: column {column!r} stands first", fix="the first column is the index"
            )
    return columns


def _target(path: Path, row: _Row, i: int, rows: list[_Row], index: dict[str, int], *, files: bool) -> Target:
    pair = row.text("strand_pair", row.fields[0])
    if pair not in index:
        raise InputError(f"{row.where}: strand_pair {pair!r} is no index of this table")
    partner = index[pair]
    back = rows[partner].text("strand_pair", rows[partner].fields[0])
    if back != row.fields[0]:
        raise InputError(f"{row.where}: strand_pair {pair!r} is not mutual: that row's strand_pair is {back!r}")
    name, file = row.text("identifier"), path.parent / row.text("file")
    if files and not os.path.isfile(file):  # also for a name that no file can have
        raise InputError(f"{row.where}: no such file: {file}", fix="paths are relative to the table")
    stat = row.text("sum_stat", "mean") or "mean"
    stat = _OTHER_NAMES.get(stat, stat)
    if stat not in STATS:
        raise InputError(f"{row.where}: sum_stat {stat!r} is unknown", fix=f"one of {', '.join(STATS)}")
    return Target(
        name=name,
        file=file,
        strand_partner=partner,
        description=row.text("description"),
        stat=cast(Stat, stat),
        scale=row.positive("scale") or 1.0,
        clip_soft=row.positive("clip_soft"),
        clip=row.positive("clip"),
        line=row.number,
    )
