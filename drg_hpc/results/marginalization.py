"""Motifs put into backgrounds: the part a shard writes, and the merged HDF5 file.

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
from numpy.typing import NDArray

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


def distinct(codes: NDArray[np.uint8]) -> int:
    """Number of different sequences (n, L)."""
    return len({row.tobytes() for row in np.ascontiguousarray(codes)})


def _write_column(out: h5py.File, name: str, column: Any) -> None:
    values = np.asarray(column)
    if values.dtype.kind in "UO":
        h5.write_text(out, name, [str(value) for value in column])
    else:
        h5.write_array(out, name, values)
