"""Motifs put into backgrounds: the part a shard writes, the merged HDF5 file, and its table as text.

``motifs/{name,letters}`` is what was put in. ``backgrounds/{row,shuffle,name,codes}`` are the sequences before, codes 0
to 3 for A, C, G, T and 4 for unknown, and ``before`` (backgrounds, values) their values. ``designs/`` has a row per
insertion: ``motif``, ``strand``, ``start``, ``end``; of pairs ``left``, ``right``, ``orientation``, ``spacing``,
``start``, ``right_start``, ``end``; motifs by number. ``statistics/QUANTITY/{count,mean,sd,se,low,high,p,q}`` is
(designs, values), and ``effects/QUANTITY`` (designs, backgrounds, values) where it was kept; QUANTITY is ``effect``, of
pairs also ``left``, ``right`` and ``interaction``. ``tracks`` has the names of the values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.errors import CorruptError, InputError
from drg_hpc.files import table_text
from drg_hpc.results import h5

FORMAT = "drg-marginalization/1"
CONVENTIONS = {
    "effect": "value with what was put in minus that of the background, means over models; sites replace the bases "
    "that are there",
    "left, right": "of a pair: the effect of either site alone, at the place that it has in the pair",
    "interaction": "effect of the pair minus those of its sites alone, on the scale of the value",
    "start": "first base of the (left) site from 0, on the background as it is; a block of k bases is centred at "
    "length // 2 - k // 2",
    "spacing": "bases from the end of the left to the start of the right site",
    "statistics": "over backgrounds; sd is divided by n - 1, se is sd over the root of n",
    "interval": "of the mean, 95 %: percentiles of 2,000 resamples of the backgrounds; 1.96 standard errors from 2,000 "
    "backgrounds on",
    "p": "Wilcoxon's signed-rank test, two-sided; changes of less than a millionth of the largest value count as 0",
    "q": "Benjamini-Hochberg over all designs of one track",
}
STATISTICS = ("count", "mean", "sd", "se", "low", "high", "p", "q")
_WIDE = ("p", "q")
"""Statistics that may be smaller than any float32."""
_PAIR_SHORT = ("mean", "low", "high", "p", "q")
"""Of the interaction, in the table as text."""
_TEXTS = ("strand", "orientation")
_STEP = 1024
Array = NDArray[Any]


@dataclass(frozen=True)
class Layout:
    """What a file holds.

    Attributes
    ----------
    quantities : see the module
    kept : effects on each background too
    """

    quantities: tuple[str, ...]
    backgrounds: int
    values: int
    kept: bool

    @property
    def names(self) -> list[str]:
        """Datasets of a part."""
        own = [f"statistics/{q}/{name}" for q in self.quantities for name in STATISTICS if name != "q"]
        return own + ([f"effects/{q}" for q in self.quantities] if self.kept else [])


class PartWriter:
    """The part of a shard, written block by block."""

    def __init__(self, handle: h5py.File, layout: Layout, *, rows: int) -> None:
        self._handle, self._layout = handle, layout
        for name in layout.names:
            across = (layout.backgrounds, layout.values) if name.startswith("effects/") else (layout.values,)
            h5.dataset(handle, name, shape=(rows, *across), dtype=_dtype(name))

    def block(self, at: int, statistics: Mapping[str, Mapping[str, Array]], effects: Mapping[str, Array]) -> None:
        """A block of designs, from row ``at`` of the shard.

        Parameters
        ----------
        statistics : (n, values) by quantity and name
        effects : (n, backgrounds, values) by quantity
        """
        for quantity, of in statistics.items():
            for name, values in of.items():
                self._handle[f"statistics/{quantity}/{name}"][at : at + len(values)] = values
            if self._layout.kept:
                self._handle[f"effects/{quantity}"][at : at + len(effects[quantity])] = effects[quantity]


@contextmanager
def part_writer(path: Path, layout: Layout, *, rows: int) -> Iterator[PartWriter]:
    """Open the part of a shard of so many designs."""
    with h5.create(path) as handle:
        yield PartWriter(handle, layout, rows=rows)


def _dtype(name: str) -> type[np.generic]:
    leaf = name.rpartition("/")[2]
    if leaf == "count":
        return np.int32
    return np.float64 if leaf in _WIDE else np.float32


@dataclass(frozen=True)
class Tables:
    """What the merged file has besides the parts.

    Attributes
    ----------
    motifs : names and letters of what was put in
    designs : columns of ``designs/``
    backgrounds : columns of ``backgrounds/``; ``codes`` is (backgrounds, length)
    before : (backgrounds, values)
    tracks : names of the values
    """

    motifs: Mapping[str, Sequence[str]]
    designs: Mapping[str, Any]
    backgrounds: Mapping[str, Any]
    before: NDArray[np.float64]
    tracks: Sequence[str]


def merge(
    parts: Sequence[h5.PartFile],
    out: Path,
    layout: Layout,
    tables: Tables,
    *,
    attributes: Mapping[str, Any],
    adjust: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> None:
    """Join the parts of all shards.

    Parameters
    ----------
    adjust : q (designs, values) of p
    """
    with h5.create(out) as merged:
        h5.set_attributes(merged, {**attributes, "format": FORMAT, "conventions": CONVENTIONS})
        for name, texts in tables.motifs.items():
            h5.write_text(merged, f"motifs/{name}", texts)
        for name, column in tables.backgrounds.items():
            _write_column(merged, f"backgrounds/{name}", column)
        h5.write_array(merged, "before", tables.before)
        for name, column in tables.designs.items():
            _write_column(merged, f"designs/{name}", column)
        h5.merge_fixed(parts, layout.names, merged)
        for quantity in layout.quantities:
            h5.write_array(merged, f"statistics/{quantity}/q", adjust(merged[f"statistics/{quantity}/p"][()]))
        h5.write_text(merged, "tracks", tables.tracks)


def _write_column(out: h5py.File, name: str, column: Any) -> None:
    values = np.asarray(column)
    if values.dtype.kind in "UO":
        h5.write_text(out, name, [str(value) for value in column])
    else:
        h5.write_array(out, name, values)


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
    """

    designs: pd.DataFrame
    tracks: list[str]
    statistics: Mapping[str, Mapping[str, Array]]
    before: Array


def read_marginalization(path: Path) -> Marginalization:
    """Designs and statistics of a file.

    Raises
    ------
    InputError : nothing there, or another file
    CorruptError : not whole
    """
    with h5.open_file(path) as handle:
        found = h5.get_attributes(handle).get("format")
        if found != FORMAT:
            raise InputError(f"{path} has format {found!r}, motifs in backgrounds ({FORMAT}) are wanted",
                             fix="give a run of drg-marginalize")  # fmt: skip
        if missing := [name for name in ("designs", "statistics", "tracks", "before") if name not in handle]:
            raise CorruptError(f"{path} has no {missing[0]}", fix="write it again (a run's: drg-merge)")
        reader = _Reader(handle)
        statistics = {
            quantity: {name: group[name][()] for name in STATISTICS} for quantity, group in handle["statistics"].items()
        }
        return Marginalization(reader.designs(slice(None)), reader.tracks, statistics, handle["before"][()])
