"""Motifs put into backgrounds: the table of a file as text, and reading what drg-marginalize wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.files import table_text
from drg_hpc.results import h5
from drg_hpc.results.marginalization import FORMAT, STATISTICS, distinct
from drg_hpc.results.opened import open_result

_PAIR_SHORT = ("mean", "low", "high", "p", "q")
"""Of the interaction, in the table as text."""
_TEXTS = ("strand", "orientation")
_STEP = 1024
Array = NDArray[Any]


def write_table(source: Path, out: Path) -> None:
    """``out.tsv``: a line per design and track; six digits, an empty cell where there is no number."""
    with h5.open_file(source) as handle, open(out, "w", encoding="utf-8", newline="\n") as table:
        found = _Reader(handle)
        pairs = "interaction" in handle["statistics"]
        texts = [*found.columns, "track", *STATISTICS]
        if pairs:
            texts += ["left_mean", "right_mean", *(f"interaction_{name}".removesuffix("_mean") for name in _PAIR_SHORT)]
        table.write(table_text([texts]))
        for first in range(0, found.rows, _STEP):
            part = slice(first, first + _STEP)
            wanted = [("effect", name) for name in STATISTICS]
            if pairs:
                wanted += [("left", "mean"), ("right", "mean"), *(("interaction", name) for name in _PAIR_SHORT)]
            cells = np.stack([handle[f"statistics/{q}/{name}"][part].astype(np.float64) for q, name in wanted], axis=2)
            table.write(table_text(_lines(found.designs(part), found.tracks, cells)))


def _lines(designs: pd.DataFrame, tracks: Sequence[str], cells: NDArray[np.float64]) -> Iterator[list[object]]:
    for design, of_tracks in zip(designs.itertuples(index=False), cells.tolist(), strict=True):
        for track, numbers in zip(tracks, of_tracks, strict=True):
            count, *others = numbers
            yield [*design, track, int(count), *("" if value != value else value for value in others)]


class _Reader:
    """Designs of an open file, with the names of their motifs."""

    def __init__(self, handle: h5py.File) -> None:
        self._group, self._motifs = handle["designs"], h5.read_text(handle["motifs/name"])
        self.tracks = h5.read_text(handle["tracks"])
        pair = ("left", "right", "orientation", "spacing", "start", "right_start", "end")
        self.columns = pair if "left" in self._group else ("motif", "strand", "start", "end")
        self.rows = len(self._group["start"])

    def designs(self, part: slice) -> pd.DataFrame:
        """Some designs, a row each."""
        found: dict[str, Any] = {}
        for name in self.columns:
            if name in _TEXTS:
                found[name] = h5.read_text(self._group[name], part.start or 0, part.stop)
            else:
                values = self._group[name][part]
                found[name] = [self._motifs[n] for n in values] if name in ("motif", "left", "right") else values
        return pd.DataFrame(found)


@dataclass(frozen=True)
class Marginalization:
    """A file that was read.

    Attributes
    ----------
    designs : a row per design, motifs by name
    tracks : names of the values
    statistics : (designs, values) by quantity and name
    before : (backgrounds, values)
    distinct : number of different backgrounds
    """

    designs: pd.DataFrame
    tracks: list[str]
    statistics: Mapping[str, Mapping[str, Array]]
    before: Array
    distinct: int


def read_marginalization(path: Path) -> Marginalization:
    """Designs and statistics of a file.

    Raises
    ------
    InputError : nothing there, or another file
    CorruptError : not whole
    """
    needed = ("designs", "statistics", "tracks", "before", "backgrounds/codes")
    with open_result(
        path, FORMAT, what="motifs in backgrounds", command="drg-marginalize", needed=needed
    ) as handle:  # fmt: skip
        reader = _Reader(handle)
        statistics = {
            quantity: {name: group[name][()] for name in STATISTICS} for quantity, group in handle["statistics"].items()
        }
        different = distinct(handle["backgrounds/codes"][()])
        return Marginalization(reader.designs(slice(None)), reader.tracks, statistics, handle["before"][()], different)
