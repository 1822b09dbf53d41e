"""Caches of several stores read as one: the global number of a row goes on from store to store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.store.cache import CachedDataset
from drg_hpc.store.dataset_layout import inputs_of, modalities_of
from drg_hpc.store.gather import gather_codes, gather_onehot

Array = NDArray[Any]
Columns = slice | NDArray[np.int64]


def require_alike(headers: Sequence[tuple[Path, Mapping[str, Any]]]) -> None:
    """Refuse stores whose rows do not hold the same; flanks and the width of stored targets may differ.

    Raises
    ------
    InputError : names what differs in which store
    """
    (first, main), *others = headers
    for path, header in others:
        for what, of in (("inputs", _inputs), ("tracks", _tracks)):
            if of(header) != of(main):
                raise InputError(
                    f"{path} cannot be mixed with {first}: its {what} are {_shown(of(header))}, not {_shown(of(main))}",
                    fix="shard both with the same inputs and tracks",
                )


def _inputs(header: Mapping[str, Any]) -> list[str]:
    return [f"{item.name} of {item.length} bp" for item in inputs_of(header)]


def _tracks(header: Mapping[str, Any]) -> list[str]:
    return [
        f"{m.name}/{track['name']}" + (f" in {m.bins} bins" if m.bins else "")
        for m in modalities_of(header)
        for track in m.tracks
    ]


def _shown(items: Sequence[str]) -> str:
    return ", ".join(items[:4]) + (f", … ({len(items)})" if len(items) > 4 else "")


class Mixture:
    """Rows of one or several caches.

    Attributes
    ----------
    caches : in order; rows of the first keep their numbers
    offsets : number of the first row of each cache, and the number of all rows
    inputs, modalities : those of the first cache
    flanks : by input, bases that every store has on either side
    dtype : of targets, float32 if any store has that, else float16
    """

    def __init__(self, caches: Sequence[CachedDataset]) -> None:
        self.caches = list(caches)
        self.offsets = np.cumsum([0, *(cache.rows for cache in self.caches)])
        self.inputs, self.modalities = self.caches[0].inputs, self.caches[0].modalities
        self.flanks = {name: min(c.inputs[name].flank for c in self.caches) for name in self.inputs}
        self.dtype = np.result_type(*(values.dtype for cache in self.caches for values in cache.targets.values()))
        self.masked = any(mask is not None for cache in self.caches for mask in cache.mask.values())

    def split_rows(self, number: int, split: str) -> NDArray[np.int64]:
        """Global numbers of the rows of a split of cache ``number``."""
        rows: NDArray[np.int64] = self.caches[number].split_rows(split) + self.offsets[number]
        return rows

    def _parts(self, rows: Array) -> Iterator[tuple[CachedDataset, Array, Array]]:
        """(cache, rows in it, their places among ``rows``)."""
        if len(self.caches) == 1:
            yield self.caches[0], rows, np.arange(len(rows))
            return
        owners = np.searchsorted(self.offsets, rows, side="right") - 1
        for number, cache in enumerate(self.caches):
            places = np.flatnonzero(owners == number)
            if len(places):
                yield cache, rows[places] - self.offsets[number], places

    def codes(self, name: str, rows: Array, shifts: Array, out: NDArray[np.uint8]) -> None:
        """Base codes of an input, windows moved by ``shifts`` int64 (n,), into ``out`` (n, length)."""
        for cache, local, places in self._parts(rows):
            starts = shifts[places] + cache.inputs[name].flank
            gather_codes(cache.codes[name], local, starts, out, places)

    def onehot(self, name: str, rows: Array, shifts: Array, turned: Array, out: NDArray[np.float32]) -> None:
        """As :meth:`codes`, one-hot into ``out`` (n, 4, length); ``turned`` ones as their reverse complement."""
        for cache, local, places in self._parts(rows):
            starts = shifts[places] + cache.inputs[name].flank
            gather_onehot(cache.codes[name], local, starts, turned[places], out, places)

    def targets(self, name: str, rows: Array, tracks: Sequence[int] | None, out: Array, columns: Columns) -> None:
        """Targets of some tracks of a modality (None: of all) into ``columns`` of ``out`` (n, any[, bins])."""
        for cache, local, places in self._parts(rows):
            out[_at(places, len(rows), columns)] = _take(cache.targets[name], local, tracks)

    def mask(self, name: str, rows: Array, tracks: Sequence[int] | None, out: Array, columns: Columns) -> None:
        """Where a target is there, as :meth:`targets`."""
        for cache, local, places in self._parts(rows):
            mask = cache.mask[name]
            out[_at(places, len(rows), columns)] = True if mask is None else _take(mask, local, tracks)


def _take(source: Array, rows: Array, tracks: Sequence[int] | None) -> Array:
    return source[rows] if tracks is None else source[rows[:, None], np.asarray(tracks)]


def _at(places: Array, count: int, columns: Columns) -> Any:
    if len(places) == count and isinstance(columns, slice):
        return slice(None), columns
    return (places, columns) if isinstance(columns, slice) else (places[:, None], columns)
