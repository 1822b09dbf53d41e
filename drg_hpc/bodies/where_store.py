"""Columns of a dataset store for ``--where``: regions, and the targets of a model's tracks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.bodies.where import Column
from drg_hpc.prediction.rows import track_places
from drg_hpc.store.reader import open_dataset

_READ_BYTES = 64 << 20


class StoreColumns:
    """Columns of some rows of a store."""

    def __init__(self, path: Path, model: Mapping[str, Any]) -> None:
        self._store, self._model = open_dataset(path), model

    def split_rows(self, split: str) -> list[int]:
        """Kept rows of a split, ascending."""
        return [int(row) for row in self._store.split_rows(split)]

    def column(self, name: str, rows: Sequence[int]) -> Column:
        """``max_target`` and ``mean_target`` over the model's tracks and their bins, or a column of the regions.

        Raises
        ------
        InputError : the store lacks tracks of the model
        """
        chosen = np.asarray(rows, np.int64)
        if name in ("max_target", "mean_target"):
            largest, mean = self._targets(chosen)
            values = largest if name == "max_target" else mean
            return [float(value) if np.isfinite(value) else None for value in values]
        found = self._store.regions[name].iloc[chosen].tolist()
        numeric = self._store.regions[name].dtype.kind in "iuf"
        return [float(value) for value in found] if numeric else [str(value) for value in found]

    @cached_property
    def _places(self) -> list[tuple[str, int]]:
        return track_places(self._model, self._store)

    def _targets(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Largest and mean target of each row, NaN where it has none."""
        store = self._store
        width = max(len(m.tracks) * max(m.bins, 1) for m in store.modalities.values())
        step = max(1, _READ_BYTES // (8 * width))
        largest, mean = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
        for first in range(0, len(rows), step):
            here = slice(first, first + step)
            total, count, top = (np.full(len(rows[here]), start) for start in (0.0, 0.0, -np.inf))
            for name, run in groupby(self._places, key=lambda place: place[0]):
                columns = [number for _, number in run]
                values = store.targets(rows[here], modality=name)[:, columns].reshape(len(total), -1)
                total += np.nansum(values, axis=1, dtype=np.float64)
                count += (~np.isnan(values)).sum(axis=1)
                top = np.fmax(top, np.where(np.isnan(values), -np.inf, values).max(axis=1))
            known = count > 0
            mean[here][known] = total[known] / count[known]
            largest[here][known] = top[known]
        return largest, mean
