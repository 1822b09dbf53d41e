"""Effects of motifs on disk: ``effects.h5`` of a motif folder.

``cells/{motif,row,max,mean,sum,presence,count,maxdiff}`` are the cells of the motif x region matrices that hold a
seqlet, all others being 0; ``regions/{row,name,chrom,origin}`` the rows that occur; ``by_track/{seqlets,regions,total,
mean}`` (K, T) matrices. ``sites/{motif,row,start,end,strand,value}`` are the sites of motifs, ``pairs/...`` and
``spacing/...`` the tests of pairs. Motifs are numbered in the order of the root attribute ``motifs``, tracks in that of
``tracks``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import CorruptError
from drg_hpc.results import h5

FORMAT = "drg-effects/1"
NAME = "effects.h5"
GROUPS: dict[str, tuple[str, ...]] = {
    "cells": ("motif", "row", "max", "mean", "sum", "presence", "count", "maxdiff"),
    "regions": ("row", "name", "chrom", "origin"),
    "by_track": ("seqlets", "regions", "total", "mean"),
    "sites": ("motif", "row", "start", "end", "strand", "value"),
    "pairs": ("first", "second", "both", "expected", "deviation", "together", "apart", "q"),
    "spacing": (
        "first", "second", "regions", "apart", "measure", "expected", "p", "q", "peak_gap", "peak_side", "peak_strand",
        "histogram",
    ),
}  # fmt: skip
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class EffectsFile:
    """What ``effects.h5`` holds.

    Parameters
    ----------
    motifs, tracks : names
    groups : group -> column -> array; text as arrays of objects
    attributes : of the root: parameters, names of the measures of ``spacing``
    """

    motifs: list[str]
    tracks: list[str]
    groups: dict[str, Columns]
    attributes: dict[str, Any]


def write_effects(path: Path, groups: Mapping[str, Mapping[str, Any]], attributes: Mapping[str, Any]) -> None:
    """Write ``path``.

    Parameters
    ----------
    groups : columns of every group of ``GROUPS``
    attributes : of the root, with ``motifs`` and ``tracks``
    """
    with h5.create_whole(path) as out:
        h5.set_attributes(out, {**attributes, "format": FORMAT})
        for name, columns in GROUPS.items():
            group = h5.subgroup(out, name)
            for column in columns:
                values = groups[name][column]
                if isinstance(values, list):
                    h5.write_text(group, column, values)
                else:
                    h5.write_array(group, column, values, chunk_rows=h5.TABLE_CHUNK_ROWS if values.ndim == 1 else 64)


def find_effects(folder: Path) -> Path | None:
    """The effects of a motif folder, or of its out.h5; None where there are none."""
    path = (folder if folder.is_dir() else folder.parent) / NAME
    return path if path.is_file() else None


def read_effects(path: Path) -> EffectsFile:
    """Read ``effects.h5``.

    Raises
    ------
    InputError : nothing there
    CorruptError : another format, or not whole
    """
    with h5.open_file(path) as handle:
        attributes = h5.get_attributes(handle)
        if attributes.get("format") != FORMAT:
            raise CorruptError(f"{path} is no file of effects ({FORMAT})", fix="give what drg-motifs --effects wrote")
        groups: dict[str, Columns] = {}
        for name, columns in GROUPS.items():
            missing = [column for column in columns if f"{name}/{column}" not in handle]
            if missing:
                raise CorruptError(f"{path} lacks {name}/{missing[0]}", fix="run drg-motifs again with another -o")
            groups[name] = {column: _read(handle[f"{name}/{column}"]) for column in columns}
        motifs, tracks = ([str(name) for name in attributes[key]] for key in ("motifs", "tracks"))
        return EffectsFile(motifs, tracks, groups, attributes)


def _read(source: h5py.Dataset) -> NDArray[Any]:
    if h5py.check_string_dtype(source.dtype) is not None:
        return np.array(h5.read_text(source), dtype=object)
    return np.asarray(source[()])
