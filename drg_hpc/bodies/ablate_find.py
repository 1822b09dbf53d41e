"""The pieces of the sequences of a run of drg-ablate."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.bodies.ablate_pieces import MOTIFS, PIECES, SEQLETS, WINDOWS
from drg_hpc.bodies.bed_lines import Lines
from drg_hpc.bodies.perturb_find import place_lines
from drg_hpc.errors import InputError
from drg_hpc.experiments.ablation_windows import Windows
from drg_hpc.files import counted
from drg_hpc.genome.bed import read_bed
from drg_hpc.genome.regions import Region
from drg_hpc.results.effects import read_effects
from drg_hpc.results.seqlets import read_table
from drg_hpc.runs.plan import Plan

log = logging.getLogger(__name__)
Ints = NDArray[np.int64]
_OTHER = "give the sequences that they were called on"


@dataclass(frozen=True)
class Pieces:
    """Pieces of one sequence, or of several: (n,) each. ``name`` is a number among the finder's names, -1 for none;
    ``strand`` 1, -1 or 0."""

    start: Ints
    end: Ints
    name: Ints
    strand: Ints

    def __len__(self) -> int:
        return len(self.start)

    def take(self, chosen: slice | NDArray[Any]) -> Pieces:
        """Some of them."""
        return Pieces(self.start[chosen], self.end[chosen], self.name[chosen], self.strand[chosen])


class Finder(Protocol):
    """Knows the pieces of all sequences.

    Attributes
    ----------
    names : of pieces
    """

    names: list[str]

    def of(self, row: int) -> Pieces:
        """Pieces of a row of the run, by start and end."""


def names_of(plan: Plan) -> list[str]:
    """Names that pieces of a plan have."""
    if plan.params["pieces"] == WINDOWS:
        return []
    path = Path(plan.inputs[PIECES]["path"])
    if plan.params["pieces"] == MOTIFS:
        return read_effects(path).motifs
    return _seqlet_names(read_table(path)[1]) if plan.params["pieces"] == SEQLETS else _bed_names(read_bed(path))


def make_finder(plan: Plan, regions: pd.DataFrame) -> Finder:
    """What the plan says pieces are.

    Parameters
    ----------
    regions : of all rows of the run

    Raises
    ------
    InputError : a file of something else, none of whose pieces lies in a row, or a piece beyond the end of its sequence
    """
    params = plan.params
    if params["pieces"] == WINDOWS:
        return Tiled(Windows(**params["windows"]))
    path = Path(plan.inputs[PIECES]["path"])
    if params["pieces"] == SEQLETS:
        return _of_seqlets(path, regions, length=params["length"])
    if params["pieces"] == MOTIFS:
        return _of_motifs(path, regions, length=params["length"])
    return _of_lines(path, regions, length=params["length"])


class Tiled:
    """The same windows in every sequence."""

    def __init__(self, windows: Windows) -> None:
        self.names: list[str] = []
        start = np.array(windows.starts, np.int64)
        none = np.zeros_like(start)
        self._pieces = Pieces(start, start + windows.width, none - 1, none)

    def of(self, row: int) -> Pieces:
        """See :class:`Finder`."""
        return self._pieces


class Listed:
    """Pieces of a table.

    Parameters
    ----------
    row : (n,) of the run
    """

    def __init__(self, row: Ints, pieces: Pieces, names: Sequence[str]) -> None:
        order = np.lexsort((pieces.name, pieces.end, pieces.start, row))
        self._row, self._pieces, self.names = row[order], pieces.take(order), list(names)

    def of(self, row: int) -> Pieces:
        """See :class:`Finder`."""
        first, last = np.searchsorted(self._row, [row, row + 1]).tolist()
        return self._pieces.take(slice(first, last))


def _bed_names(lines: Iterable[Region]) -> list[str]:
    """Names that the file gives; a line without one is called by its place."""
    return list(dict.fromkeys(line.name for line in lines if _named(line)))


def _named(line: Region) -> bool:
    return line.name != f"{line.chrom}:{line.start}-{line.end}"


def _of_lines(path: Path, regions: pd.DataFrame, *, length: int) -> Listed:
    lines = list(read_bed(path))
    _, found = place_lines(Lines(path, lines), range(len(lines)), regions, length=length)
    number, row = found["label"], found["row"]
    names = _bed_names(lines)
    known = {name: place for place, name in enumerate(names)}
    name = np.array([known[line.name] if _named(line) else -1 for line in lines], np.int64)
    strand = np.array([{"+": 1, "-": -1}.get(line.strand, 0) for line in lines], np.int64)[number]
    within = regions["name"][regions["name"].ne(regions["chrom"])]
    in_row = pd.Series([line.chrom for line in lines]).isin(within).to_numpy()[number]
    turned = (regions["strand"] == "-").to_numpy()[row] & ~in_row
    return Listed(
        row, Pieces(found["start"], found["end"], name[number], np.where(turned, -strand, strand)), names
    )  # fmt: skip


def _seqlet_names(attributes: Mapping[str, Any]) -> list[str]:
    """Those of two signs for each track."""
    return [f"{track}:{sign}" for track in attributes["tracks"] for sign in ("positive", "negative")]


def _of_seqlets(path: Path, regions: pd.DataFrame, *, length: int) -> Listed:
    table, attributes = read_table(path)
    label = 2 * table["track"].to_numpy(np.int64) + (table["sign"].to_numpy() < 0)
    columns = ("row", "name", "start", "end")
    found = pd.DataFrame({name: table[name] for name in columns} | {"label": label, "strand": 0})
    return _by_name(path, found, regions, _seqlet_names(attributes), length=length)


def _of_motifs(path: Path, regions: pd.DataFrame, *, length: int) -> Listed:
    """Sites of motifs; those that reach beyond the ends of their sequence are cut."""
    effects = read_effects(path)
    sites = effects.groups["sites"]
    names = dict(zip(effects.groups["regions"]["row"].tolist(), effects.groups["regions"]["name"], strict=True))
    start, end = np.maximum(sites["start"], 0), np.minimum(sites["end"], length)
    found = pd.DataFrame({
        "row": sites["row"], "name": [str(names[row]) for row in sites["row"].tolist()], "start": start, "end": end,
        "label": sites["motif"], "strand": sites["strand"],
    })  # fmt: skip
    return _by_name(path, found[start < end], regions, effects.motifs, length=length)


def _by_name(
    path: Path, found: pd.DataFrame, regions: pd.DataFrame, names: Sequence[str], *, length: int
) -> Listed:  # fmt: skip
    """Pieces in the rows of the same name.

    Parameters
    ----------
    found : row and name of the sequence, start, end, label, strand
    """
    rows = found[["row", "name"]].drop_duplicates()
    if twice := rows["name"][rows["name"].duplicated()].tolist():
        raise InputError(f"two sequences of {path} are called {twice[0]!r}, so its pieces cannot be placed",
                         fix="name the sequences, or give the pieces as --spans")  # fmt: skip
    own = pd.DataFrame({"name": regions["name"].astype(str).to_numpy(), "place": np.arange(len(regions))})
    joined = found.merge(own, on="name", how="inner")
    if joined.empty:
        there = repr(str(found["name"].iloc[0])) if len(found) else "none at all"
        raise InputError(f"no sequence of {path} is among the {len(own)} here: {there} there, {own['name'].iloc[0]!r} "
                         "here", fix=_OTHER)  # fmt: skip
    beyond = joined[joined["end"] > length]
    if len(beyond):
        name, start, end = beyond.iloc[0][["name", "start", "end"]]
        raise InputError(f"{path}: {start}-{end} of {name!r}: the sequence has {length} bases here", fix=_OTHER)
    log.info("%s: pieces in %s of %d", path, counted(joined["place"].nunique(), "sequence"), len(own))
    start, end, label, strand, place = (
        joined[name].to_numpy(np.int64) for name in ("start", "end", "label", "strand", "place")
    )
    return Listed(place, Pieces(start, end, label, strand), names)
