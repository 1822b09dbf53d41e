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
from numpy.typing import NDArray

from drg_hpc.errors import CorruptError, InputError
from drg_hpc.results import h5, layout
from drg_hpc.results.seqlets import looks_like_hdf5

# Forms whose value at the base that is there is that base's contribution; "global" with a reference is not one.
_FULL_FORMS = ("hypothetical", "corrected", "raw")
_BLOCK_BYTES = 16 << 20


@dataclass(frozen=True)
class Track:
    """One attributed track of the file: position in the file, name, group path."""

    index: int
    name: str
    path: str


@dataclass(frozen=True)
class Regions:
    """Coordinates, names and origins of the rows that a shard covers."""

    chrom: list[str]
    name: list[str]
    origin: list[str]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    flipped: NDArray[np.bool_]


class AttributionSource:
    """An open attribution file; ``with AttributionSource(path) as source``.

    Attributes
    ----------
    tracks : those that keep their projected form, in the file's order
    rows, length : of the file

    Raises
    ------
    InputError : missing, or something else than attributions
    CorruptError : cut off, or not whole
    """

    def __init__(self, path: Path) -> None:
        if not looks_like_hdf5(path) and path.is_file():
            raise InputError(f"{path} is not HDF5, attributions are wanted", fix=_FIX)
        self.path = path
        self._stack = ExitStack()
        self._file: h5py.File = self._stack.enter_context(h5.open_file(path))
        try:
            self.tracks = self._list_tracks()
            self.rows, self.length = (int(n) for n in self._file[f"{self.tracks[0].path}/projected"].shape)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> AttributionSource:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()

    def _list_tracks(self) -> list[Track]:
        groups = self._file.get("tracks")
        found = self._file.attrs.get("format")
        if found != layout.ATTRIBUTIONS:
            what = "of no format that is known here" if found is None else found
            raise InputError(f"{self.path} is {what}, attributions ({layout.ATTRIBUTIONS}) are wanted", fix=_FIX)
        if not isinstance(groups, h5py.Group) or "raw/seq" not in self._file:
            raise _fault(self.path, "it has no tracks/ or no raw/seq")
        names = [key for key in sorted(groups) if "projected" in groups[key]]
        if not names:
            raise _fault(self.path, "no track keeps its projected form")
        return [Track(i, str(groups[key].attrs.get("name", key)), f"tracks/{key}") for i, key in enumerate(names)]

    def form(self, track: Track) -> str:
        """The (N, 4, L) contribution form of a track, ``projected`` when none was kept.

        Raw TISM is 0 at every base that is there; its corrected form follows from it (:meth:`full`).
        """
        group = self._file[track.path]
        return next((form for form in _FULL_FORMS if form in group), "corrected" if "tism" in group else "projected")

    def kept(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Rows to use: those of regions that could be read from the genome."""
        if "regions/kept" not in self._file:
            return np.ones(stop - start, np.bool_)
        return np.asarray(self._file["regions/kept"][start:stop]).astype(np.bool_)

    def blocks(self, track: Track, start: int, stop: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """``(first row, projected float32 (n, L))`` of whole row blocks of about 16 MB."""
        source = self._file[f"{track.path}/projected"]
        step = max(64, _BLOCK_BYTES // (4 * max(self.length, 1)) // 64 * 64)
        for first in range(start, stop, step):
            yield first, np.asarray(source[first : min(first + step, stop)], np.float32)

    def onehot(self, start: int, stop: int) -> NDArray[np.int8]:
        """One-hot sequences (n, 4, L)."""
        return np.asarray(self._file["raw/seq"][start:stop], np.int8)

    def full(self, track: Track, form: str, start: int, stop: int) -> NDArray[np.float32]:
        """A four-base form (n, 4, L) of a track.

        TISM is the gradient less a constant per position, so that both have the same corrected form, ``g - mean_b g``.
        """
        group = self._file[track.path]
        if form in group:
            return np.asarray(group[form][start:stop], np.float32)
        taylor = np.asarray(group["tism"][start:stop], np.float32)
        corrected: NDArray[np.float32] = taylor - taylor.mean(axis=1, keepdims=True)
        return corrected

    def regions(self, start: int, stop: int) -> Regions:
        """Coordinates of rows ``start`` to ``stop``.

        Rows read from the reverse strand (root attribute ``stranded``, strand ``-``) run backwards along the genome.
        A sequence without coordinates is its own chromosome, under its name. So is a shuffled negative: the table has
        the coordinates of the region that it was shuffled from, but its bases have no place on the genome.
        """
        group = self._file["regions"]
        strand = h5.read_text(group["strand"], start, stop)
        stranded = bool(self._file.attrs.get("stranded", False))
        chrom, names, origin = (h5.read_text(group[name], start, stop) for name in ("chrom", "name", "origin"))
        synthetic = np.isin(origin, layout.SHUFFLES)
        placed = [place and not made for place, made in zip(chrom, synthetic.tolist(), strict=True)]
        return Regions(
            chrom=[
                place if real else "_".join(name.split()) or "."
                for place, real, name in zip(chrom, placed, names, strict=True)
            ],
            name=names,
            origin=origin,
            start=np.where(synthetic, 0, np.asarray(group["start"][start:stop], np.int64)),
            end=np.where(synthetic, self.length, np.asarray(group["end"][start:stop], np.int64)),
            flipped=np.array([stranded and item == "-" for item in strand], np.bool_) & ~synthetic,
        )


_FIX = "give a run of drg-attr, or its out.h5"


def _fault(path: Path, what: str) -> CorruptError:
    return CorruptError(f"{path} is not a whole attribution file: {what}", fix="run drg-attr again")


def source_sizes(path: Path) -> dict[str, Any]:
    """Rows, length and track names, read from the file."""
    with AttributionSource(path) as source:
        return {"rows": source.rows, "length": source.length, "tracks": [track.name for track in source.tracks]}


def cut_windows(full: NDArray[Any], rows: NDArray[np.int64], centres: NDArray[np.int64], width: int) -> NDArray[Any]:
    """Windows (n, 4, width) of ``full`` (rows, 4, L) around ``centres``; zero beyond the ends."""
    before, after = width // 2, width - width // 2
    padded = np.pad(full, ((0, 0), (0, 0), (before, after)))
    columns = centres[:, None] + np.arange(width)  # the padding shifts everything by `before`
    return np.asarray(padded[rows[:, None, None], np.arange(4)[None, :, None], columns[:, None, :]])
