"""The tasks of drg-stats: sums over a range of rows, read from files here; and how two of them join."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.files import failpoint
from drg_hpc.interpretation.statistics import TrackSums, fold, merge_tracks, track_block
from drg_hpc.interpretation.statistics_pairs import Comoments, comoments_block, merge_comoments
from drg_hpc.interpretation.statistics_sequences import (
    Composition,
    Sequences,
    composition_block,
    merge_compositions,
    read_sequences,
)
from drg_hpc.results.seqlet_source import AttributionSource
from drg_hpc.runs.spec import BLOCK_ROWS


@dataclass(frozen=True)
class Part:
    """Some tracks of one file: their places among those that keep their projected form.

    ``compose``: the file's sequences are counted along with these tracks.
    """

    path: Path
    input: str | None
    tracks: tuple[int, ...]
    compose: bool


Panel = tuple[Part, ...]
"""Tracks that are read together: of one file, or of several with the same rows."""


@dataclass(frozen=True)
class PanelSums:
    """Of a panel over some rows: a composition for each part that composes, each track's sums, and how they vary
    together where that was asked for."""

    compositions: tuple[Composition, ...]
    tracks: tuple[TrackSums, ...]
    pairs: Comoments | None


def panel_rows(panel: Panel, start: int, stop: int, kmer: int, together: bool) -> PanelSums:
    """Sums over the kept rows of ``start`` to ``stop``.

    Parameters
    ----------
    start : a whole number of blocks; ``stop`` too, or the end of the files
    kmer : length of k-mers, 0 for none
    together : products of tracks, too

    Raises
    ------
    InputError, CorruptError : a file is gone, another one, or damaged; a kept row has NaN or infinite attributions
    """
    with _opened(panel, start, stop) as files:
        room = _Room(panel, files)
        return fold((_block(panel, files, room, a, b, kmer, together) for a, b in _blocks(start, stop)), merge_panels)


def pair_rows(left: Panel, right: Panel, start: int, stop: int) -> Comoments:
    """How the tracks of two panels vary together, over the same rows as :func:`panel_rows`."""
    with _opened(left, start, stop) as first, _opened(right, start, stop) as second:
        sides = ((left, first, _Room(left, first)), (right, second, _Room(right, second)))

        def block(at: int, end: int) -> Comoments:
            for panel, files, room in sides:
                room.read(panel, files, at, end)
            return comoments_block(sides[0][2].flat, sides[1][2].flat)

        return fold((block(a, b) for a, b in _blocks(start, stop)), merge_comoments)


def merge_panels(left: PanelSums, right: PanelSums) -> PanelSums:
    """Sums over the rows of both."""
    pairs = merge_comoments(left.pairs, right.pairs) if left.pairs and right.pairs else None
    return PanelSums(
        tuple(merge_compositions(a, b) for a, b in zip(left.compositions, right.compositions, strict=True)),
        tuple(merge_tracks(a, b) for a, b in zip(left.tracks, right.tracks, strict=True)),
        pairs,
    )


def _blocks(start: int, stop: int) -> Iterator[tuple[int, int]]:
    for at in range(start, stop, BLOCK_ROWS):
        failpoint("stats.block")
        yield at, min(at + BLOCK_ROWS, stop)


class _File:
    """A file of a panel, for some rows: which are kept and where their summits are is read at once."""

    def __init__(self, source: AttributionSource, start: int, stop: int) -> None:
        self._source, self._start, self.length = source, start, source.length
        self._kept, self._summits = source.kept(start, stop), source.summits(start, stop)

    def _here(self, start: int, stop: int) -> tuple[slice, NDArray[np.bool_] | slice]:
        """A block in the task's rows, and which rows of the block are used."""
        here = slice(start - self._start, stop - self._start)
        kept = self._kept[here]
        return here, slice(None) if kept.all() else kept

    def values(self, track: int, start: int, stop: int, out: NDArray[np.float32]) -> NDArray[np.float32]:
        """The kept rows (n, L) of a track of a block; ``out`` (stop - start, L) is their room."""
        _, kept = self._here(start, stop)
        self._source.read_projected(self._source.tracks[track], start, out)
        if isinstance(kept, slice):
            return out
        found = out[: kept.sum()]
        found[...] = out[kept]
        return found

    def not_finite(self, track: int, start: int, stop: int, values: NDArray[np.float32]) -> InputError:
        """The error of a block's kept rows (n, L) of a track of which one holds NaN or infinite values."""
        _, kept = self._here(start, stop)
        row = np.arange(start, stop)[kept][~np.isfinite(values).all(axis=1)][0]
        name, path = self._source.tracks[track].name, self._source.path
        return InputError(
            f"row {row} of track {name!r} in {path} has NaN or infinite attributions",
            fix="look at the model's outputs; run drg-attr again",
        )

    def sequences(self, start: int, stop: int, kmer: int) -> Sequences:
        """The kept sequences of a block."""
        here, kept = self._here(start, stop)
        summits = None if self._summits is None else self._summits[here][kept]
        return read_sequences(self._source.onehot(start, stop)[kept], summits=summits, kmer=kmer)


class _Room:
    """Where the values of a panel's blocks lie, one block after the other: new memory costs more than reading does.

    Attributes
    ----------
    tracks : of the last block, (n, L) of each
    flat : the same, (T, n L)
    work : (64, L)
    """

    def __init__(self, panel: Panel, files: list[_File]) -> None:
        length = files[0].length
        self._room = np.empty((sum(len(part.tracks) for part in panel), BLOCK_ROWS * length), np.float32)
        self.tracks: list[NDArray[np.float32]] = []
        self.flat = self._room[:, :0]
        self.work = np.empty((BLOCK_ROWS, length))

    def read(self, panel: Panel, files: list[_File], start: int, stop: int) -> None:
        """Read a block."""
        owners = [(file, track) for part, file in zip(panel, files, strict=True) for track in part.tracks]
        self.tracks = [
            file.values(track, start, stop, line[: (stop - start) * file.length].reshape(stop - start, file.length))
            for line, (file, track) in zip(self._room, owners, strict=True)
        ]
        self.flat = self._room[:, : self.tracks[0].size]


@contextmanager
def _opened(panel: Panel, start: int, stop: int) -> Iterator[list[_File]]:
    """The panel's files."""
    with ExitStack() as stack:
        sources = [stack.enter_context(AttributionSource(part.path, part.input)) for part in panel]
        yield [_File(source, start, stop) for source in sources]


def _block(
    panel: Panel, files: list[_File], room: _Room, start: int, stop: int, kmer: int, together: bool
) -> PanelSums:
    room.read(panel, files, start, stop)
    values = iter(room.tracks)
    compositions, tracks = [], []
    for part, file in zip(panel, files, strict=True):
        sequences = file.sequences(start, stop, kmer)
        if part.compose:
            left_out = stop - start - len(sequences.bases)
            compositions.append(composition_block(sequences, left_out=left_out, kmer=kmer))
        known: dict[str, Any] = {"summits": sequences.summits, "codes": sequences.codes, "kmer": kmer}
        for number in part.tracks:
            own = next(values)
            with np.errstate(invalid="ignore"):  # a mean that is not finite is an error here, not a warning there
                tracks.append(track_block(own, room=room.work, **known))
            if not math.isfinite(tracks[-1].mean):
                raise file.not_finite(number, start, stop, own)
    pairs = comoments_block(room.flat, room.flat) if together else None
    return PanelSums(tuple(compositions), tuple(tracks), pairs)
