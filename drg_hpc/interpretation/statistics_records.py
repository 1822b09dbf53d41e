"""drg-stats: from sums to what is stored of a file, of files with the same rows, and of seqlets."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.interpretation import statistics as s
from drg_hpc.interpretation.statistics_pairs import Comoments, correlations
from drg_hpc.interpretation.statistics_plan import Group, Source, pairs_of
from drg_hpc.interpretation.statistics_sequences import Composition, kmer_text
from drg_hpc.interpretation.statistics_tasks import PanelSums
from drg_hpc.results import statistics as stored
from drg_hpc.results.seqlet_counts import count_by_track


def group_records(
    group: Group,
    sources: Sequence[Source],
    panels: Sequence[PanelSums],
    crossed: Sequence[Comoments],
    *,
    kmer: int,
    top: int,
) -> tuple[list[stored.FileRecord], stored.GroupRecord | None]:
    """A record of each file, and one of their correlations where there are several.

    Parameters
    ----------
    sources : of all files
    panels, crossed : results of the group's panels and of :func:`pairs_of` them
    kmer, top : length of k-mers, and how many of a track
    """
    tracks = [sums for panel in panels for sums in panel.tracks]
    compositions = iter([found for panel in panels for found in panel.compositions])
    matrix = _matrix(group, tracks, panels, crossed) if group.between else None
    records, at = [], 0
    for file in group.files:
        source = sources[file]
        stop = at + len(source.tracks)
        own = None if matrix is None else matrix[at:stop, at:stop]
        records.append(_record(source, next(compositions), tracks[at:stop], own, kmer=kmer, top=top))
        at = stop
    if matrix is None or len(group.files) < 2:
        return records, None
    owners = [file for file in group.files for _ in sources[file].tracks]
    names = [name for file in group.files for name in sources[file].tracks]
    return records, stored.GroupRecord(np.array(owners, np.int32), names, matrix)


def _matrix(
    group: Group, tracks: Sequence[s.TrackSums], panels: Sequence[PanelSums], crossed: Sequence[Comoments]
) -> NDArray[np.float64]:
    """(T, T) correlations of all tracks of a group."""
    squares = np.array([sums.squares for sums in tracks])
    values = np.full((len(tracks), len(tracks)), np.nan)
    ends = np.cumsum([0, *(len(panel.tracks) for panel in panels)])
    spans = [slice(int(a), int(b)) for a, b in pairwise(ends)]
    for span, panel in zip(spans, panels, strict=True):
        assert panel.pairs is not None
        values[span, span] = correlations(panel.pairs, squares[span], squares[span])
    for (i, j), found in zip(pairs_of(group), crossed, strict=True):
        values[spans[i], spans[j]] = correlations(found, squares[spans[i]], squares[spans[j]])
        values[spans[j], spans[i]] = values[spans[i], spans[j]].T
    np.fill_diagonal(values, np.where(squares > 0, 1.0, np.nan))
    return values


def _record(
    source: Source,
    composition: Composition,
    tracks: Sequence[s.TrackSums],
    matrix: NDArray[np.float64] | None,
    *,
    kmer: int,
    top: int,
) -> stored.FileRecord:
    letters = composition.bases.sum(axis=1)
    facts = {
        "regions": composition.regions,
        "left_out": composition.left_out,
        "bases": composition.regions * source.length,
        "length": source.length,
        "gc_content": float((letters[1] + letters[2]) / max(int(letters[:4].sum()), 1)),
    }
    arrays: dict[str, NDArray[Any]] = {
        "base_counts": composition.bases,
        "dinucleotide_counts": composition.pairs,
        "distance": np.arange(1 - source.length, source.length, dtype=np.int64),
        "distance_counts": composition.distances,
    }
    texts: dict[str, list[str]] = {}
    if kmer:
        more, texts["kmers/kmer"] = _kmers(composition, tracks, kmer=kmer, top=top)
        arrays |= more
    reports = [s.report_track(sums, composition.distances) for sums in tracks]
    columns = {name: np.array([report[name] for report in reports]) for name in reports[0]}
    if matrix is not None:
        columns["correlation"] = matrix
    return stored.FileRecord(facts=facts, arrays=arrays, tracks=source.tracks, columns=columns, texts=texts)


def _kmers(
    composition: Composition, tracks: Sequence[s.TrackSums], *, kmer: int, top: int
) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """The k-mers of each track that hold most magnitude, most first; equal ones by letters. None that holds nothing."""
    owner, chosen = [], []
    for number, sums in enumerate(tracks):
        order = np.argsort(-sums.kmers, kind="stable")[:top]
        found = order[sums.kmers[order] > 0]
        owner += [number] * len(found)
        chosen += found.tolist()
    weights = np.array([tracks[track].kmers[code] for track, code in zip(owner, chosen, strict=True)], np.float64)
    counts = composition.kmers[np.array(chosen, np.int64)]
    arrays: dict[str, NDArray[Any]] = {
        "kmers/track": np.array(owner, np.int32),
        "kmers/count": counts,
        "kmers/weight": weights,
        "kmers/mean": weights / np.maximum(counts, 1),
    }
    return arrays, [kmer_text(code, kmer) for code in chosen]


def seqlet_record(path: Path) -> stored.SeqletRecord:
    """Seqlets of each track of a seqlet file.

    Raises
    ------
    CorruptError : a column cannot be read
    """
    return stored.SeqletRecord(*count_by_track(path))
