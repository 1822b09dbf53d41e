"""The attribution file as drg-seqlets reads it: projected tracks by row blocks, windows, regions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import CorruptError
from drg_hpc.results import h5

_FULL_FORMS = ("hypothetical", "corrected", "raw", "global")
_BLOCK_BYTES = 16 << 20


@dataclass(frozen=True)
class Track:
    """One attributed track of the file: position in the file, name, group path."""

    index: int
    name: str
    path: str


@dataclass(frozen=True)
class Regions:
    """Coordinates of the rows that a shard covers."""

    chrom: list[str]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    flipped: NDArray[np.bool_]


def _fault(path: Path, what: str) -> CorruptError:
    return CorruptError(f"{path} is not an attribution file: {what}", fix="give what drg-attr wrote")


def list_tracks(handle: h5py.File, path: Path) -> list[Track]:
    """The tracks that have a projected form, in the file's order."""
    groups = handle.get("tracks")
    if not isinstance(groups, h5py.Group) or "raw/seq" not in handle:
        raise _fault(path, "it has no tracks/ or no raw/seq")
    names = [key for key in sorted(groups) if "projected" in groups[key]]
    if not names:
        raise _fault(path, "no track keeps its projected form")
    return [Track(i, str(groups[key].attrs.get("name", key)), f"tracks/{key}") for i, key in enumerate(names)]


def source_sizes(path: Path) -> dict[str, Any]:
    """Rows, length and track names, read from the file."""
    with h5.open_file(path) as handle:
        tracks = list_tracks(handle, path)
        rows, length = handle[f"{tracks[0].path}/projected"].shape
        return {"rows": int(rows), "length": int(length), "tracks": [track.name for track in tracks]}


def window_form(handle: h5py.File, track: Track) -> str:
    """The (N, 4, L) form kept for a track, ``projected`` when there is none."""
    group = handle[track.path]
    return next((form for form in _FULL_FORMS if form in group), "projected")


def kept_rows(handle: h5py.File, start: int, stop: int) -> NDArray[np.bool_]:
    """Rows to use: those of regions that could be read from the genome."""
    if "regions/kept" not in handle:
        return np.ones(stop - start, np.bool_)
    return np.asarray(handle["regions/kept"][start:stop]).astype(np.bool_)


def blocks(handle: h5py.File, track: Track, start: int, stop: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """``(first row, projected float32 (n, L))`` for whole row blocks of about 16 MB; rows not kept are zero rows."""
    source = handle[f"{track.path}/projected"]
    step = max(64, _BLOCK_BYTES // (4 * max(source.shape[1], 1)) // 64 * 64)
    for first in range(start, stop, step):
        yield first, np.asarray(source[first : min(first + step, stop)], np.float32)


def read_regions(handle: h5py.File, start: int, stop: int) -> Regions:
    """Coordinates of rows ``start`` to ``stop``.

    Rows read from the reverse strand (root attribute ``stranded``, strand ``-``) run backwards along the genome.
    """
    group = handle["regions"]
    strand = h5.read_text(group["strand"], start, stop)
    stranded = bool(handle.attrs.get("stranded", False))
    return Regions(
        chrom=h5.read_text(group["chrom"], start, stop),
        start=np.asarray(group["start"][start:stop], np.int64),
        end=np.asarray(group["end"][start:stop], np.int64),
        flipped=np.array([stranded and item == "-" for item in strand], np.bool_),
    )


def cut_windows(
    full: NDArray[Any], rows: NDArray[np.int64], centres: NDArray[np.int64], width: int
) -> NDArray[Any]:
    """Windows (n, 4, width) of ``full`` (rows, 4, L) around ``centres``; zero beyond the ends."""
    before, after = width // 2, width - width // 2
    padded = np.pad(full, ((0, 0), (0, 0), (before, after)))
    columns = centres[:, None] + np.arange(width)  # the padding shifts everything by `before`
    return np.asarray(padded[rows[:, None, None], np.arange(4)[None, :, None], columns[:, None, :]])
