"""The stage of ``drg-shard regions --negatives gc`` that draws the negatives, a contig at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.genome.gc import Matches, Matching, match_contig, unmatched_reason
from drg_hpc.genome.regions import Region
from drg_hpc.runs.signals import check_stop
from drg_hpc.runs.spec import Part, Shard
from drg_hpc.store.genome_reader import GenomeStore

PART = "matches.npz"
REDUCED = "gc.npz"


def draw_contigs(
    path: Path,
    shard: Shard,
    *,
    genome: GenomeStore,
    contigs: Sequence[str],
    regions: Sequence[Region],
    given: Mapping[str, NDArray[np.int64]],
    blacklist: Mapping[str, NDArray[np.int64]],
    per_row: int,
    seed: int,
    matching: Matching,
) -> None:
    """Write the negatives of the contigs ``shard.start`` to ``shard.stop`` of ``contigs``.

    Parameters
    ----------
    regions : the positives, all of one length
    given : contig -> (m, 2) intervals, as the user gave them, that no negative may overlap
    blacklist : contig -> (k, 2) intervals, likewise
    """
    rows: list[NDArray[np.int64]] = []
    matches: list[Matches] = []
    by_contig: dict[str, list[int]] = {contig: [] for contig in contigs[shard.start : shard.stop]}
    for i, region in enumerate(regions):
        if region.kept and region.chrom in by_contig:
            by_contig[region.chrom].append(i)
    for contig, here in by_contig.items():
        check_stop()
        length = regions[here[0]].end - regions[here[0]].start
        used = np.array([(regions[i].start, regions[i].end) for i in here], np.int64)
        found = match_contig(
            partial(genome.codes, contig),
            contig=contig,
            size=genome.contigs[contig],
            starts=used[:, 0],
            length=length,
            regions=np.concatenate([used, given.get(contig, used)]),
            blacklist=blacklist.get(contig),
            per_row=per_row,
            seed=seed,
            matching=matching,
        )
        rows.append(np.array(here, np.int64))
        matches.append(found)
    np.savez(
        path / PART,
        rows=np.concatenate(rows),
        starts=np.concatenate([found.starts for found in matches]),
        gc=np.concatenate([found.gc for found in matches]),
        matched_gc=np.concatenate([found.matched_gc for found in matches]),
    )


def join_contigs(parts: Sequence[Part], out: Path, *, positives: int, per_row: int) -> dict[str, Any]:
    """Write ``gc.npz``: starts (positives, per_row), -1 for none, and GC fractions, from all contigs."""
    starts = np.full((positives, per_row), -1, np.int64)
    gc, matched = np.full(positives, np.nan), np.full((positives, per_row), np.nan)
    for part in parts:
        with np.load(part.path / PART, allow_pickle=False) as found:
            starts[found["rows"]], gc[found["rows"]] = found["starts"], found["gc"]
            matched[found["rows"]] = found["matched_gc"]
    np.savez(out / REDUCED, starts=starts, gc=gc, matched_gc=matched)
    return {"unmatched": int((starts < 0).sum())}


def read_matches(run: Path) -> Matches:
    """The negatives of all positives."""
    with np.load(run / "stages" / REDUCED, allow_pickle=False) as found:
        return Matches(found["starts"], found["gc"], found["matched_gc"])


def negative_region(matches: Matches, positive: Region, *, row: int, copy: int, matching: Matching) -> Region:
    """The interval of a negative; not kept where no window was left, or where its positive is not kept."""
    start, length = int(matches.starts[row, copy]), positive.end - positive.start
    if not positive.kept:
        return positive
    if start < 0:
        reason = unmatched_reason(float(matches.gc[row]), positive.chrom, matching)
        return Region(positive.chrom, positive.start, positive.end, positive.name, "+", False, reason)
    return Region(positive.chrom, start, start + length, positive.name, "+")
