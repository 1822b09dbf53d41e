"""Matrices of labels as ``.npz`` and parquet, in blocks of rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.genome.matrix_text import FLOAT32_LIMIT, bad_label
from drg_hpc.genome.npz_blocks import NpzReader

_BATCH_VALUES = 1 << 20
_NEEDED = "it needs counts and names (and celltypes), or values, names and columns"
Block = tuple[list[str], NDArray[Any]]


class ArrayMatrix(Protocol):
    """A matrix whose blocks are (names, values (n, tracks[, bins])); ``names`` is None when only blocks have them."""

    path: Path
    tracks: list[str]
    bins: int

    def blocks(self) -> Iterator[Block]:
        """Consecutive rows."""


def open_matrix(path: Path) -> ArrayMatrix:
    """Open an ``.npz`` or parquet matrix.

    Raises
    ------
    InputError : not such a file, or one without row names
    """
    return ParquetMatrix(path) if path.suffix == ".parquet" else NpzMatrix(path)


def check_block(matrix: ArrayMatrix, names: Sequence[str], values: NDArray[Any], *, allow_missing: bool) -> None:
    """Refuse values that are no finite number within float32.

    Raises
    ------
    InputError : names the row and the column
    """
    if values.dtype.kind in "biu":
        return
    bad = ~np.isfinite(values)
    if values.dtype.itemsize > np.dtype(np.float32).itemsize:
        bad |= np.abs(values) > FLOAT32_LIMIT
    if allow_missing:
        bad &= ~np.isnan(values)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise bad_label(matrix.path, "", names[first[0]], matrix.tracks[first[1]], values[first])


class NpzMatrix:
    """DRG's targets: ``counts``, ``names``, ``celltypes``; or ``values``, ``names``, ``columns``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with NpzReader(path) as reader:
            self._key, labels = ("counts", "celltypes") if "counts" in reader else ("values", "columns")
            if self._key not in reader or "names" not in reader:
                raise InputError(f"{path} has no labels, only {', '.join(reader.names)}", fix=_NEEDED)
            shape, dtype = reader.shape(self._key), reader.dtype(self._key)
            self._names = reader.text("names")
            if len(shape) not in (2, 3) or shape[0] != len(self._names) or 0 in shape or dtype.kind not in "biuf":
                raise InputError(f"{path}: {self._key} is {dtype} {shape} for {len(self._names)} names", fix=_NEEDED)
            self.tracks = reader.text(labels) if labels in reader else [f"C{i}" for i in range(shape[1])]
        if len(self.tracks) != shape[1]:
            raise InputError(f"{path}: {len(self.tracks)} {labels} for {shape[1]} columns of {self._key}")
        self.bins = shape[2] if len(shape) == 3 else 0

    def blocks(self) -> Iterator[Block]:
        """Consecutive rows."""
        with NpzReader(self.path) as reader:
            for start, values in reader.blocks(self._key):
                yield self._names[start : start + len(values)], values


class ParquetMatrix:
    """A parquet table: names in its index, else in its first column; all other columns are tracks."""

    bins = 0

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise InputError(f"no such file: {path}", fix="check the path")
        with self._opened() as file:
            schema = file.schema_arrow
            names = _names_column(schema)
            if names is None:
                raise InputError(f"{path} has no column of row names", fix="put them in the index or the first column")
            self._names_column = names
            self.tracks = [field.name for field in schema if field.name != names]
            for field in schema:
                kind = str(field.type)
                if field.name != names and not kind.startswith(("int", "uint", "float", "double", "half", "bool")):
                    raise InputError(f"{path}: column {field.name!r} holds {kind}, not numbers")
        if not self.tracks:
            raise InputError(f"{path} has no columns besides {names!r}")

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        import pyarrow  # type: ignore[import-untyped]
        import pyarrow.parquet  # type: ignore[import-untyped]

        try:
            with pyarrow.parquet.ParquetFile(self.path) as file:
                yield file
        except (pyarrow.ArrowException, OSError) as error:
            raise InputError(f"cannot read {self.path}: {error}", fix="it must be a whole parquet file") from None

    def blocks(self) -> Iterator[Block]:
        """Consecutive rows."""
        with self._opened() as file:
            for batch in file.iter_batches(batch_size=max(1, _BATCH_VALUES // len(self.tracks))):
                columns = [batch.column(track).to_numpy(zero_copy_only=False) for track in self.tracks]
                values = np.stack([np.asarray(column, np.float64) for column in columns], axis=1)
                yield [str(name) for name in batch.column(self._names_column).to_pylist()], values


def _names_column(schema: Any) -> str | None:
    """The index that pandas notes in the file, else the first column where it holds text."""
    noted = json.loads((schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
    named = [name for name in noted if isinstance(name, str) and name in schema.names]
    if named:
        return str(named[0])
    first = schema.field(0) if len(schema) else None
    return str(first.name) if first is not None and "string" in str(first.type) else None
