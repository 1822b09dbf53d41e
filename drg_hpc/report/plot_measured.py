"""Measured values of the regions of a result, from a dataset store."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drg_hpc.errors import InputError
from drg_hpc.results.reader import Attributions
from drg_hpc.store.header import describe_store
from drg_hpc.store.reader import open_dataset

log = logging.getLogger(__name__)


class Measured:
    """Targets by row of the result and by name of the track.

    Of the store that was attributed, rows are those that the result names; of another one, those with the same
    interval, or the same name where there is none.

    Parameters
    ----------
    path : dataset store
    found : the result
    tracks : shown; those that the store lacks are named in a warning

    Raises
    ------
    InputError : no dataset store, or one that has none of the tracks
    """

    def __init__(self, path: Path, found: Attributions, tracks: Sequence[str]) -> None:
        self._path = path
        self._store = open_dataset(path)
        self._regions = found.regions
        self._columns = self._tracks(tracks)
        attributed = found.attributes.get("inputs", {}).get("sequences", {}).get("sha256")
        self._same = attributed == describe_store(path)["sha256"]
        self._values: dict[tuple[int, str], Any] = {}

    def _tracks(self, tracks: Sequence[str]) -> dict[str, tuple[str, int]]:
        """Name -> modality and number in it."""
        known = {name: (item.name, i) for item in self._store.modalities.values() for i, name in enumerate(item.names)}
        missing = [track for track in tracks if track not in known]
        if len(missing) == len(tracks):
            raise InputError(f"--measured {self._path}: no track of that name: {missing[0]!r}", fix="leave it out")
        if missing:
            log.warning("%s has no track %s: no bars", self._path, ", ".join(map(repr, missing)))
        return {track: known[track] for track in tracks if track in known}

    @property
    def title(self) -> str:
        """Of the column of bars."""
        bins = any(self._store.modalities[name].bins for name, _ in self._columns.values())
        return "measured, total of bins" if bins else "measured"

    def value(self, row: int, track: str) -> float:
        """The target, of bins their total; NaN where it is missing.

        Raises
        ------
        InputError : the store has no such region, or several
        """
        if track not in self._columns:
            return math.nan
        modality, number = self._columns[track]
        key = (self._row(row), modality)
        if key not in self._values:
            self._values[key] = self._store.targets([key[0]], modality=modality)[0]
        return float(np.sum(self._values[key][number]))

    def _row(self, row: int) -> int:
        region = self._regions.iloc[row]
        if self._same:
            return int(region["row"])
        theirs = self._store.regions
        if region["chrom"] and region["origin"] == "given":  # shuffles share the interval of their source
            alike = [theirs[key] == region[key] for key in ("chrom", "start", "end", "origin")]
            alike.append((theirs["strand"] == "-") == (region["strand"] == "-"))
        else:
            alike = [theirs["name"] == region["name"]]
        rows = np.flatnonzero(np.logical_and.reduce(alike))
        if len(rows) != 1:
            count = f"{len(rows)} regions" if len(rows) else "no region"
            raise InputError(f"--measured {self._path} has {count} like {region['name']!r}, row {row}")
        return int(rows[0])
