"""The HDF5 file of attributions: the part a shard writes, and the merged file."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.results import h5, layout
from drg_hpc.runs.spec import BLOCK_ROWS

log = logging.getLogger(__name__)

SHAP = "shap/seq"
PROJECTED_SHAP = "projected_shap/seq"
_FAINT = 1e-3
"""A hundredth of this is below float16's normal range, where digits are lost."""


@dataclass(frozen=True)
class Layout:
    """Which datasets a file of attributions holds.

    Parameters
    ----------
    length : bases of a sequence
    tracks : (index in the model, name) of every track attributed
    form : name of the four-base form: raw, corrected, hypothetical or global
    keep_form : store that form, (N, 4, L), besides the projection
    form_is_contribution : the form times the sequence, summed over bases, is the projection (global is not such a form)
    dtype : float16 or float32
    """

    length: int
    tracks: tuple[tuple[int, str], ...]
    form: str
    keep_form: bool
    form_is_contribution: bool
    dtype: str

    def group(self, position: int) -> str:
        """Group of the ``position``-th track of this file, named after its index in the model."""
        return f"tracks/{self.tracks[position][0]:05d}"

    @property
    def single(self) -> bool:
        """One track: the file also holds ``shap/seq`` and ``projected_shap/seq`` for motif finders."""
        return len(self.tracks) == 1

    @property
    def stores_form(self) -> bool:
        """The form has a dataset of its own, and is not just a link to ``shap/seq``."""
        return self.keep_form and not (self.single and self.form_is_contribution)

    def datasets(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Fixed-row datasets in the order of the file: name -> (shape of a row, dtype)."""
        four = (4, self.length)
        found: dict[str, tuple[tuple[int, ...], str]] = {"raw/seq": (four, "int8")}
        for position in range(len(self.tracks)):
            group = self.group(position)
            found[f"{group}/prediction"] = ((), "float32")
            found[f"{group}/projected"] = ((self.length,), self.dtype)
            if self.stores_form:
                found[f"{group}/{self.form}"] = (four, self.dtype)
        if self.single:
            found |= {SHAP: (four, self.dtype), PROJECTED_SHAP: (four, self.dtype)}
        return found

    def links(self) -> dict[str, str]:
        """Hard links of the merged file: name -> dataset it equals."""
        linked = self.keep_form and not self.stores_form
        return {f"{self.group(0)}/{self.form}": SHAP} if linked else {}

    def row_bytes(self) -> int:
        """Bytes of one row before compression."""
        return sum(math.prod(shape) * np.dtype(kind).itemsize for shape, kind in self.datasets().values())


def to_storage(values: NDArray[Any], dtype: str, *, what: str) -> NDArray[Any]:
    """Values in the stored precision.

    Raises
    ------
    InputError : a value is not finite, or beyond the range of float16
    """
    largest = float(np.abs(values).max(initial=0.0))
    if not np.isfinite(largest):
        raise InputError(f"{what} is not finite", fix="check the model's weights and its input")
    if largest > float(np.finfo(dtype).max):
        raise InputError(f"{what} reaches {largest:.4g}, beyond {dtype}", fix="use --store-dtype float32")
    return values.astype(dtype)


class PartWriter:
    """Writes one shard: regions, then block after block, track after track.

    Rows are numbered within the part; every block but the last has 64 rows, so that each chunk is written once.
    """

    def __init__(self, path: Path, plan: Layout, *, rows: int) -> None:
        self._layout = plan
        self._largest = [0.0] * len(plan.tracks)
        self._file = h5.create(path)
        for name, (shape, dtype) in plan.datasets().items():
            h5.dataset(self._file, name, shape=(rows, *shape), dtype=dtype)
        for position, (_, track) in enumerate(plan.tracks):
            h5.set_attributes(self._file[plan.group(position)], {"name": track})

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()
        if kind is None and self._layout.dtype == "float16":
            for (_, name), largest in zip(self._layout.tracks, self._largest, strict=True):
                if 0 < largest < _FAINT:
                    advice = "float16 loses digits, --store-dtype float32 does not"
                    log.warning("attributions of track %r reach only %.2g: %s", name, largest, advice)

    def regions(self, regions: pd.DataFrame) -> None:
        """Write the table of regions of all rows."""
        layout.write_regions(self._file, regions)

    def sequences(self, at: int, onehot: NDArray[Any]) -> None:
        """Write one block of sequences (n, 4, L)."""
        assert at % BLOCK_ROWS == 0
        self._file["raw/seq"][at : at + len(onehot)] = onehot.astype(np.int8)

    def track(
        self,
        at: int,
        position: int,
        *,
        prediction: NDArray[Any],
        projected: NDArray[Any],
        form: NDArray[Any],
        contribution: NDArray[Any],
        onehot: NDArray[Any],
    ) -> None:
        """Write one block of one track.

        Parameters
        ----------
        at, position : first row of the block in this part; which track of the layout
        prediction, projected : (n,) and (n, L)
        form, contribution : (n, 4, L); ``contribution`` times the sequence, summed over bases, is ``projected``
        onehot : (n, 4, L)
        """
        group, name = self._layout.group(position), self._layout.tracks[position][1]
        values = {f"{group}/projected": projected}
        if self._layout.stores_form:
            values[f"{group}/{self._layout.form}"] = form
        if self._layout.single:
            values |= {SHAP: contribution, PROJECTED_SHAP: contribution * onehot + 0.0}  # no -0.0
        stop = at + len(prediction)
        where = f"of track {name!r}, rows {at} to {stop} of this shard"
        self._file[f"{group}/prediction"][at:stop] = to_storage(prediction, "float32", what=f"the prediction {where}")
        self._largest[position] = max(self._largest[position], float(np.abs(projected).max(initial=0.0)))
        for key, array in values.items():
            self._file[key][at:stop] = to_storage(array, self._layout.dtype, what=f"the attribution {where}")


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
        for position, (_, track) in enumerate(plan.tracks):
            h5.set_attributes(h5.subgroup(merged, plan.group(position)), {"name": track})
        h5.merge_fixed(parts, [*layout.REGION_DATASETS, *plan.datasets()], merged)
        for name, target in plan.links().items():
            _link(merged, name, target)


def _link(merged: h5py.File, name: str, target: str) -> None:
    folder, _, leaf = name.rpartition("/")
    h5.subgroup(merged, folder)[leaf] = merged[target]
