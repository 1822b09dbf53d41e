"""Reading dataset stores: sequences, targets and regions of any rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.store.base import Store
from drg_hpc.store.dataset_layout import (
    INTERVAL_TYPES,
    REGION_TYPES,
    Input,
    Modality,
    inputs_of,
    modalities_of,
    single_input,
)
from drg_hpc.store.header import folds_of, require_bins, split_count
from drg_hpc.store.layout import ArraySpec
from drg_hpc.store.shard_files import checked_codes

if TYPE_CHECKING:
    import pandas as pd

Rows = slice | Sequence[int] | NDArray[np.integer[Any]]


class DatasetStore(Store):
    """Rows with sequences, targets, regions and splits.

    Attributes
    ----------
    header : see :func:`drg_hpc.store.header.read_header`
    rows : number of rows
    inputs, modalities : what the rows hold, by name, in order
    tracks : track names of all modalities
    """

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        super().__init__(path, header)
        self.rows = int(header["rows"])
        self.inputs: dict[str, Input] = {item.name: item for item in inputs_of(header)}
        self.modalities: dict[str, Modality] = {item.name: item for item in modalities_of(header)}
        self.tracks: list[str] = list(header["tracks"])
        self._regions: pd.DataFrame | None = None

    @property
    def length(self) -> int:
        """Bases of the one sequence input.

        Raises
        ------
        InputError : the store has several inputs
        """
        return single_input(self.header).length

    @property
    def bins(self) -> int:
        """Bins of a target over all modalities, 0 when it is one value a track.

        Raises
        ------
        InputError : modalities differ
        """
        return require_bins(self.header)

    @property
    def regions(self) -> pd.DataFrame:
        """Data frame of chrom, start, end, name, strand, split, fold, kept, reason, origin, parent; one line a row.

        Intervals are those of the first input.
        """
        if self._regions is None:
            self._regions = self._table("regions", REGION_TYPES)
        return self._regions

    def intervals(self, name: str) -> pd.DataFrame:
        """Data frame of chrom, start, end, strand of an input; one line a row."""
        first = next(iter(self.inputs))
        return self.regions[[*INTERVAL_TYPES]] if name == first else self._table(f"intervals/{name}", INTERVAL_TYPES)

    def _table(self, group: str, columns: Iterable[str]) -> pd.DataFrame:
        import pandas as pd

        frame = {name: self._read(f"{group}/{name}", 0, self.rows) for name in columns}
        text = {name: values.astype(object) for name, values in frame.items() if values.dtype.kind == "T"}
        return pd.DataFrame(frame | text)

    def _input(self, name: str | None) -> Input:
        if name is None:
            return single_input(self.header)
        if name not in self.inputs:
            raise InputError(f"no input {name!r} in {self.path}", fix=f"inputs: {', '.join(self.inputs)}")
        return self.inputs[name]

    def onehot(self, start: int, stop: int, *, name: str | None = None, flank: bool = False) -> NDArray[np.bool_]:
        """One-hot ``(stop - start, length, 4)`` of consecutive rows of an input (of the only one, without a name).

        With ``flank`` all stored bases, ``length + 2 * flank`` of them.
        """
        item = self._input(name)
        block: NDArray[np.bool_] = self._read(f"inputs/{item.name}", start, stop)
        return block if flank else block[:, item.flank : item.flank + item.length]

    def codes(self, start: int, stop: int, *, name: str | None = None, flank: bool = False) -> NDArray[np.uint8]:
        """Base codes ``(stop - start, length)`` of consecutive rows: 0 to 3, else 4; see :meth:`onehot`."""
        item = self._input(name)
        codes = checked_codes(self.path, self._specs[f"inputs/{item.name}"], self.manifest, start, stop)
        return codes if flank else codes[:, item.flank : item.flank + item.length]

    def sequences(self, rows: Rows) -> NDArray[np.float32] | list[NDArray[np.float32]]:
        """One-hot ``(n, 4, length)`` float32 of any rows (global numbers, in the order given).

        Of a store with several inputs, a list of them in order.
        """
        found = [self.input_sequences(name, rows) for name in self.inputs]
        return found[0] if len(found) == 1 else found

    def input_sequences(self, name: str, rows: Rows) -> NDArray[np.float32]:
        """One-hot ``(n, 4, length)`` float32 of one input."""
        item = self._input(name)
        block = self._rows(f"inputs/{name}", rows)[:, item.flank : item.flank + item.length]
        return np.ascontiguousarray(block.transpose(0, 2, 1), dtype=np.float32)

    def targets(self, rows: Rows, *, modality: str | None = None) -> NDArray[np.float32]:
        """Targets ``(n, tracks[, bins])`` of any rows, NaN where a value is missing; of all modalities side by side,
        or of one.

        Raises
        ------
        InputError : no such modality; modalities differ in bins and none was named
        """
        if modality is None and len(self.modalities) > 1:
            require_bins(self.header)
            return np.concatenate([self.targets(rows, modality=name) for name in self.modalities], axis=1)
        name = self._modality(modality)
        values: NDArray[np.float32] = self._rows(f"targets/{name}", rows).astype(np.float32)
        values[~self._rows(f"targets_mask/{name}", rows)] = np.nan
        return values

    def _modality(self, name: str | None) -> str:
        if name is not None and name not in self.modalities:
            raise InputError(f"no modality {name!r} in {self.path}", fix=f"modalities: {', '.join(self.modalities)}")
        return name or next(iter(self.modalities))

    def target_block(self, start: int, stop: int, modality: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Targets as stored and their mask (true: a value is there, else the target is 0) of consecutive rows."""
        return self._read(f"targets/{modality}", start, stop), self._read(f"targets_mask/{modality}", start, stop)

    def split_rows(self, split: str) -> NDArray[np.int64]:
        """Global row numbers of the kept rows of a split, ascending; ``all`` is every kept row, ``fold:0,2`` those of
        two folds."""
        split_count(self.header, split)
        kept = self.regions["kept"].to_numpy(dtype=bool)
        if (folds := folds_of(split)) is not None:
            kept = kept & self.regions["fold"].isin(folds).to_numpy()
        elif split != "all":
            kept = kept & (self.regions["split"] == split).to_numpy()
        return np.flatnonzero(kept).astype(np.int64)

    def _rows(self, name: str, rows: Rows) -> Any:
        """Any rows of an array, each zarr chunk read once."""
        spec = self._specs[name]
        wanted = np.arange(self.rows)[rows] if isinstance(rows, slice) else np.asarray(rows, np.int64).reshape(-1)
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= self.rows):
            raise InputError(f"row {wanted.min() if wanted.min() < 0 else wanted.max()} of a store of {self.rows} rows")
        if len(wanted) and np.array_equal(wanted, np.arange(wanted[0], wanted[0] + len(wanted))):
            return self._read(name, int(wanted[0]), int(wanted[-1]) + 1)
        return self._gather(spec, wanted)

    def _gather(self, spec: ArraySpec, wanted: NDArray[np.int64]) -> Any:
        out = np.empty((len(wanted), *spec.shape[1:]), spec.dtype)
        chunk_of = wanted // spec.chunk
        for chunk in np.unique(chunk_of):
            here = np.flatnonzero(chunk_of == chunk)
            start = int(chunk) * spec.chunk
            block = self._read(spec.path, start, min(start + spec.chunk, self.rows))
            out[here] = block[wanted[here] - start]
        return out
