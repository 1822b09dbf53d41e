"""HDF5 whose bytes are a function of its content: creating, writing and merging. The package's only h5py writer.

Fixed-row datasets are cut along rows in chunks of one block (64 rows). A part starts at a whole block, so a merge
moves its compressed chunks untouched. Everything else (text, tables of variable length) is read and encoded again.
"""

from __future__ import annotations

import errno
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from drg_hpc.digests import canonical_json
from drg_hpc.errors import CorruptError, DrgError, InputError
from drg_hpc.files import write_new
from drg_hpc.results.damage import FIX, reading
from drg_hpc.runs.spec import BLOCK_ROWS

TEXT = h5py.string_dtype("utf-8")
TABLE_CHUNK_ROWS = 4096
_CHUNK_BYTES = 4 << 20
_OPEN_PARTS = 128
_CHUNKS_AT_ONCE = 64


@dataclass(frozen=True)
class PartFile:
    """One part's HDF5 file and the global rows ``start`` to ``stop`` that its fixed-row datasets hold."""

    path: Path
    start: int
    stop: int


def create(path: Path) -> h5py.File:
    """A new file: no times, one format version, and no lock (one writer; some mounts cannot lock)."""
    return h5py.File(path, "w-", libver=("earliest", "v110"), locking=False)


@contextmanager
def create_whole(path: Path) -> Iterator[h5py.File]:
    """A new file like that of :func:`create`, made in memory and then written by us, for what is small.

    HDF5 crashes when the disk is full, and an error of ours does not.

    Raises
    ------
    OSError : the file is there, or cannot be written; nothing is left of it
    """
    form = {"libver": ("earliest", "v110"), "driver": "core", "backing_store": False, "block_size": _CHUNK_BYTES}
    with h5py.File(path, "w", **form) as out:
        yield out
        out.flush()
        image = out.id.get_file_image()
    write_new(path, image)


@contextmanager
def open_file(path: Path) -> Iterator[h5py.File]:
    """Open for reading.

    Raises
    ------
    InputError : missing or not readable
    CorruptError : not HDF5, or cut off; within the block, something that cannot be read
    """
    if not path.is_file():
        raise InputError(f"no such HDF5 file: {path}", fix="check the path")
    try:
        handle = h5py.File(path, "r", locking=False)
    except OSError as error:
        raise open_error(path, error) from None
    with handle, reading(path):
        yield handle


def open_error(path: Path, error: OSError) -> DrgError:
    """What a failed open means, in one line."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return InputError(f"cannot read {path}: permission denied")
    reason = "cut off" if "truncated" in str(error) else "not an HDF5 file"
    return CorruptError(f"{path} is {reason} ({path.stat().st_size} bytes)", fix="write it again (a run's: drg-merge)")


def subgroup(parent: h5py.Group, name: str) -> h5py.Group:
    """The group ``name`` below ``parent``, made step by step (HDF5 stamps implied groups with the time)."""
    for part in filter(None, name.split("/")):
        parent = parent[part] if part in parent else parent.create_group(part)
    return parent


def _chunks(shape: tuple[int, ...], itemsize: int, chunk_rows: int) -> tuple[int, ...]:
    """Whole rows by ``chunk_rows``; the last axis is cut where a chunk would exceed 4 MiB."""
    if len(shape) == 1:
        return (chunk_rows,)
    across = chunk_rows * itemsize * math.prod(shape[1:-1])
    return (chunk_rows, *shape[1:-1], max(1, min(shape[-1], _CHUNK_BYTES // across)))


def dataset(
    group: h5py.Group,
    name: str,
    *,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    chunk_rows: int = BLOCK_ROWS,
    chunks: tuple[int, ...] | None = None,
    compress: bool = True,
) -> h5py.Dataset:
    """Make a dataset (``name`` may be a path) in ``chunks``, or chunked along rows; gzip level 4 with shuffle.

    Write whole chunks, each once: a chunk that leaves HDF5's cache half-written changes the order on disk.
    """
    folder, _, leaf = name.rpartition("/")
    kind = np.dtype(dtype)
    options: dict[str, Any] = {}
    if 0 not in shape:  # rows are unlimited only because h5py refuses chunks larger than a fixed axis
        options = {"chunks": chunks or _chunks(shape, kind.itemsize, chunk_rows), "maxshape": (None, *shape[1:])}
    if compress and options:
        options |= {"compression": "gzip", "compression_opts": 4, "shuffle": True}
    if options and h5py.check_string_dtype(kind) is None:
        options["fillvalue"] = np.zeros((), kind)[()]
    return subgroup(group, folder).create_dataset(leaf, shape=shape, dtype=kind, track_times=False, **options)


def write_array(group: h5py.Group, name: str, values: ArrayLike, *, chunk_rows: int = BLOCK_ROWS) -> None:
    """Write a whole numeric array."""
    array = np.asarray(values)
    dataset(group, name, shape=array.shape, dtype=array.dtype, chunk_rows=chunk_rows)[...] = array


def write_text(group: h5py.Group, name: str, values: Sequence[str]) -> None:
    """Write a column of UTF-8 text of any length."""
    column = np.array([str(value) for value in values], dtype=object)
    made = dataset(group, name, shape=column.shape, dtype=TEXT, chunk_rows=TABLE_CHUNK_ROWS)
    if len(column):
        made[...] = column


def read_text(source: h5py.Dataset, start: int = 0, stop: int | None = None) -> list[str]:
    """Rows ``start`` to ``stop`` of a text column.

    Raises
    ------
    CorruptError : bytes that are no text
    """
    try:
        return [str(value) for value in source.asstr()[start:stop]]
    except UnicodeDecodeError as error:
        raise CorruptError(f"{source.file.filename} cannot be read: {source.name}: {error}", fix=FIX) from None


def set_attributes(target: h5py.HLObject, values: Mapping[str, Any]) -> None:
    """Write attributes in sorted order; tables, lists and nothing (None) as canonical JSON text."""
    for key in sorted(values):
        value = values[key]
        plain = isinstance(value, str | bool | int | float | np.generic)
        target.attrs.create(key, value if plain else canonical_json(value).decode())


def get_attributes(source: h5py.HLObject) -> dict[str, Any]:
    """Attributes as plain values; JSON tables and lists decoded."""
    return {key: _plain(value) for key, value in sorted(source.attrs.items())}


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, str) and (value[:1] in ("{", "[") or value == "null"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


class _Parts:
    """The parts of a merge; a bounded number stays open."""

    def __init__(self, parts: Sequence[PartFile], stack: ExitStack) -> None:
        self.parts = parts
        self._open = [stack.enter_context(open_file(part.path)) for part in parts[:_OPEN_PARTS]]

    @contextmanager
    def column(self, index: int, name: str) -> Iterator[h5py.Dataset]:
        """Dataset ``name`` of part ``index``."""
        part = self.parts[index]
        with ExitStack() as stack:
            held = index < len(self._open)
            handle = self._open[index] if held else stack.enter_context(open_file(part.path))
            found = handle.get(name)
            if not isinstance(found, h5py.Dataset):
                raise CorruptError(f"{part.path} has no dataset {name!r}", fix="remove the part and run drg-work")
            yield found


def dataset_names(group: h5py.Group) -> list[str]:
    """Paths of all datasets below a group, sorted; a hard link counts once, under its first name."""
    found: list[str] = []
    group.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return sorted(found)


def merge_fixed(parts: Sequence[PartFile], names: Sequence[str], out: h5py.File) -> None:
    """Join fixed-row datasets, one after the other (part after part would give other bytes once caches overflow).

    Parameters
    ----------
    parts : by ascending rows, without gaps; each starts at a whole number of chunks after the first
    names : the datasets to join, in the order to write them
    out : the merged file

    Raises
    ------
    CorruptError : a part lacks a dataset or holds it in another shape or type
    """
    first = parts[0].start
    assert all(left.stop == right.start for left, right in pairwise(parts))
    with ExitStack() as stack:
        sources = _Parts(parts, stack)
        for name in names:
            with sources.column(0, name) as model:
                is_text = h5py.check_string_dtype(model.dtype) is not None
            if is_text:
                _join_text(sources, name, out)
            else:
                _join_chunks(sources, name, out, rows=parts[-1].stop - first)


def _join_text(sources: _Parts, name: str, out: h5py.File) -> None:
    values: list[str] = []
    for index in range(len(sources.parts)):
        with sources.column(index, name) as column:
            values.extend(read_text(column))
    write_text(out, name, values)


def _join_chunks(sources: _Parts, name: str, out: h5py.File, *, rows: int) -> None:
    with sources.column(0, name) as model:
        shape, dtype, chunks, chunked = (rows, *model.shape[1:]), model.dtype, model.chunks, model.compression
    target = dataset(out, name, shape=shape, dtype=dtype, chunks=chunks, compress=chunked is not None)
    for index, part in enumerate(sources.parts):
        with sources.column(index, name) as column:
            if (column.shape, column.dtype, column.chunks) != ((part.stop - part.start, *shape[1:]), dtype, chunks):
                raise CorruptError(
                    f"{name} of {part.path} is {column.dtype} {column.shape} in chunks {column.chunks}, "
                    f"expected {dtype} {(part.stop - part.start, *shape[1:])} in {chunks}",
                    fix="parts come from different versions; plan the run again",
                )
            _copy_chunks(column, target, row=part.start - sources.parts[0].start)


def _copy_chunks(source: h5py.Dataset, target: h5py.Dataset, *, row: int) -> None:
    if source.chunks is None:
        return  # no rows, or rows of no length: nothing is stored
    assert source.chunks == target.chunks
    assert row % source.chunks[0] == 0
    for offset in np.ndindex(*(-(-size // chunk) for size, chunk in zip(source.shape, source.chunks, strict=True))):
        at = tuple(i * chunk for i, chunk in zip(offset, source.chunks, strict=True))
        try:
            mask, raw = source.id.read_direct_chunk(at)
        except (OSError, RuntimeError) as error:
            raise CorruptError(f"cannot read {source.name} of {source.file.filename}: {error}") from None
        target.id.write_direct_chunk((at[0] + row, *at[1:]), raw, filter_mask=mask)


def merge_tables(paths: Sequence[Path], names: Sequence[str], out: h5py.File) -> int:
    """Join tables of variable length (equal-length columns, first axis rows), column by column. Returns the rows.

    Columns are written in steps of whole chunks, whatever the parts' lengths, so that only content decides the bytes.
    """
    parts = [PartFile(path, 0, 0) for path in paths]
    total = 0
    with ExitStack() as stack:
        sources = _Parts(parts, stack)
        for name in names:
            total = _join_rows(sources, name, out)
    return total


def _join_rows(sources: _Parts, name: str, out: h5py.File) -> int:
    rows = 0
    for index in range(len(sources.parts)):
        with sources.column(index, name) as column:
            rows += column.shape[0]
            trailing, dtype = column.shape[1:], column.dtype
    chunk_rows = TABLE_CHUNK_ROWS if not trailing else BLOCK_ROWS
    target = dataset(out, name, shape=(rows, *trailing), dtype=dtype, chunk_rows=chunk_rows)
    at = 0
    for block in _rechunk(sources, name, step=chunk_rows * _CHUNKS_AT_ONCE):
        target[at : at + len(block)] = block
        at += len(block)
    return rows


def _rechunk(sources: _Parts, name: str, *, step: int) -> Iterator[NDArray[Any]]:
    """The rows of all parts in blocks of exactly ``step``, the last one shorter."""
    pending: list[NDArray[Any]] = []
    held = 0
    for index in range(len(sources.parts)):
        with sources.column(index, name) as column:
            position = 0
            while position < column.shape[0]:
                taken = column[position : position + step - held]
                position += len(taken)
                held += len(taken)
                pending.append(taken)
                if held == step:
                    yield np.concatenate(pending)
                    pending, held = [], 0
    if pending:
        yield np.concatenate(pending)
