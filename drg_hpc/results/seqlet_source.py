"""The attribution file as drg-seqlets reads it: projected tracks by row blocks, windows, regions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.errors import CorruptError, InputError
from drg_hpc.results import h5, layout
from drg_hpc.results.attributions_layout import INTERVAL_NUMBERS, INTERVAL_TEXT
from drg_hpc.results.attributions_places import Places, place_sequences
from drg_hpc.results.attributions_read import choose_input, find_form, require_by_base, root_of
from drg_hpc.results.chunks import RowReader
from drg_hpc.results.seqlets import looks_like_hdf5

_BLOCK_BYTES = 16 << 20


@dataclass(frozen=True)
class Track:
    """One attributed track of the file: position in the file, name, group path."""

    index: int
    name: str
    path: str


class AttributionSource:
    """An open attribution file; ``with AttributionSource(path) as source``.

    Parameters
    ----------
    input : name of one of several inputs

    Attributes
    ----------
    tracks : those that keep their projected form, in the file's order
    rows, length : of the file

    Raises
    ------
    InputError : missing, something else than attributions, or sparse ones
    UsageError : several inputs and none chosen, or no such input
    CorruptError : cut off, or not whole
    """

    def __init__(self, path: Path, input: str | None = None) -> None:
        if not looks_like_hdf5(path) and path.is_file():
            raise InputError(f"{path} is not HDF5, attributions are wanted", fix=_FIX)
        self.path = path
        self._stack = ExitStack()
        self._readers: dict[str, RowReader] = {}
        self._file: h5py.File = self._stack.enter_context(h5.open_file(path))
        try:
            self.input = self._choose(input)
            self._root = root_of(self._file, self.input)
            self.tracks = self._list_tracks()
            self.rows, self.length = (int(n) for n in self._root[f"{self.tracks[0].path}/projected"].shape)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> AttributionSource:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.__exit__(kind, value, tb)  # with the error: what h5py could not read is told as damage

    def _choose(self, name: str | None) -> str | None:
        found = self._file.attrs.get("format")
        if found != layout.ATTRIBUTIONS:
            what = "of no format that is known here" if found is None else found
            raise InputError(f"{self.path} is {what}, attributions ({layout.ATTRIBUTIONS}) are wanted", fix=_FIX)
        return choose_input(self._file, name)

    def _list_tracks(self) -> list[Track]:
        groups = self._root.get("tracks")
        if not isinstance(groups, h5py.Group) or "raw/seq" not in self._root:
            raise _fault(self.path, "it has no tracks/ or no raw/seq")
        names = [key for key in sorted(groups) if "projected" in groups[key]]
        if not names and any("top" in groups[key] for key in groups):
            raise InputError(
                f"{self.path} keeps the strongest positions only, seqlets and statistics need all of them",
                fix="run drg-attr without --top",
            )
        if not names and len(groups):
            require_by_base(groups[next(iter(groups))])
        if not names:
            raise _fault(self.path, "no track keeps its projected form")
        return [Track(i, str(groups[key].attrs.get("name", key)), f"tracks/{key}") for i, key in enumerate(names)]

    def form(self, track: Track) -> str:
        """The (N, 4, L) contribution form of a track, ``projected`` when none was kept.

        Raw TISM is 0 at every base that is there; its corrected form follows from it (:meth:`full`).
        """
        found = find_form(self._root[track.path])
        return "projected" if found is None else found.name

    def kept(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Rows to use: those of regions that could be read from the genome."""
        if "regions/kept" not in self._file:
            return np.ones(stop - start, np.bool_)
        return np.asarray(self._file["regions/kept"][start:stop]).astype(np.bool_)

    def blocks(self, track: Track, start: int, stop: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """``(first row, projected float32 (n, L))`` of whole row blocks of about 16 MB."""
        read = self._reader(f"{track.path}/projected")
        step = max(64, _BLOCK_BYTES // (4 * max(self.length, 1)) // 64 * 64)
        for first in range(start, stop, step):
            yield first, np.asarray(read(first, min(first + step, stop)), np.float32)

    def read_projected(self, track: Track, start: int, out: NDArray[np.float32]) -> None:
        """Fill ``out`` (n, L) with the rows from ``start`` on."""
        self._reader(f"{track.path}/projected").read_into(out, start)

    def onehot(self, start: int, stop: int) -> NDArray[np.int8]:
        """One-hot sequences (n, 4, L)."""
        return np.asarray(self._reader("raw/seq")(start, stop), np.int8)

    def _reader(self, name: str) -> RowReader:
        if name not in self._readers:
            self._readers[name] = RowReader(self._root[name])
        return self._readers[name]

    def full(self, track: Track, start: int, stop: int) -> NDArray[np.float32]:
        """The contribution form (n, 4, L) of a track: a stored one, else the projection at the bases that are there."""
        found = find_form(self._root[track.path])
        if found is not None:
            return found.read(start, stop, length=self.length)
        values = np.asarray(self._root[f"{track.path}/projected"][start:stop], np.float32)
        return np.asarray(self.onehot(start, stop) * values[:, None], np.float32)

    def summits(self, start: int, stop: int) -> NDArray[np.int64] | None:
        """Positions of the rows' summits, negative where unknown; None where the table of regions has no ``summit``."""
        if "regions/summit" not in self._file:
            return None
        return np.asarray(self._file["regions/summit"][start:stop], np.int64)

    def regions(self, start: int, stop: int) -> Places:
        """Places of rows ``start`` to ``stop``."""
        group = self._file["regions"]
        found = {name: layout.read_column(group[name], start, stop) for name in ("name", "origin")}
        places = self._root["regions"]
        found |= {name: layout.read_column(places[name], start, stop) for name in (*INTERVAL_TEXT, *INTERVAL_NUMBERS)}
        stranded = bool(self._file.attrs.get("stranded", False))
        return place_sequences(pd.DataFrame(found), length=self.length, stranded=stranded)


_FIX = "give a run of drg-attr or drg-ism, or its out.h5"


def _fault(path: Path, what: str) -> CorruptError:
    return CorruptError(f"{path} is not a whole attribution file: {what}", fix="make it again")


def source_sizes(path: Path, input: str | None = None) -> dict[str, Any]:
    """Rows, length and track names, read from the file; errors as :class:`AttributionSource`."""
    with AttributionSource(path, input) as source:
        return {"rows": source.rows, "length": source.length, "tracks": [track.name for track in source.tracks]}


def cut_windows(full: NDArray[Any], rows: NDArray[np.int64], centres: NDArray[np.int64], width: int) -> NDArray[Any]:
    """Windows (n, 4, width) of ``full`` (rows, 4, L) around ``centres``; zero beyond the ends."""
    before, after = width // 2, width - width // 2
    padded = np.pad(full, ((0, 0), (0, 0), (before, after)))
    columns = centres[:, None] + np.arange(width)  # the padding shifts everything by `before`
    return np.asarray(padded[rows[:, None, None], np.arange(4)[None, :, None], columns[:, None, :]])
