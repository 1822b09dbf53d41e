"""The tasks of drg-stats: sums over a range of rows, read from files here; and how two of them join."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import CorruptError
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
    InputError, CorruptError : a file is gone, another one, or damaged
    """
    with _opened(panel) as sources:
        return fold(
            (_block(panel, sources, at, min(at + BLOCK_ROWS, stop), kmer, together) for at in _starts(start, stop)),
            merge_panels,
        )


def pair_rows(left: Panel, right: Panel, start: int, stop: int) -> Comoments:
    """How the tracks of two panels vary together, over the same rows as :func:`panel_rows`."""
    with _opened(left) as first, _opened(right) as second:

        def block(at: int) -> Comoments:
            end = min(at + BLOCK_ROWS, stop)
            a, b = ([v for part in _values(p, s, at, end) for v in part] for p, s in ((left, first), (right, second)))
            return comoments_block(_flat(a), _flat(b))

        return fold((block(at) for at in _starts(start, stop)), merge_comoments)


def merge_panels(left: PanelSums, right: PanelSums) -> PanelSums:
    """Sums over the rows of both."""
    pairs = merge_comoments(left.pairs, right.pairs) if left.pairs and right.pairs else None
    return PanelSums(
        tuple(merge_compositions(a, b) for a, b in zip(left.compositions, right.compositions, strict=True)),
        tuple(merge_tracks(a, b) for a, b in zip(left.tracks, right.tracks, strict=True)),
        pairs,
    )


def _starts(start: int, stop: int) -> Iterator[int]:
    for at in range(start, stop, BLOCK_ROWS):
        failpoint("stats.block")
        yield at


@contextmanager
def _opened(panel: Panel) -> Iterator[list[AttributionSource]]:
    """The panel's files; h5py's error of a chunk that cannot be read becomes ours."""
    with ExitStack() as stack:
        sources = [stack.enter_context(AttributionSource(part.path, part.input)) for part in panel]
        try:
            yield sources
        except OSError as error:
            names = ", ".join(str(part.path) for part in panel)
            raise CorruptError(
                f"cannot read {names}: {error}", fix="drg-inspect --verify says what is damaged"
            ) from None


def _values(
    panel: Panel, sources: list[AttributionSource], start: int, stop: int
) -> Iterator[list[NDArray[np.float32]]]:
    """Per part: the kept rows (n, L) of its tracks."""
    for part, source in zip(panel, sources, strict=True):
        kept = source.kept(start, stop)
        every = bool(kept.all())
        blocks = (next(source.blocks(source.tracks[track], start, stop))[1] for track in part.tracks)
        yield [values if every else values[kept] for values in blocks]


def _sequences(source: AttributionSource, start: int, stop: int, kmer: int) -> Sequences:
    kept = source.kept(start, stop)
    summits = source.summits(start, stop)
    onehot = source.onehot(start, stop)
    return read_sequences(
        onehot if kept.all() else onehot[kept], summits=None if summits is None else summits[kept], kmer=kmer
    )


def _block(
    panel: Panel, sources: list[AttributionSource], start: int, stop: int, kmer: int, together: bool
) -> PanelSums:
    compositions, tracks, every = [], [], []
    for part, source, values in zip(panel, sources, _values(panel, sources, start, stop), strict=True):
        sequences = _sequences(source, start, stop, kmer)
        if part.compose:
            left_out = stop - start - len(sequences.bases)
            compositions.append(composition_block(sequences, left_out=left_out, kmer=kmer))
        tracks += [track_block(rows, summits=sequences.summits, codes=sequences.codes, kmer=kmer) for rows in values]
        every += values if together else []
    pairs = None
    if together:
        flat = _flat(every)
        pairs = comoments_block(flat, flat)
    return PanelSums(tuple(compositions), tuple(tracks), pairs)


def _flat(values: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.stack([rows.ravel() for rows in values])
