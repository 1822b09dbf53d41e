"""Motifs on disk: one group per motif in HDF5, read back by the report and by later analyses.

``motifs/<name>/{pfm,cwm,form}`` (4, W), ``coverage`` (W,), ``target_pfm`` (4, V) where a database named it, and
``members/{seqlet,offset,flipped,similarity}``; scalars (sign, start, end, consensus, match …) are attributes.
``motifs`` has the attribute ``order``: the names, strongest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import CorruptError
from drg_hpc.results import h5

FORMAT = "drg-motifs/1"
GROUP = "motifs"


@dataclass(frozen=True)
class MotifRecord:
    """One motif as stored.

    Parameters
    ----------
    arrays : dataset name (may be a path) -> array
    facts : plain values
    """

    name: str
    arrays: dict[str, NDArray[Any]]
    facts: dict[str, Any]


def write_motifs(path: Path, records: Sequence[MotifRecord], attributes: dict[str, Any]) -> None:
    """Write ``path``; the order of the records is kept."""
    with h5.create_whole(path) as out:
        h5.set_attributes(out, {**attributes, "format": FORMAT})
        group = h5.subgroup(out, GROUP)
        h5.set_attributes(group, {"order": [record.name for record in records]})
        for record in records:
            own = h5.subgroup(group, record.name)
            h5.set_attributes(own, record.facts)
            for name in sorted(record.arrays):
                h5.write_array(own, name, np.asarray(record.arrays[name]), chunk_rows=h5.TABLE_CHUNK_ROWS)


def read_motifs(path: Path) -> list[MotifRecord]:
    """Motifs of a motif folder or its out.h5, strongest first.

    Raises
    ------
    InputError : nothing there
    CorruptError : not a motif file
    """
    source = path / "out.h5" if path.is_dir() else path
    with h5.open_file(source) as handle:
        if handle.attrs.get("format") != FORMAT or GROUP not in handle:
            raise CorruptError(f"{source} is not a motif file of format {FORMAT}", fix="give what drg-motifs wrote")
        group = handle[GROUP]
        found = []
        for name in h5.get_attributes(group)["order"]:
            own = group[name]
            arrays = {item: own[item][()] for item in h5.dataset_names(own)}
            found.append(MotifRecord(str(name), arrays, h5.get_attributes(own)))
        return found
