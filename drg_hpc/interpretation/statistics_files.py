"""drg-stats: cut files into tasks, have them done by whoever computes, write the statistics.

Tasks carry a path and a range of rows, never data or open files; the process that asks writes the file, alone.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drg_hpc import digests
from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import failpoint, new_file
from drg_hpc.interpretation import statistics as s
from drg_hpc.interpretation.pool import Pool
from drg_hpc.interpretation.statistics_config import StatsOptions, require_out
from drg_hpc.interpretation.statistics_pairs import merge_comoments
from drg_hpc.interpretation.statistics_plan import (
    Group,
    Source,
    group_work,
    make_groups,
    open_source,
    pairs_of,
    panel_tracks,
    task_blocks,
)
from drg_hpc.interpretation.statistics_records import group_records, seqlet_record
from drg_hpc.interpretation.statistics_tasks import merge_panels, pair_rows, panel_rows
from drg_hpc.log import Progress
from drg_hpc.results import statistics as stored
from drg_hpc.results.layout import ATTRIBUTIONS
from drg_hpc.results.seqlet_counts import format_of
from drg_hpc.results.seqlets import FORMAT as SEQLETS
from drg_hpc.runs.outputs import resolve_output
from drg_hpc.runs.spec import BLOCK_ROWS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """Files by what they are; numbers are places among all FILEs."""

    sources: list[Source]
    seqlets: list[Path]

    @property
    def paths(self) -> list[Path]:
        """All files, attributions first."""
        return [source.path for source in self.sources] + self.seqlets


def make_statistics(options: StatsOptions, pool: Pool) -> Path:
    """Compute and write; returns the file. One that holds the same already is left as it is.

    Raises
    ------
    UsageError : something else is in the way, or several inputs and none chosen
    InputError, IncompleteError, CorruptError : a file is neither attributions nor seqlets, not merged, damaged
    """
    require_out(options.out)
    if options.out.exists():
        stored.find_digest(options.out)
    found = _find(options)
    # submitted first: whole files are hashed by one worker each, while the others begin with the tasks
    described = [pool.submit(digests.describe_input, path) for path in found.paths]
    if options.out.exists():
        if stored.find_digest(options.out) != _header(pool.collect(described), options)["digest"]:
            raise UsageError(
                f"{options.out} was made from other files or with other flags", fix="choose another -o, or remove it"
            )
        log.info("already made from the same files: %s", options.out)
        return options.out
    groups = make_groups(found.sources, options.correlate)
    if options.correlate == "files" and len(groups) > 1:
        names = [", ".join(str(found.sources[i].path) for i in group.files) for group in groups]
        log.info("not compared: other rows in %s than in %s", "; ".join(names[1:]), names[0])
    rows = [found.sources[group.files[0]].rows for group in groups]
    total = sum(count * group_work(group) for count, group in zip(rows, groups, strict=True))
    with Progress(total, "statistics") as progress:
        pool.progress = progress
        tasks = [pool.submit(seqlet_record, path) for path in found.seqlets]
        done = iter(pool.collect([*described, *tasks, *_submit(found.sources, groups, pool, options)]))
    header = _header([next(done) for _ in described], options)
    seqlets, results = [next(done) for _ in tasks], done
    files: dict[int, stored.FileRecord] = {}
    compared = []
    for group in groups:
        panels = [next(results) for _ in group.panels]
        crossed = [next(results) for _ in pairs_of(group)]
        records, between = group_records(
            group, found.sources, panels, crossed, kmer=options.kmer, top=options.top_kmers
        )
        files |= dict(zip(group.files, records, strict=True))
        compared += [between] if between else []
    whole = stored.Statistics([files[i] for i in sorted(files)], compared, seqlets)
    with new_file(options.out) as private:
        stored.write_statistics(private, whole, header)
        failpoint("stats.before_publish")
    return options.out


def _find(options: StatsOptions) -> Found:
    found = Found([], [])
    for path in options.files:
        file = resolve_output(path, "out.h5")
        if file.is_dir():
            raise InputError(f"{file} is a folder and not a run", fix="give a run of drg-attr, or its out.h5")
        kind = format_of(file)
        if kind == SEQLETS:
            found.seqlets.append(file.absolute())
            continue
        if kind not in (None, ATTRIBUTIONS):
            raise InputError(
                f"{file} is {kind}, attributions ({ATTRIBUTIONS}) or seqlets ({SEQLETS}) are wanted",
                fix="give runs of drg-attr, drg-ism or drg-seqlets, or their out.h5",
            )
        source = open_source(file, options.input)
        if not source.rows:
            raise InputError(f"{file} holds no regions", fix="leave it out")
        found.sources.append(source)
    return found


def _header(described: list[dict[str, Any]], options: StatsOptions) -> dict[str, Any]:
    """The root attributes: all that determines the numbers."""
    header = {
        "command": "stats",
        "inputs": [digests.input_identity(record) for record in described],
        "bins_per_octave": s.BINS_PER_OCTAVE,
        "quantile_levels": list(s.LEVELS),
        "top_fraction": s.TOP,
        "kmer": options.kmer,
        "top_kmers": options.top_kmers,
        "correlate": options.correlate,
        **({"input": options.input} if options.input is not None else {}),
    }
    return header | {"digest": digests.digest(header | {"format": stored.FORMAT})}


def _submit(sources: Sequence[Source], groups: Sequence[Group], pool: Pool, options: StatsOptions) -> list[Any]:
    """Per group: the task of each panel's sums, then of each pair of panels."""
    tasks: list[Any] = []
    for group, blocks in zip(groups, task_blocks(sources, options.task_rows, groups), strict=True):
        step, rows = blocks * BLOCK_ROWS, sources[group.files[0]].rows
        ranges = [(at, min(at + step, rows)) for at in range(0, rows, step)]
        for panel in group.panels:
            width = panel_tracks(panel)
            sums = (
                pool.submit(panel_rows, panel, a, b, options.kmer, group.between, rows=(b - a) * width)
                for a, b in ranges
            )
            tasks.append(s.fold(sums, lambda left, right: pool.submit(merge_panels, left, right)))
        for i, j in pairs_of(group):
            left, right = group.panels[i], group.panels[j]
            width = panel_tracks(left) + panel_tracks(right)
            pairs = (pool.submit(pair_rows, left, right, a, b, rows=(b - a) * width) for a, b in ranges)
            tasks.append(s.fold(pairs, lambda left, right: pool.submit(merge_comoments, left, right)))
    return tasks
