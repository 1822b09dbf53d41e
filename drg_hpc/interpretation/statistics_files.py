"""drg-stats: cut files into tasks, have them done by whoever computes, write the statistics.

Tasks carry a path and a range of rows, never data or open files; the process that asks writes the file, alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from drg_hpc import digests
from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import failpoint, new_file
from drg_hpc.interpretation import statistics as s
from drg_hpc.interpretation.statistics_config import StatsOptions
from drg_hpc.log import Progress
from drg_hpc.results import statistics as stored
from drg_hpc.results.seqlet_source import AttributionSource
from drg_hpc.runs.outputs import resolve_output
from drg_hpc.runs.spec import BLOCK_ROWS

log = logging.getLogger(__name__)

_TASKS = 2048
"""Tasks that read, at most, unless there are more tracks; with the merges that is less than 10^4."""
_TASK_BYTES = 16 << 20
"""Of one track in a task, up to the next power of two; blocks of it are read one after the other."""


class Pool(Protocol):
    """Who computes; :mod:`drg_hpc.runs.launch.dask` has them."""

    progress: Progress | None

    def submit(self, function: Callable[..., Any], *arguments: Any, rows: int = 0) -> Any:
        """Have a task done; the handle may be an argument of another one. ``rows`` count as progress."""
        ...

    def collect(self, tasks: Sequence[Any]) -> list[Any]:
        """Results, in order."""
        ...


@dataclass(frozen=True)
class Source:
    """A file of attributions, to one of its inputs where it has several."""

    path: Path
    tracks: list[str]
    rows: int
    length: int
    input: str | None = None


def make_statistics(options: StatsOptions, pool: Pool) -> Path:
    """Compute and write; returns the file. One that holds the same already is left as it is.

    Raises
    ------
    UsageError : something else is in the way, or several inputs and none chosen
    InputError, IncompleteError, CorruptError : a file is no attributions, not merged, damaged
    """
    sources = [_open(path, options.input) for path in options.files]
    described = digests.describe_inputs({str(i): source.path for i, source in enumerate(sources)})
    header = _header([digests.input_identity(record) for record in described.values()], options.input)
    if options.out.exists():
        if stored.find_digest(options.out) != header["digest"]:
            raise UsageError(f"{options.out} was made from other files", fix="choose another -o, or remove it")
        log.info("already made from the same files: %s", options.out)
        return options.out
    if not options.out.absolute().parent.is_dir():
        raise InputError(f"no such folder: {options.out.absolute().parent}", fix="make it, or choose another -o")
    with Progress(sum(source.rows * (len(source.tracks) + 1) for source in sources), "statistics") as progress:
        pool.progress = progress
        results = iter(pool.collect(_submit(sources, pool, task_rows=options.task_rows)))
    records = [_record(source, next(results), [next(results) for _ in source.tracks]) for source in sources]
    _publish(options.out, records, header)
    return options.out


def _open(path: Path, name: str | None) -> Source:
    file = resolve_output(path, "out.h5")
    if file.is_dir():
        raise InputError(f"{file} is a folder and not a run", fix="give a run of drg-attr, or its out.h5")
    with AttributionSource(file, name) as source:
        if not source.rows:
            raise InputError(f"{file} holds no regions", fix="leave it out")
        return Source(file.absolute(), [track.name for track in source.tracks], source.rows, source.length, name)


def _header(inputs: list[dict[str, Any]], name: str | None) -> dict[str, Any]:
    """The root attributes: all that determines the numbers."""
    header = {
        "command": "stats",
        "inputs": inputs,
        "bins_per_octave": s.BINS_PER_OCTAVE,
        "quantile_levels": list(s.LEVELS),
        "top_fraction": s.TOP,
        **({"input": name} if name is not None else {}),
    }
    return header | {"digest": digests.digest(header | {"format": stored.FORMAT})}


def task_blocks(sources: Sequence[Source], task_rows: int | None) -> list[int]:
    """Blocks of a task of each file, a power of two: the tasks are then subtrees of the one tree.

    Parameters
    ----------
    task_rows : wanted; by default as many rows as 16 MB hold, and more where that makes too many tasks
    """
    if task_rows is not None:
        return [_power(-(-task_rows // BLOCK_ROWS))] * len(sources)
    sizes = [_power(_TASK_BYTES // (4 * max(source.length, 1) * BLOCK_ROWS)) for source in sources]
    while _count(sources, sizes) > _TASKS and any(
        size * BLOCK_ROWS < source.rows for size, source in zip(sizes, sources, strict=True)
    ):
        sizes = [size * 2 for size in sizes]
    return sizes


def _power(number: int) -> int:
    """The least power of two that is not below."""
    return 1 << max(number - 1, 0).bit_length()


def _count(sources: Sequence[Source], sizes: Sequence[int]) -> int:
    return sum(
        (len(source.tracks) + 1) * -(-source.rows // (size * BLOCK_ROWS))
        for source, size in zip(sources, sizes, strict=True)
    )


def _submit(sources: Sequence[Source], pool: Pool, *, task_rows: int | None) -> list[Any]:
    """Per file: the task of its composition, then one of each track's report."""
    tasks: list[Any] = []
    for source, blocks in zip(sources, task_blocks(sources, task_rows), strict=True):
        step = blocks * BLOCK_ROWS
        ranges = [(at, min(at + step, source.rows)) for at in range(0, source.rows, step)]
        tasks.append(
            s.fold(
                (pool.submit(s.composition_rows, source.path, a, b, source.input, rows=b - a) for a, b in ranges),
                lambda left, right: pool.submit(s.merge_compositions, left, right),
            )
        )
        for track in range(len(source.tracks)):
            sums = s.fold(
                (pool.submit(s.track_rows, source.path, track, a, b, source.input, rows=b - a) for a, b in ranges),
                lambda left, right: pool.submit(s.merge_tracks, left, right),
            )
            tasks.append(pool.submit(s.report_track, sums))
    return tasks


def _record(source: Source, composition: s.Composition, tracks: list[dict[str, Any]]) -> stored.FileRecord:
    letters = composition.bases.sum(axis=1)
    facts = {
        "regions": composition.regions,
        "left_out": composition.left_out,
        "bases": composition.regions * source.length,
        "length": source.length,
        "gc_content": float((letters[1] + letters[2]) / max(int(letters[:4].sum()), 1)),
    }
    return stored.FileRecord(
        facts=facts,
        arrays={"base_counts": composition.bases, "dinucleotide_counts": composition.pairs},
        tracks=source.tracks,
        columns={name: np.array([track[name] for track in tracks]) for name in tracks[0]},
    )


def _publish(out: Path, records: list[stored.FileRecord], header: dict[str, Any]) -> None:
    with new_file(out) as private:
        stored.write_statistics(private, records, header)
        failpoint("stats.before_publish")
