"""Seqlet files in numbers: what they hold of each track, read in steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.results import h5
from drg_hpc.results.seqlets import GROUP

_ROWS = 1 << 20


def format_of(path: Path) -> str | None:
    """What an HDF5 file says that it holds; None where it says nothing, or is none."""
    if not path.is_file() or not h5py.is_hdf5(path):
        return None
    with h5.open_file(path) as handle:
        found = handle.attrs.get("format")
        return None if found is None else str(found)


def count_by_track(path: Path) -> tuple[list[str], dict[str, NDArray[Any]]]:
    """Track names, and columns of each: ``positive`` and ``negative`` seqlets, ``regions`` with a seqlet, and the sum
    of their ``attribution``.

    Seqlets lie in the file by row; those of one row may have any order of tracks.

    Raises
    ------
    InputError : naming the first seqlet whose attribution is NaN or infinite
    """
    with h5.open_file(path) as handle:
        names = [str(name) for name in h5.get_attributes(handle)["tracks"]]
        group = handle[GROUP]
        counts = np.zeros((3, len(names)), np.int64)
        sums, last = np.zeros(len(names)), np.full(len(names), -1, np.int64)
        for at in range(0, group["row"].shape[0], _ROWS):
            track, sign, row = (np.asarray(group[name][at : at + _ROWS]) for name in ("track", "sign", "row"))
            counts[0] += np.bincount(track[sign > 0], minlength=len(names))
            counts[1] += np.bincount(track[sign < 0], minlength=len(names))
            attribution = np.asarray(group["attribution"][at : at + _ROWS], np.float64)
            wrong = np.flatnonzero(~np.isfinite(attribution))
            if len(wrong):
                raise InputError(
                    f"seqlet {at + wrong[0]} of track {names[track[wrong[0]]]!r} in {path} has a NaN or infinite "
                    "attribution",
                    fix="run drg-seqlets again",
                )
            sums += np.bincount(track, weights=attribution, minlength=len(names))
            for number in np.unique(track):
                own = np.unique(row[track == number])
                counts[2, number] += len(own) - int(own[0] == last[number])
                last[number] = own[-1]
    return names, {"positive": counts[0], "negative": counts[1], "regions": counts[2], "attribution": sums}
