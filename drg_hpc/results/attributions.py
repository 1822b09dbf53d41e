"""The HDF5 file of attributions: the part a shard writes, and the merged file."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.results import attributions_top, h5, layout
from drg_hpc.results.attributions_blocks import InputBlock, TrackBlock, required, to_storage
from drg_hpc.results.attributions_layout import (
    ATTENTION,
    INTERVAL_NUMBERS,
    INTERVAL_TEXT,
    PROJECTED_SHAP,
    RAW,
    SCORED,
    SHAP,
    Layout,
    Mutagenesis,
)
from drg_hpc.results.attributions_places import nowhere

__all__ = ["InputBlock", "Layout", "Mutagenesis", "PartWriter", "TrackBlock", "merge"]

log = logging.getLogger(__name__)

_FAINT = 1e-3
"""A hundredth of this is below float16's normal range, where digits are lost."""
_FOR_MOTIF_FINDERS = (SHAP, PROJECTED_SHAP)


class PartWriter:
    """Writes one shard: regions first, then block after block, track after track.

    Rows are numbered within the part; every block but the last has the layout's number of rows, so that each chunk is
    written once. Rows that are not kept hold NaN, whatever is given for them.
    """

    def __init__(self, path: Path, plan: Layout, *, rows: int) -> None:
        self._layout = plan
        self._rows = rows
        self._kept = np.ones(rows, np.bool_)
        self._numbers = np.arange(rows, dtype=np.int64)
        self._largest = [0.0] * len(plan.tracks)
        self._file = h5.create(path)
        for name, (shape, dtype) in plan.datasets().items():
            chunks = plan.chunks() if name == ATTENTION else None
            size = plan.block_rows
            h5.dataset(self._file, name, shape=(rows, *shape), dtype=dtype, chunks=chunks, chunk_rows=size)

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()
        if kind is None:
            advice = "float16 loses digits, --store-dtype float32 does not"
            for name, largest in self.faint.items():
                log.warning("attributions of track %r reach only %.2g: %s", name, largest, advice)

    @property
    def faint(self) -> dict[str, float]:
        """Tracks of which float16 loses digits, with the largest attribution that was written so far."""
        if self._layout.dtype != "float16":
            return {}
        names = (name for _, name in self._layout.tracks)
        return {name: most for name, most in zip(names, self._largest, strict=True) if 0 < most < _FAINT}

    def regions(self, regions: pd.DataFrame, *, intervals: Mapping[str, pd.DataFrame] | None = None) -> None:
        """Write the table of regions of all rows, before anything else.

        Parameters
        ----------
        regions : see :func:`~drg_hpc.results.layout.write_regions`
        intervals : of several inputs, by name: chrom, start, end, strand of each row; where one is missing, its
            sequences have no place on the genome
        """
        self._kept = regions["kept"].to_numpy(np.bool_)
        self._numbers = regions["row"].to_numpy(np.int64)
        assert self._layout.unkept or self._kept.all(), "the layout says that all rows are kept"
        size = self._layout.block_rows
        layout.write_regions(self._file, regions, columns=self._layout.columns, chunk_rows=size)
        if self._layout.several:
            for number, (name, length) in enumerate(self._layout.inputs):
                given = (intervals or {}).get(name, nowhere(self._rows, length))
                folder = self._layout.folder(number) + "regions"
                for column in INTERVAL_TEXT:
                    h5.write_text(self._file, f"{folder}/{column}", [str(value) for value in given[column]])
                for column in INTERVAL_NUMBERS:
                    h5.write_array(self._file, f"{folder}/{column}", given[column].to_numpy(np.int64), chunk_rows=size)

    def sequences(self, at: int, onehot: Sequence[NDArray[Any]]) -> None:
        """Write one block of sequences, (n, 4, L) of each input."""
        assert at % self._layout.block_rows == 0
        for number, block in enumerate(onehot):
            self._file[self._layout.folder(number) + RAW][at : at + len(block)] = block.astype(np.int8)

    def scored(self, at: int, scored: Sequence[NDArray[np.bool_]]) -> None:
        """Write which positions of one block were mutated, (n, L) of each input; none in rows that are not kept."""
        for number, block in enumerate(scored):
            kept = self._kept[at : at + len(block)]
            self._file[self._layout.folder(number) + SCORED][at : at + len(block)] = block & kept[:, None]

    def track(self, at: int, position: int, block: TrackBlock, *, onehot: Sequence[NDArray[Any]]) -> None:
        """Write one block of one track.

        Parameters
        ----------
        at, position : first row of the block in this part; which track of the layout
        onehot : (n, 4, L) of each input
        """
        group, name = self._layout.group(position), self._layout.tracks[position][1]
        where = f"of track {name!r}"
        numbers = {"prediction": block.prediction, "prediction_sd": block.prediction_sd, "delta": block.delta}
        words = {"prediction": "the prediction", "prediction_sd": "the s.d. of predictions", "delta": "the delta"}
        for key in self._layout.values:
            self._write(f"{group}/{key}", at, required(numbers[key], key), what=f"{words[key]} {where}")
        assert len(block.inputs) == len(onehot) == len(self._layout.inputs)
        for number, (found, bases) in enumerate(zip(block.inputs, onehot, strict=True)):
            kept = self._kept[at : at + len(bases)]
            self._largest[position] = max(self._largest[position], float(np.abs(found.projected[kept]).max(initial=0)))
            for key, array in self._arrays(position, number, found, bases).items():
                self._write(key, at, array, what=f"the attribution {where}", blank=self._blank(key, array, found))

    def _blank(self, key: str, array: NDArray[Any], found: InputBlock) -> NDArray[np.bool_] | None:
        """Where NaN is meant: positions that were not mutated, edits that were not made."""
        name, plan = key.rpartition("/")[2], self._layout.mutagenesis
        if plan is not None and name in plan.edits:
            missing: NDArray[np.bool_] = np.isnan(array)
            return missing
        if found.scored is None or name not in (self._layout.form, f"{self._layout.form}_sd"):
            return None
        return np.broadcast_to(~found.scored[:, None], array.shape)

    def _arrays(self, position: int, number: int, found: InputBlock, onehot: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Dataset -> its block, of a track and an input."""
        plan = self._layout
        group = plan.own_group(position, number)
        made = {} if plan.mutagenesis is None else {name: found.edits[name] for name in plan.mutagenesis.edits}
        if not plan.by_base:
            return {f"{group}/{key}": array for key, array in made.items()}
        values = {**made, "projected": found.projected}
        if plan.deviations:
            values["projected_sd"] = required(found.projected_sd, "projected_sd")
        if plan.stores_form:
            values[plan.form] = found.form
        if plan.stores_form_sd:
            values[f"{plan.form}_sd"] = required(found.form_sd, f"{plan.form}_sd")
        if plan.top:
            best = attributions_top.top_positions(found.projected, plan.kept_positions(number))
            values = {"positions": best} | {key: attributions_top.take(array, best) for key, array in values.items()}
            group += "/top"
        arrays = {f"{group}/{key}": array for key, array in values.items()}
        if plan.single:
            folder = plan.folder(number)
            arrays[folder + SHAP] = found.contribution
            arrays[folder + PROJECTED_SHAP] = found.contribution * onehot + 0.0  # no -0.0
        return arrays

    def skip(self, at: int, rows: int, onehot: Sequence[NDArray[Any]] | None = None) -> None:
        """Write a block of rows none of which is kept: nothing was computed for them.

        Parameters
        ----------
        onehot : their sequences (rows, 4, L) of each input, None for no base at all
        """
        assert at % self._layout.block_rows == 0
        assert not self._kept[at : at + rows].any()
        for key, (shape, dtype) in self._layout.datasets().items():
            if key.endswith(RAW) and onehot is not None:
                continue
            step = 1 if key == ATTENTION else rows
            for first in range(at, at + rows, step):
                self._write(key, first, np.zeros((step, *shape), dtype), what=key)
        if onehot is not None:
            self.sequences(at, onehot)

    def attention(self, at: int, values: NDArray[Any]) -> None:
        """Write the scores (n, layers, heads, positions, positions) of any consecutive rows, each once."""
        for i in range(len(values)):
            self._write(ATTENTION, at + i, values[i : i + 1], what="the attention")

    def _write(
        self, key: str, at: int, values: NDArray[Any], *, what: str, blank: NDArray[np.bool_] | None = None
    ) -> None:
        """Rows of a dataset from ``at`` on; those not kept become NaN, 0 for motif finders, -1 for positions; what is
        ``blank`` becomes NaN."""
        target = self._file[key]
        unkept = ~self._kept[at : at + len(values)]
        if unkept.any():
            values = np.where(unkept.reshape(-1, *[1] * (values.ndim - 1)), np.zeros((), values.dtype), values)
        if blank is not None:
            values = np.where(blank, np.zeros((), values.dtype), values)
        if target.dtype.kind == "f":
            rows = self._numbers[at : at + len(values)]
            values = to_storage(values, str(target.dtype), what=what, at=at, rows=rows)
            if blank is not None:
                values[blank] = np.nan
            if not key.endswith(_FOR_MOTIF_FINDERS):
                values[unkept] = np.nan
        elif key.endswith("/positions"):
            values = np.where(unkept[:, None], -1, values)
        target[at : at + len(values)] = values


def merge(parts: Sequence[h5.PartFile], out: Path, *, plan: Layout, attributes: Mapping[str, Any]) -> None:
    """Join the parts of all shards.

    Parameters
    ----------
    parts : in order of rows
    out : file to make
    attributes : what determined the result; becomes the root attributes
    """
    with h5.create(out) as merged:
        h5.set_attributes(merged, {**attributes, "format": layout.ATTRIBUTIONS})
        _name_groups(merged, plan)
        further = [f"regions/{name}" for name in plan.columns]
        names = [*layout.REGION_DATASETS, *further, *plan.interval_datasets, *plan.datasets()]
        h5.merge_fixed(parts, names, merged)
        if plan.attention is not None:
            h5.set_attributes(merged[ATTENTION], {"layers": list(plan.attention.layers)})
        for name, target in plan.links().items():
            _link(merged, name, target)


def _name_groups(merged: h5py.File, plan: Layout) -> None:
    """Names of tracks, as attributes of their groups, and the order of the inputs."""
    for position, (_, track) in enumerate(plan.tracks):
        h5.set_attributes(h5.subgroup(merged, plan.group(position)), {"name": track})
    if plan.several:
        h5.set_attributes(h5.subgroup(merged, "inputs"), {"order": [name for name, _ in plan.inputs]})
        for number in range(len(plan.inputs)):
            for position, (_, track) in enumerate(plan.tracks):
                h5.set_attributes(h5.subgroup(merged, plan.own_group(position, number)), {"name": track})


def _link(merged: h5py.File, name: str, target: str) -> None:
    folder, _, leaf = name.rpartition("/")
    h5.subgroup(merged, folder)[leaf] = merged[target]
