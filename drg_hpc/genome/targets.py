"""Borzoi's targets table: tab-separated, first column an index, then identifier, file, … , strand_pair, description."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from drg_hpc.errors import InputError
from drg_hpc.genome.fasta import text_lines


@dataclass(frozen=True, slots=True)
class Target:
    """One track: its name, file, number of the track on the other strand (or its own), and description."""

    name: str
    file: Path
    strand_partner: int
    description: str


def read_targets(path: Path) -> list[Target]:
    """Rows of a targets table. ``file`` is relative to the table's folder; ``strand_pair`` holds index values.

    Raises
    ------
    InputError : columns missing, an identifier twice, a file that is not there, a faulty strand_pair (with the line)
    """
    lines = [(number, line.split("\t")) for number, line in text_lines(path) if line.strip()]
    if len(lines) < 2:
        raise InputError(f"no targets in {path}", fix="a header line, then one row per track")
    columns = {name.strip(): i for i, name in enumerate(lines[0][1])}
    for column in ("identifier", "file"):
        if column not in columns:
            raise InputError(f"{path}: no column {column!r}", fix="it must be a tab-separated targets table")
    width = len(lines[0][1])
    rows: list[tuple[int, list[str]]] = []
    for number, fields in lines[1:]:
        if len(fields) != width:
            raise InputError(f"{path}: line {number}: {len(fields)} columns, the header has {width}")
        rows.append((number, [field.strip() for field in fields]))
    index = {fields[0]: i for i, (_, fields) in enumerate(rows)}
    found: list[Target] = []
    for i, (number, fields) in enumerate(rows):
        pair = fields[columns["strand_pair"]] if "strand_pair" in columns else fields[0]
        if pair not in index:
            raise InputError(f"{path}: line {number}: strand_pair {pair!r} is no index of this table")
        name, file = fields[columns["identifier"]], path.parent / fields[columns["file"]]
        if not file.is_file():
            raise InputError(f"{path}: line {number}: no such file: {file}", fix="paths are relative to the table")
        if any(target.name == name for target in found):
            raise InputError(f"{path}: line {number}: identifier {name!r} occurs twice")
        description = fields[columns["description"]] if "description" in columns else ""
        found.append(Target(name, file, index[pair] if "strand_pair" in columns else i, description))
    return found
