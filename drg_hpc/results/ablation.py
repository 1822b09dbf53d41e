"""Ablations: the part a shard writes, the merged HDF5 file, and its tables as text.

``regions/`` has a row per sequence and ``value`` (rows, values) what the model says of it, NaN where no piece of it was
replaced. ``pieces/{row,start,end,name,strand,changed}`` has a line per piece, by sequence: ``row`` is a line of
``regions``, ``name`` a number of ``names`` or -1, ``strand`` 1, -1 or 0 (none) of the sequence as it is, ``changed``
the mean share of its bases that its copies have another base at. ``effect``, ``sd`` and (of several models)
``model_sd`` are (pieces, values). Of windows, ``positions`` (rows, values, L) is the mean effect of those that cover a
base, NaN where none does, and ``sequence`` (rows, L) has its base codes (0 to 3 are A, C, G, T, 4 is unknown). Of named
pieces, ``table/`` has a line per name and value. ``tracks`` has the names of the values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.files import table_text
from drg_hpc.results import h5
from drg_hpc.results.attributions_places import place_sequences
from drg_hpc.results.effect_table import write_test_table
from drg_hpc.results.layout import REGION_DATASETS, read_regions, write_regions
from drg_hpc.runs.spec import BLOCK_ROWS

FORMAT = "drg-ablation/1"
CONVENTIONS = {
    "effect": "mean over copies of the value of the sequence with the piece replaced, minus that of the sequence as it "
    "is: negative, the piece matters for the value; of several models the mean of their effects",
    "sd": "over copies, of the mean over models, divided by copies - 1",
    "model_sd": "of the effect over models, divided by their number",
    "positions": "mean effect of the windows that cover a base",
    "table": "a sequence counts once, with the mean over its pieces of a name; p: Wilcoxon's signed-rank test, "
    "two-sided, to which effects of less than a millionth of the largest value are 0; q: Benjamini-Hochberg over the "
    "table; interval: of the mean, 95 %, percentiles of 2,000 resamples of the sequences (1.96 standard errors "
    "from 50,000 sequences on); effects that are not finite do not count",
}
PIECES: Mapping[str, Any] = {
    "row": np.int64, "start": np.int32, "end": np.int32, "name": np.int32, "strand": np.int8, "changed": np.float32,
}  # fmt: skip
STRANDS = {1: "+", -1: "-", 0: "."}
SUMMARY_FILE = "summary.tsv"
SUMMARY = ("name", "track", "sequences", "pieces", "mean", "low", "high", "p", "q", "note")
TEXTS, COUNTS, NUMBERS = ("name", "track", "note"), ("sequences", "pieces"), ("mean", "low", "high", "p", "q")
"""Columns of the table, by kind."""
_TILED = ("positions", "sequence")
_BLOCK_VALUES = 1 << 22


@dataclass(frozen=True)
class Line:
    """A line of the table: see :data:`CONVENTIONS`; p, q and interval are None where ``note`` says why.

    Attributes
    ----------
    sequences, pieces : of that name
    mean : effect, over sequences
    """

    name: str
    track: str
    sequences: int
    pieces: int
    mean: float
    interval: tuple[float, float] | None
    p: float | None
    q: float | None
    note: str

    def cells(self) -> dict[str, Any]:
        """By column; None where there is no number."""
        low, high = self.interval or (None, None)
        mean = self.mean if self.sequences else None
        return {
            "name": self.name, "track": self.track, "sequences": self.sequences, "pieces": self.pieces, "mean": mean,
            "low": low, "high": high, "p": self.p, "q": self.q, "note": self.note,
        }  # fmt: skip


class PartWriter:
    """One shard, written block by block: ``with PartWriter(path, …) as part``.

    Parameters
    ----------
    regions : of the shard's rows
    values : of the statistic
    length : of a sequence, where there are ``positions``; else None
    models : there are several
    block_rows : rows of a block, which are one chunk
    """

    def __init__(
        self, path: Path, regions: pd.DataFrame, *, values: int, length: int | None, models: bool, block_rows: int
    ) -> None:  # fmt: skip
        self._file = h5.create(path)
        write_regions(self._file, regions, chunk_rows=block_rows)
        rows = len(regions)
        h5.dataset(self._file, "value", shape=(rows, values), dtype=np.float32, chunk_rows=block_rows)
        if length is not None:
            shape = (rows, values, length)
            h5.dataset(self._file, "positions", shape=shape, dtype=np.float32, chunk_rows=block_rows)
            h5.dataset(self._file, "sequence", shape=(rows, length), dtype=np.uint8, chunk_rows=block_rows)
        self._effects = ("effect", "sd", *(("model_sd",) if models else ()))
        self._values, self._pieces = values, 0

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None and self._pieces == 0:
            self._begin({name: np.zeros(0) for name in PIECES}, {})
        self._file.close()

    def block(self, at: int, value: NDArray[Any]) -> None:
        """Values (n, k) of the rows of a block, the first of which has the number ``at``."""
        self._file["value"][at : at + len(value)] = value.astype(np.float32)

    def tiled(self, at: int, positions: NDArray[Any], sequences: NDArray[np.uint8]) -> None:
        """Of windows, positions (n, k, L) and base codes (n, L) of a block."""
        self._file["positions"][at : at + len(positions)] = positions.astype(np.float32)
        self._file["sequence"][at : at + len(positions)] = sequences

    def pieces(self, columns: Mapping[str, NDArray[Any]], effects: Mapping[str, NDArray[Any]]) -> None:
        """Pieces behind those that are there.

        Parameters
        ----------
        columns : of :data:`PIECES`, (n,)
        effects : (n, k) by name
        """
        count = len(columns["row"])
        if not count:
            return
        if not self._pieces:
            self._begin(columns, effects)
        else:
            for name, values in (*((f"pieces/{name}", columns[name]) for name in PIECES), *effects.items()):
                target = self._file[name]
                target.resize(self._pieces + count, axis=0)
                target[self._pieces :] = values
        self._pieces += count

    def _begin(self, columns: Mapping[str, NDArray[Any]], effects: Mapping[str, NDArray[Any]]) -> None:
        for name, kind in PIECES.items():
            h5.write_array(self._file, f"pieces/{name}", columns[name].astype(kind), chunk_rows=h5.TABLE_CHUNK_ROWS)
        for name in self._effects:
            values = effects.get(name, np.zeros((0, self._values)))
            h5.write_array(self._file, name, values.astype(np.float32))


class Merged:
    """The merged file while it is written: what the parts hold first, then the table of it."""

    def __init__(
        self, handle: h5py.File, parts: Sequence[h5.PartFile], *, names: Sequence[str], tracks: Sequence[str],
        attributes: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self._handle = handle
        h5.set_attributes(handle, {**attributes, "format": FORMAT, "conventions": CONVENTIONS})
        with h5.open_file(parts[0].path) as first:
            found = set(h5.dataset_names(first))
        h5.merge_fixed(parts, [*REGION_DATASETS, "value", *(name for name in _TILED if name in found)], handle)
        tables = [*(f"pieces/{name}" for name in PIECES), "effect", "sd", *({"model_sd"} & found)]
        self.pieces = h5.merge_tables([part.path for part in parts], tables, handle)
        h5.write_text(handle, "names", names)
        h5.write_text(handle, "tracks", tracks)

    def column(self, name: str) -> NDArray[Any]:
        """All lines of a column of the pieces."""
        found: NDArray[Any] = self._handle[f"pieces/{name}"][()]
        return found

    def effects(self, values: slice) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Effects of some values, in blocks of pieces."""
        source = self._handle["effect"]
        for part in _pieces(source):
            yield part, source[part][:, values]

    def values(self) -> Iterator[NDArray[Any]]:
        """Values (n, k) of the sequences, some at a time."""
        source = self._handle["value"]
        for part in _pieces(source):
            yield source[part]

    def write_table(self, lines: Sequence[Line]) -> None:
        """The ``table`` group."""
        rows = [line.cells() for line in lines]
        write_test_table(self._handle, rows, texts=TEXTS, counts=COUNTS, numbers=NUMBERS)


def _pieces(source: h5py.Dataset) -> Iterator[slice]:
    """Blocks of lines, a bounded number of values each."""
    step = max(1, _BLOCK_VALUES // max(1, source.shape[1]) // BLOCK_ROWS) * BLOCK_ROWS
    for first in range(0, source.shape[0], step):
        yield slice(first, min(first + step, source.shape[0]))


def write_summary(path: Path, lines: Sequence[Line]) -> None:
    """The table as tab-separated text; where there is no number the cell is empty."""
    rows = [["" if cell is None else cell for cell in line.cells().values()] for line in lines]
    path.write_text(table_text([SUMMARY, *rows]), encoding="utf-8")


def write_pieces(source: Path, out: Path, *, length: int) -> None:
    """A line per piece as tab-separated text: where it is, in its sequence and on the genome (where that has a place
    there), and effect and sd of each value, six digits; the sd of one copy is empty.

    Parameters
    ----------
    length : bases of a sequence
    """
    with h5.open_file(source) as handle, open(out, "w", encoding="utf-8", newline="\n") as table:
        names, tracks = h5.read_text(handle["names"]), h5.read_text(handle["tracks"])
        kinds = [kind for kind in ("effect", "sd", "model_sd") if kind in handle]
        heads = [f"{kind}:{track}" for kind in kinds for track in tracks]
        place = ("sequence", "start", "end", "name", "strand", "chrom", "chrom_start", "chrom_end", "changed")
        table.write(table_text([[*place, *heads]]))
        places = place_sequences(read_regions(handle), length=length, stranded=True)
        for part in _pieces(handle["effect"]):
            columns = [handle[f"pieces/{name}"][part].tolist() for name in PIECES]
            effects = np.concatenate([handle[kind][part] for kind in kinds], axis=1).tolist()
            lines = []
            for row, start, end, name, strand, changed, values in zip(*columns, effects, strict=True):
                begin, last = int(places.start[row]), int(places.end[row])
                on_genome = (last - end, last - start) if places.flipped[row] else (begin + start, begin + end)
                text = names[name] if name >= 0 else "."
                lines.append([places.name[row], start, end, text, STRANDS[strand], places.chrom[row], *on_genome,
                              changed, *("" if math.isnan(value) else value for value in values)])  # fmt: skip
            table.write(table_text(lines))
