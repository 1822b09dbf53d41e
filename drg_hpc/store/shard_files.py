"""Whole zarr shard files, written and read directly: byte for byte as zarr-python's sharding codec.

A shard file is its chunks end to end, then per chunk offset and bytes (little-endian uint64, all ones: not there), then
the crc32c of that index (zarr v3 specification, sharding codec 1.0, index at the end). A chunk that begins past the end
of the array is not written; one that ends past it is padded with the fill value.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import FileIO
from pathlib import Path

import google_crc32c
import numpy as np
from numcodecs.zstd import Zstd
from numpy.typing import NDArray

from drg_hpc.errors import CorruptError
from drg_hpc.store.layout import ArraySpec
from drg_hpc.store.manifest import Files, check_files
from drg_hpc.store.packed import pack, unpack

_ABSENT = 2**64 - 1
_CRC_BYTES = 4
_ZSTD = Zstd(level=1, checksum=True)
_NUMERIC = ("bool", "float32", "float16", "int64", "int32")


def is_direct(spec: ArraySpec) -> bool:
    """Whether arrays of this kind are written here from their values; others (text, blosc) go through zarr."""
    return spec.codec == "zstd" and spec.dtype in _NUMERIC


def write_codes(root: Path, spec: ArraySpec, index: int, codes: NDArray[np.uint8]) -> None:
    """Write shard ``index`` of a ``packbits`` one-hot array.

    Parameters
    ----------
    codes : exactly the rows of the shard, ``(rows,)`` or ``(rows, length)``
    """
    bases = int(np.prod(spec.chunks[:-1]))
    chunks = (codes[i : i + spec.chunk].reshape(-1) for i in range(0, len(codes), spec.chunk))
    _write(root, spec, index, (_ZSTD.encode(pack(chunk, bases)) for chunk in chunks))


def write_values(root: Path, spec: ArraySpec, index: int, values: NDArray[np.generic]) -> None:
    """Write shard ``index`` of a numeric ``zstd`` array; ``values`` are exactly the rows of the shard."""
    assert values.shape[1:] == spec.shape[1:]
    stored = np.ascontiguousarray(values, np.dtype(spec.dtype).newbyteorder("<"))
    chunks = (_padded(stored[i : i + spec.chunk], spec) for i in range(0, len(stored), spec.chunk))
    _write(root, spec, index, (_ZSTD.encode(chunk.view(np.uint8).reshape(-1)) for chunk in chunks))


def _padded(chunk: NDArray[np.generic], spec: ArraySpec) -> NDArray[np.generic]:
    if len(chunk) == spec.chunk:
        return chunk
    whole = np.zeros(spec.chunks, chunk.dtype)
    whole[: len(chunk)] = chunk
    return whole


def _write(root: Path, spec: ArraySpec, index: int, chunks: Iterable[bytes]) -> None:
    path = root / spec.shard_file(index)
    path.parent.mkdir(parents=True, exist_ok=True)
    table = np.full((spec.shard // spec.chunk, 2), _ABSENT, "<u8")
    with open(path, "xb") as handle:
        for number, chunk in enumerate(chunks):
            table[number] = handle.tell(), len(chunk)
            handle.write(chunk)
        handle.write(table.tobytes())
        handle.write(google_crc32c.value(table.tobytes()).to_bytes(_CRC_BYTES, "little"))


def read_codes(root: Path, spec: ArraySpec, start: int, stop: int) -> NDArray[np.uint8]:
    """Base codes ``(stop - start, …)`` of rows of a ``packbits`` one-hot array; every checksum is checked.

    Raises
    ------
    ValueError, RuntimeError, OSError : the file is missing, cut off, or does not match its checksums
    """
    out = np.empty((stop - start, *spec.shape[1:-1]), np.uint8)
    for index in range(start // spec.shard, -(-stop // spec.shard)):
        base = index * spec.shard
        with open(root / spec.shard_file(index), "rb", buffering=0) as handle:
            table = _read_table(handle, spec)
            first, last = max(start - base, 0) // spec.chunk, -(-(min(stop - base, spec.shard)) // spec.chunk)
            for number in range(first, last):
                codes = _read_chunk(handle, spec, table[number])
                row = base + number * spec.chunk
                low, high = max(start, row), min(stop, row + spec.chunk)
                out[low - start : high - start] = codes[low - row : high - row]
    return out


def checked_codes(root: Path, spec: ArraySpec, files: Files, start: int, stop: int) -> NDArray[np.uint8]:
    """:func:`read_codes` of a store; a failure becomes one line that names the file, by its manifest.

    Raises
    ------
    CorruptError : a shard file is missing or changed
    """
    try:
        return read_codes(root, spec, start, stop)
    except (ValueError, RuntimeError, OSError) as error:
        shards = [spec.shard_file(i) for i in range(start // spec.shard, -(-stop // spec.shard))]
        check_files(root, {name: files[name] for name in shards})
        raise CorruptError(f"cannot read {root / spec.path}: {error}", fix="drg-inspect --verify") from error


def _read_table(handle: FileIO, spec: ArraySpec) -> list[list[int]]:
    """Offset and bytes of every chunk."""
    size = 16 * (spec.shard // spec.chunk)
    handle.seek(-size - _CRC_BYTES, 2)
    data = handle.read(size + _CRC_BYTES)
    if google_crc32c.value(data[:size]).to_bytes(_CRC_BYTES, "little") != data[size:]:
        raise ValueError("the index of a shard file does not match its checksum")
    table: list[list[int]] = np.frombuffer(data, "<u8", count=size // 8).reshape(-1, 2).tolist()
    return table


def _read_chunk(handle: FileIO, spec: ArraySpec, place: list[int]) -> NDArray[np.uint8]:
    offset, size = place
    if offset == _ABSENT:
        raise ValueError("a chunk is not there")
    handle.seek(offset)
    codes = unpack(_ZSTD.decode(handle.read(size)), int(np.prod(spec.chunks[:-1])))
    return codes.reshape(spec.chunks[:-1])
