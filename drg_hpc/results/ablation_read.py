"""Reading what drg-ablate wrote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.results import h5
from drg_hpc.results.ablation import COUNTS, FORMAT, NUMBERS, PIECES, STRANDS, SUMMARY, TEXTS
from drg_hpc.results.layout import read_regions
from drg_hpc.results.opened import open_result
from drg_hpc.runs.outputs import resolve_output
from drg_hpc.runs.spec import BLOCK_ROWS

_NEEDED = ("value", "effect", "sd", "names", "tracks", *(f"pieces/{name}" for name in PIECES))


class Ablation:
    """An open file.

    Attributes
    ----------
    tracks : names of the values
    rows : sequences
    pieces : that were replaced
    tiled : they are windows, and there are positions
    """

    def __init__(self, handle: h5py.File) -> None:
        self._handle = handle
        self.tracks = h5.read_text(handle["tracks"])
        self.rows, self.pieces = int(handle["value"].shape[0]), int(handle["effect"].shape[0])
        self.tiled = "positions" in handle

    @property
    def ablated(self) -> int:
        """Sequences with a piece."""
        return int(np.count_nonzero(~np.isnan(self._handle["value"][:, 0])))

    def table(self) -> pd.DataFrame | None:
        """A line for each name of pieces and value, NaN where there is no number; None where no piece has a name."""
        if "table" not in self._handle:
            return None
        table = self._handle["table"]
        columns: dict[str, Any] = {name: h5.read_text(table[name]) for name in TEXTS}
        return pd.DataFrame(columns | {name: table[name][()] for name in (*COUNTS, *NUMBERS)})[list(SUMMARY)]

    def piece_table(self) -> pd.DataFrame:
        """A line for each piece: row (of the regions), start, end, name, strand, changed, and its effects by value."""
        found = pd.DataFrame({name: self._handle[f"pieces/{name}"][()] for name in PIECES})
        names = np.array([*h5.read_text(self._handle["names"]), "."], dtype=object)
        found["name"] = names[found["name"].to_numpy()]
        found["strand"] = found["strand"].map(STRANDS)
        return pd.concat([found, pd.DataFrame(self._handle["effect"][()], columns=self.tracks)], axis=1)

    def regions(self) -> pd.DataFrame:
        """A line for each sequence."""
        return read_regions(self._handle)

    def value(self, row: int, value: int) -> float:
        """Of a sequence as it is."""
        return float(self._handle["value"][row, value])

    def positions(self) -> Iterator[NDArray[np.float32]]:
        """Of windows, mean effects by position of some sequences at a time, (n, values, L)."""
        for first in range(0, self.rows, BLOCK_ROWS):
            yield self._handle["positions"][first : first + BLOCK_ROWS]

    def sequence(self, row: int, value: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Of windows, base codes (L,) of a sequence and mean effects by position, (L,)."""
        return self._handle["sequence"][row], self._handle["positions"][row, value]


@contextmanager
def read_ablation(path: Path) -> Iterator[Ablation]:
    """The ablations of a run, or of its out.h5.

    Raises
    ------
    InputError : nothing there, or another file
    IncompleteError : the run is not merged
    CorruptError : not whole
    """
    source = resolve_output(path, "out.h5")
    with open_result(source, FORMAT, what="ablations", command="drg-ablate", needed=_NEEDED) as handle:
        yield Ablation(handle)
