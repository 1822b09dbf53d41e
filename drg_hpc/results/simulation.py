"""What was put into simulated sequences, in one HDF5 file beside their store.

``sites/{row,motif,start,end,strand}`` has a line per embedding, sorted by row and start: the global row of the
sequence, the number of the motif, 0-based half-open positions, 1 or -1. ``sites/letters`` holds the sites as they were
drawn, one after the other, as ASCII: a site on the reverse strand reads as the motif does, so it is the reverse
complement of the sequence there. ``rows/{outcome,sites}`` has a line per sequence: what the rule says of it, as a
number of the attribute ``outcomes`` (1: it holds), and how many sites it has. ``motifs/{name,width}`` and
``motifs/probabilities`` (positions of all motifs, 4) are what sites were drawn from. The attribute ``grammar`` has the
rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.results import h5
from drg_hpc.runs.outputs import resolve_output

FORMAT = "drg-simulation/1"
FILE = "sites.h5"
SITE_TYPES: Mapping[str, type[np.generic]] = {
    "row": np.int64, "motif": np.int16, "start": np.int32, "end": np.int32, "strand": np.int8,
}  # fmt: skip
ROW_TYPES: Mapping[str, type[np.generic]] = {"outcome": np.uint8, "sites": np.int16}
LETTERS = "sites/letters"


@dataclass(frozen=True)
class Simulation:
    """A file of sites.

    Parameters
    ----------
    sites : data frame of row, motif (its name), start, end, strand (+ or -), site; a line per embedding
    outcome : (rows,) what the rule says of each sequence, as a number of ``attributes["outcomes"]``
    attributes : those of the file
    """

    sites: pd.DataFrame
    outcome: NDArray[np.uint8]
    attributes: dict[str, Any]


def write_part(
    path: Path,
    *,
    sites: Mapping[str, NDArray[Any]],
    letters: NDArray[np.uint8],
    rows: Mapping[str, NDArray[Any]],
) -> None:
    """Write the sites of some consecutive sequences.

    Parameters
    ----------
    sites, rows : the columns of both tables
    letters : ASCII of all sites
    """
    with h5.create(path) as out:
        for group, types, columns in (("sites", SITE_TYPES, sites), ("rows", ROW_TYPES, rows)):
            for name, kind in types.items():
                values = columns[name].astype(kind, casting="same_kind", copy=False)
                h5.write_array(out, f"{group}/{name}", values, chunk_rows=h5.TABLE_CHUNK_ROWS)
        h5.write_array(out, LETTERS, letters, chunk_rows=h5.TABLE_CHUNK_ROWS)


def merge_parts(
    parts: Sequence[Path], path: Path, *, motifs: Sequence[Mapping[str, Any]], attributes: Mapping[str, Any]
) -> int:
    """Join the files of all parts, in order; returns the number of sites.

    Parameters
    ----------
    motifs : name and rows (probabilities of A, C, G, T per position) of each
    """
    with h5.create(path) as out:
        h5.set_attributes(out, {"format": FORMAT, **attributes})
        h5.write_text(out, "motifs/name", [str(motif["name"]) for motif in motifs])
        h5.write_array(out, "motifs/width", np.array([len(motif["rows"]) for motif in motifs], np.int32))
        h5.write_array(out, "motifs/probabilities", np.concatenate([motif["rows"] for motif in motifs]))
        h5.merge_tables(parts, [f"rows/{name}" for name in ROW_TYPES], out)
        h5.merge_tables(parts, [LETTERS], out)
        return h5.merge_tables(parts, [f"sites/{name}" for name in SITE_TYPES], out)


def find_sites(path: Path) -> Path:
    """The file of sites, given a RUN of drg-simulate, its store or the file.

    Raises
    ------
    InputError : nothing there, or the run of another command
    IncompleteError : the run is not merged
    """
    if path.suffix == ".zarr" and (path.parent / FILE).is_file():
        return path.parent / FILE
    return resolve_output(path, FILE)


_AHEAD = 4096
"""Rows whose sites are read at once."""


class SiteRows:
    """The sites of some sequences of a file, read when they are asked for; the file is the caller's to close.

    Parameters
    ----------
    handle : open for reading

    Attributes
    ----------
    motifs : names, by number
    """

    def __init__(self, handle: h5py.File) -> None:
        _require_format(handle)
        self._handle = handle
        self.motifs = h5.read_text(handle["motifs/name"])
        self._ends = np.cumsum(handle["rows/sites"][:], dtype=np.int64)
        self._held = range(0)
        self._columns: dict[str, NDArray[np.int64]] = {}

    def of(self, rows: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """Columns row (place in ``rows``), motif (its number), start and end of the sites of ascending rows."""
        first, last = int(rows[0]), int(rows[-1]) + 1
        if first not in self._held or last > self._held.stop:
            self._hold(range(first, min(max(last, first + _AHEAD), len(self._ends))))
        begin = self._before(first) - self._before(self._held.start)
        here = slice(begin, begin + self._before(last) - self._before(first))
        columns = {name: values[here] for name, values in self._columns.items()}
        place = np.minimum(np.searchsorted(rows, columns["row"]), len(rows) - 1)
        kept = rows[place] == columns["row"]
        return {name: values[kept] for name, values in (columns | {"row": place}).items()}

    def _before(self, row: int) -> int:
        """Sites of all rows before one."""
        return int(self._ends[row - 1]) if row else 0

    def _hold(self, rows: range) -> None:
        """Read the sites of some rows at once: runs ask for one block after the other."""
        part = slice(self._before(rows.start), self._before(rows.stop))
        names = ("row", "motif", "start", "end")
        self._columns = {name: self._handle[f"sites/{name}"][part].astype(np.int64) for name in names}
        self._held = rows


def _require_format(handle: h5py.File) -> dict[str, Any]:
    attributes = h5.get_attributes(handle)
    if attributes.get("format") != FORMAT:
        found = attributes.get("format", "of no format that is known here")
        raise InputError(f"{handle.filename} is {found}, sites ({FORMAT}) are wanted", fix="give a run of drg-simulate")
    return attributes


def read_simulation(path: Path) -> Simulation:
    """Read all sites of a RUN of drg-simulate, its store, or the file.

    Raises
    ------
    InputError, IncompleteError : see :func:`find_sites`; or the file is something else
    CorruptError : cut off
    """
    source = find_sites(path)
    with h5.open_file(source) as handle:
        attributes = _require_format(handle)
        columns = {name: handle[f"sites/{name}"][:] for name in SITE_TYPES}
        names = np.array(h5.read_text(handle["motifs/name"]), dtype=object)
        letters = handle[LETTERS][:].tobytes().decode("ascii")
        outcome = handle["rows/outcome"][:]
    ends = np.cumsum(columns["end"] - columns["start"], dtype=np.int64).tolist()
    table = pd.DataFrame(columns)
    table["motif"] = names[columns["motif"]]
    table["strand"] = np.where(columns["strand"] > 0, "+", "-")
    table["site"] = [letters[start:end] for start, end in pairwise([0, *ends])]
    return Simulation(table, outcome, attributes)
