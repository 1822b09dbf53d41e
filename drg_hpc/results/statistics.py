"""Statistics on disk: what drg-stats writes.

``files/00000/`` per file of attributions, with attributes ``regions``, ``left_out``, ``bases``, ``length``,
``gc_content``: ``base_counts`` int64 (5, L) for A, C, G, T and anything else, ``dinucleotide_counts`` int64 (4, 4),
``distance`` and ``distance_counts`` int64 (2L-1,) for distances to the summit, the centre where a row has none; and
``tracks/name`` (T,), ``tracks/<number>`` float64 (T,), ``tracks/quantiles`` (T, levels),
``tracks/mean_by_position`` and ``tracks/absolute_mean_by_position`` (T, L),
``tracks/absolute_mean_by_distance`` (T, 2L-1), 0 where no base has the distance, and ``tracks/correlation`` (T, T).
``kmers/{track,kmer,count,weight,mean}`` are columns: for each track its k-mers by weight, the sum of |attribution| over
all bases of all occurrences, as the sequences are read.

``correlations/00000/`` per set of files with the same rows: ``file``, ``track`` and ``values`` (T, T) of all their
tracks, by base; NaN where a track is constant. ``seqlets/00000/`` per file of seqlets: columns ``track``, ``positive``,
``negative``, ``regions`` (with a seqlet) and ``attribution`` (sum).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import UsageError
from drg_hpc.results import h5

FORMAT = "drg-statistics/1"


@dataclass(frozen=True)
class FileRecord:
    """Statistics of one file as stored.

    Parameters
    ----------
    facts : plain values
    arrays : dataset name -> array
    tracks : names
    columns : of the tracks: dataset name -> (T, …)
    texts : dataset name -> text
    """

    facts: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    tracks: list[str]
    columns: dict[str, NDArray[Any]]
    texts: dict[str, list[str]]


@dataclass(frozen=True)
class GroupRecord:
    """Correlations (T, T) of the tracks of several files: numbers of the files (T,), names, values."""

    files: NDArray[np.int32]
    tracks: list[str]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class SeqletRecord:
    """Seqlets of each track: names, and dataset name -> (T,)."""

    tracks: list[str]
    columns: dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Statistics:
    """All that is written."""

    files: Sequence[FileRecord]
    groups: Sequence[GroupRecord]
    seqlets: Sequence[SeqletRecord]


def write_statistics(path: Path, found: Statistics, attributes: Mapping[str, Any]) -> None:
    """Write ``path``, which must not exist; files and tracks keep their order."""
    with h5.create_whole(path) as out:
        h5.set_attributes(out, {**attributes, "format": FORMAT})
        for index, record in enumerate(found.files):
            group = h5.subgroup(out, f"files/{index:05d}")
            h5.set_attributes(group, record.facts)
            for name in sorted(record.arrays):
                h5.write_array(group, name, np.asarray(record.arrays[name]))
            h5.write_text(group, "tracks/name", record.tracks)
            for name in sorted(record.columns):
                h5.write_array(group, f"tracks/{name}", np.asarray(record.columns[name]))
            for name in sorted(record.texts):
                h5.write_text(group, name, record.texts[name])
        for index, compared in enumerate(found.groups):
            group = h5.subgroup(out, f"correlations/{index:05d}")
            h5.write_array(group, "file", compared.files)
            h5.write_text(group, "track", compared.tracks)
            h5.write_array(group, "values", compared.values)
        for index, seqlets in enumerate(found.seqlets):
            group = h5.subgroup(out, f"seqlets/{index:05d}")
            h5.write_text(group, "track", seqlets.tracks)
            for name in sorted(seqlets.columns):
                h5.write_array(group, name, seqlets.columns[name])


def find_digest(path: Path) -> str:
    """What the statistics in ``path`` were made from and how, as a digest.

    Raises
    ------
    UsageError : the file is something else
    """
    fault = UsageError(f"{path} exists and is not a file of drg-stats", fix="choose another -o")
    if not path.is_file() or not h5py.is_hdf5(path):
        raise fault
    with h5.open_file(path) as handle:
        attributes = h5.get_attributes(handle)
    if attributes.get("format") != FORMAT:
        raise fault
    return str(attributes.get("digest"))
