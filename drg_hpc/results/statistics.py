"""Statistics on disk: what drg-stats writes.

``files/00000/`` per file, with attributes ``regions``, ``left_out``, ``bases``, ``length``, ``gc_content``:
``base_counts`` int64 (5, L) for A, C, G, T and anything else, ``dinucleotide_counts`` int64 (4, 4), and
``tracks/name`` (T,), ``tracks/<number>`` float64 (T,), ``tracks/quantiles`` (T, levels),
``tracks/mean_by_position`` and ``tracks/absolute_mean_by_position`` (T, L).
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
    """

    facts: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    tracks: list[str]
    columns: dict[str, NDArray[Any]]


def write_statistics(path: Path, records: Sequence[FileRecord], attributes: Mapping[str, Any]) -> None:
    """Write ``path``, which must not exist; files and tracks keep their order."""
    with h5.create(path) as out:
        h5.set_attributes(out, {**attributes, "format": FORMAT})
        for index, record in enumerate(records):
            group = h5.subgroup(out, f"files/{index:05d}")
            h5.set_attributes(group, record.facts)
            for name in sorted(record.arrays):
                h5.write_array(group, name, np.asarray(record.arrays[name]))
            h5.write_text(group, "tracks/name", record.tracks)
            for name in sorted(record.columns):
                h5.write_array(group, f"tracks/{name}", np.asarray(record.columns[name]))


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
