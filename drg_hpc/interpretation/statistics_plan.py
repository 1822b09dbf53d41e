"""drg-stats: which tracks are read together, and how many rows a task has."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from drg_hpc.interpretation.statistics_tasks import Panel, Part
from drg_hpc.results.seqlet_source import AttributionSource
from drg_hpc.runs.spec import BLOCK_ROWS

Correlate = Literal["files", "tracks", "none"]

_TASKS = 2048
"""Tasks that read, at most, unless there are more panels; with the merges that is less than 10^4."""
_TASK_BYTES = 16 << 20
"""Of one track in a task, up to the next power of two; blocks of it are read one after the other."""
_TRACKS = 4
"""Of a panel, that do not make a task shorter."""
_PANEL_BYTES = 128 << 20
"""Of one block of all tracks of a panel, float32 with a copy, and their sums; a single track may have more."""
_DIGEST_ROWS = 65_536


@dataclass(frozen=True)
class Source:
    """A file of attributions, to one of its inputs where it has several."""

    path: Path
    tracks: list[str]
    rows: int
    length: int
    input: str | None = None


@dataclass(frozen=True)
class Group:
    """Files that are read together.

    Parameters
    ----------
    files : numbers of the sources
    panels : of their tracks, in the order of files and tracks
    between : correlations of tracks of different panels, too
    """

    files: tuple[int, ...]
    panels: tuple[Panel, ...]
    between: bool


def open_source(path: Path, name: str | None) -> Source:
    """Sizes of a file; errors as :class:`AttributionSource`."""
    with AttributionSource(path, name) as source:
        return Source(path.absolute(), [track.name for track in source.tracks], source.rows, source.length, name)


def make_groups(sources: Sequence[Source], correlate: Correlate) -> list[Group]:
    """Files with the same rows together if they are to be compared, else each by itself, cut into panels."""
    together: dict[tuple[int, int, str], list[int]] = {}
    sizes = [(source.rows, source.length) for source in sources]
    for number, source in enumerate(sources):
        alike = correlate == "files" and sizes.count(sizes[number]) > 1
        digest = _rows_digest(source) if alike else str(number)
        together.setdefault((*sizes[number], digest), []).append(number)
    return [
        Group(tuple(files), _panels([sources[i] for i in files]), correlate != "none") for files in together.values()
    ]


def _rows_digest(source: Source) -> str:
    """Of the places, names and origins of all rows, and which are kept."""
    found = hashlib.sha256()
    with AttributionSource(source.path, source.input) as opened:
        for at in range(0, source.rows, _DIGEST_ROWS):
            stop = min(at + _DIGEST_ROWS, source.rows)
            places = opened.regions(at, stop)
            text = "\n".join("\t".join(row) for row in zip(places.chrom, places.name, places.origin, strict=True))
            found.update(text.encode())
            for numbers in (places.start, places.end, places.flipped, opened.kept(at, stop)):
                found.update(np.ascontiguousarray(numbers).tobytes())
    return found.hexdigest()


def _panels(sources: Sequence[Source]) -> tuple[Panel, ...]:
    """Tracks in order, as many at a time as a block's memory allows."""
    length = max(sources[0].length, 1)
    most = max(1, _PANEL_BYTES // (8 * BLOCK_ROWS * length))
    every = [(file, track) for file, source in enumerate(sources) for track in range(len(source.tracks))]
    panels = []
    for at in range(0, len(every), most):
        chosen = every[at : at + most]
        files = sorted({file for file, _ in chosen})
        parts = []
        for file in files:
            tracks = tuple(track for number, track in chosen if number == file)
            parts.append(Part(sources[file].path, sources[file].input, tracks, compose=0 in tracks))
        panels.append(tuple(parts))
    return tuple(panels)


def pairs_of(group: Group) -> list[tuple[int, int]]:
    """Pairs of different panels whose tracks are compared."""
    count = len(group.panels) if group.between else 0
    return [(i, j) for i in range(count) for j in range(i + 1, count)]


def panel_tracks(panel: Panel) -> int:
    """Tracks of a panel."""
    return sum(len(part.tracks) for part in panel)


def group_work(group: Group) -> int:
    """How often a row is read, in tracks."""
    sizes = [panel_tracks(panel) for panel in group.panels]
    return sum(sizes) + sum(sizes[i] + sizes[j] for i, j in pairs_of(group))


def task_blocks(sources: Sequence[Source], task_rows: int | None, groups: Sequence[Group] | None = None) -> list[int]:
    """Blocks of a task of each group, a power of two: the tasks are then subtrees of the one tree.

    Parameters
    ----------
    task_rows : wanted; by default as many rows as 16 MB of a track hold, and more where that makes too many tasks
    groups : by default each file by itself
    """
    groups = make_groups(sources, "tracks") if groups is None else groups
    if task_rows is not None:
        return [_power(-(-task_rows // BLOCK_ROWS))] * len(groups)
    firsts = [sources[group.files[0]] for group in groups]
    sizes = [
        _power(_TASK_BYTES // (4 * max(first.length, 1) * BLOCK_ROWS * -(-panel_tracks(group.panels[0]) // _TRACKS)))
        for first, group in zip(firsts, groups, strict=True)
    ]
    passes = [len(group.panels) + len(pairs_of(group)) for group in groups]

    def count() -> int:
        return sum(
            n * -(-first.rows // (size * BLOCK_ROWS)) for n, first, size in zip(passes, firsts, sizes, strict=True)
        )

    while count() > _TASKS and any(size * BLOCK_ROWS < first.rows for size, first in zip(sizes, firsts, strict=True)):
        sizes = [size * 2 for size in sizes]
    return sizes


def _power(number: int) -> int:
    """The least power of two that is not below."""
    return 1 << max(number - 1, 0).bit_length()
