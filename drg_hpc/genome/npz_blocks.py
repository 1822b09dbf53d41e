"""numpy's ``.npz`` in blocks of rows: arrays larger than memory are read and written; pickled objects are refused."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray

from drg_hpc.errors import InputError

_BLOCK_BYTES = 8 << 20
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class NpzReader:
    """An ``.npz`` file open for reading; use it in a ``with`` block.

    Raises
    ------
    InputError : missing, not an ``.npz`` file, or cut off
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise InputError(f"no such file: {path}", fix="check the path")
        with self._faults():
            self._zip = zipfile.ZipFile(path)
        self.names = [name.removesuffix(".npy") for name in self._zip.namelist()]

    def __enter__(self) -> NpzReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._zip.close()

    def __contains__(self, name: str) -> bool:
        return name in self.names

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError) as error:
            raise InputError(f"cannot read {self.path}: {error}", fix="it must be a whole .npz file") from None

    @contextmanager
    def _member(self, name: str) -> Iterator[tuple[IO[bytes], tuple[int, ...], bool, np.dtype[Any]]]:
        """An array's stream after its header, its shape, whether the first axis runs fastest, its dtype."""
        with self._faults(), self._zip.open(f"{name}.npy") as handle:
            version = npy.read_magic(handle)
            if version not in _HEADERS:
                raise ValueError(f"array {name!r} has .npy version {version}")
            shape, fortran, dtype = _HEADERS[version](handle)
            if dtype.hasobject:
                raise InputError(
                    f"{self.path}: {name} holds pickled Python objects, which could run any code when they are read",
                    fix=f"write it again with plain arrays: numpy.savez(file, {name}=numpy.array(values), …)",
                )
            yield handle, shape, fortran and len(shape) > 1, dtype

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of an array."""
        with self._member(name) as (_, shape, _, _):
            return shape

    def dtype(self, name: str) -> np.dtype[Any]:
        """Type of an array."""
        with self._member(name) as (_, _, _, dtype):
            return dtype

    def text(self, name: str) -> list[str]:
        """A one-dimensional array as text.

        Raises
        ------
        InputError : another number of dimensions
        """
        found: list[str] = []
        for _, block in self.blocks(name):
            if block.ndim != 1:
                raise InputError(f"{self.path}: {name} has shape {self.shape(name)}, one dimension is needed")
            found += [x.decode() if isinstance(x, bytes) else str(x) for x in block.tolist()]
        return found

    def blocks(self, name: str) -> Iterator[tuple[int, NDArray[Any]]]:
        """(first row, block of rows) of an array; one that was stored with its first axis fastest comes whole."""
        with self._member(name) as (handle, shape, fortran, dtype):
            if not shape:
                raise ValueError(f"array {name!r} is a single value")
            row = math.prod(shape[1:]) * dtype.itemsize
            step = shape[0] if fortran else max(1, _BLOCK_BYTES // max(row, 1))
            for start in range(0, shape[0], max(step, 1)):
                rows = min(step, shape[0] - start)
                data = handle.read(rows * row)
                if len(data) < rows * row:
                    raise EOFError(f"array {name!r} is cut off")
                flat = np.frombuffer(data, dtype, rows * math.prod(shape[1:]))
                yield start, flat.reshape((rows, *shape[1:]), order="F" if fortran else "C")
            if handle.read(1):  # also makes zipfile compare its checksum
                raise ValueError(f"array {name!r} is longer than its shape {shape}")


class NpzWriter:
    """Writes an ``.npz`` file, array after array and in blocks; equal arrays give equal bytes."""

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path, "x", zipfile.ZIP_DEFLATED, compresslevel=1)

    def __enter__(self) -> NpzWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._zip.close()

    def array(self, name: str, shape: tuple[int, ...], dtype: DTypeLike, blocks: Iterable[NDArray[Any]]) -> None:
        """Write an array from consecutive blocks of its rows; blocks of fewer axes are rows of the axes before them."""
        kind, rows, whole = np.dtype(dtype), 0, math.prod(shape[:1])
        header = {"descr": npy.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
        with self._zip.open(f"{name}.npy", "w", force_zip64=True) as handle:  # zipfile dates it 1980
            npy.write_array_header_1_0(handle, header)
            for block in blocks:
                before = len(shape) - block.ndim + 1
                assert block.shape[1:] == shape[before:]
                rows, whole = rows + len(block), math.prod(shape[:before])
                handle.write(np.ascontiguousarray(block, kind).data)
        assert rows == whole, "the blocks are all rows"

    def text(self, name: str, values: Sequence[str]) -> None:
        """Write a column of text."""
        width = max(map(len, values), default=1)
        step = max(1, _BLOCK_BYTES // (4 * max(width, 1)))
        dtype = f"<U{max(width, 1)}"
        blocks = (np.array(values[i : i + step], dtype) for i in range(0, len(values), step))
        self.array(name, (len(values),), dtype, blocks)
