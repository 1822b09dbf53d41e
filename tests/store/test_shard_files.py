"""Shard files written without zarr are, byte for byte, those that zarr writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drg_hpc.errors import CorruptError
from drg_hpc.files import describe_files
from drg_hpc.genome.onehot import codes_to_onehot
from drg_hpc.store.layout import ArraySpec, Codec
from drg_hpc.store.packed import pack, unpack
from drg_hpc.store.shard_files import checked_codes, read_codes
from drg_hpc.store.writer import PartWriter
from drg_hpc.store.zarr_io import create_array, open_array

SHAPES = [
    ((100, 4), 16, 64),
    ((70, 4), 16, 64),  # the last shard holds part of one chunk
    ((64, 4), 16, 64),
    ((1, 4), 1, 1),
    ((3, 4), 2, 2),
    ((65, 3, 4), 16, 32),  # rows of odd length
    ((65, 3, 4), 1, 8),  # a chunk of an odd number of bases
    ((7, 5, 4), 3, 6),
    ((40_000, 4), 1 << 12, 1 << 14),
]


def spec(
    shape: tuple[int, ...], chunk: int, shard: int, *, dtype: str = "bool", codec: Codec = "packbits"
) -> ArraySpec:
    return ArraySpec("group/x", shape, dtype, chunk, shard, codec, tuple("abc"[: len(shape)]))


def by_zarr(root: Path, array: ArraySpec, values: NDArray[Any]) -> Path:
    opened = create_array(root, array)
    for index in range(array.shard_count):
        opened[array.shard_slice(index)] = values[array.shard_slice(index)]
    for metadata in root.rglob("zarr.json"):
        metadata.unlink()
    return root


def codes_of(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    codes = np.random.default_rng(sum(shape)).integers(0, 5, shape[:-1]).astype(np.uint8)
    codes[len(codes) // 3 : len(codes) // 2] = 4
    return codes


@pytest.mark.parametrize("codec", ["packbits", "blosc"])
@pytest.mark.parametrize(("shape", "chunk", "shard"), SHAPES)
def test_codes_give_zarrs_bytes(tmp_path: Path, shape: tuple[int, ...], chunk: int, shard: int, codec: Codec) -> None:
    array, codes = spec(shape, chunk, shard, codec=codec), codes_of(shape)
    writer = PartWriter(tmp_path / "ours", [array])
    for index in range(array.shard_count):
        writer.write_codes(array.path, index, codes[array.shard_slice(index)])
    writer.close()
    theirs = by_zarr(tmp_path / "theirs", array, codes_to_onehot(codes))
    assert describe_files(tmp_path / "ours") == describe_files(theirs)
    create_array(tmp_path / "ours", array)
    np.testing.assert_array_equal(open_array(tmp_path / "ours", array.path)[:], codes_to_onehot(codes))


@pytest.mark.parametrize("dtype", ["bool", "float32", "float16", "int64", "int32"])
@pytest.mark.parametrize(
    ("shape", "chunk", "shard"), [((40,), 8, 32), ((33, 3), 8, 32), ((5, 2, 3), 1, 4), ((8,), 8, 8)]
)
def test_values_give_zarrs_bytes(tmp_path: Path, shape: tuple[int, ...], chunk: int, shard: int, dtype: str) -> None:
    array = spec(shape, chunk, shard, dtype=dtype, codec="zstd")
    values = np.random.default_rng(0).normal(0, 3, (shape[0] * 2, *shape[1:]))[::2].astype(dtype)
    if dtype.startswith("float"):
        values.reshape(-1)[0] = np.nan
    writer = PartWriter(tmp_path / "ours", [array])
    for index in range(array.shard_count):
        writer.write(array.path, index, values[array.shard_slice(index)])
    writer.close()
    assert describe_files(tmp_path / "ours") == describe_files(by_zarr(tmp_path / "theirs", array, values))


def test_values_are_cast_as_zarr_casts_them(tmp_path: Path) -> None:
    array = spec((6,), 4, 4, dtype="float32", codec="zstd")
    values = np.array([0.1, 1e-50, 3, 1e30, -0.0, np.nan])
    writer = PartWriter(tmp_path / "ours", [array])
    for index in range(array.shard_count):
        writer.write(array.path, index, values[array.shard_slice(index)])
    writer.close()
    assert describe_files(tmp_path / "ours") == describe_files(by_zarr(tmp_path / "theirs", array, values))


@pytest.mark.parametrize(("shape", "chunk", "shard"), SHAPES)
def test_what_zarr_wrote_is_read_as_codes(tmp_path: Path, shape: tuple[int, ...], chunk: int, shard: int) -> None:
    array, codes = spec(shape, chunk, shard), codes_of(shape)
    by_zarr(tmp_path, array, codes_to_onehot(codes))
    rng = np.random.default_rng(0)
    for start, stop in [(0, shape[0]), *(sorted(rng.integers(0, shape[0] + 1, 2)) for _ in range(30))]:
        if start < stop:
            np.testing.assert_array_equal(read_codes(tmp_path, array, start, stop), codes[start:stop])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=40), st.integers(0, 9))
def test_packing(codes: list[int], more: int) -> None:
    bases = len(codes) + more
    chunk = pack(np.array(codes, np.uint8), bases)
    bits = np.zeros((bases, 4), bool)
    bits[: len(codes)] = np.array(codes, np.uint8).reshape(-1, 1) == np.arange(4)
    assert chunk[0] == 4 * (bases % 2)
    np.testing.assert_array_equal(chunk[1:], np.packbits(bits))
    assert unpack(chunk.tobytes(), bases).tolist() == codes + [4] * more
    with pytest.raises(ValueError, match="bytes, not"):
        unpack(chunk.tobytes(), bases + 2)


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    array, codes = spec((300, 4), 64, 256), codes_of((300, 4))
    by_zarr(tmp_path, array, codes_to_onehot(codes))
    files = describe_files(tmp_path)
    path = tmp_path / array.shard_file(0)
    raw = path.read_bytes()
    unnoticed = 0
    for position in range(len(raw)):
        damaged = bytearray(raw)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            read = checked_codes(tmp_path, array, files, 0, 300)
        except CorruptError as error:
            assert f"{array.shard_file(0)} does not match its sha256" in str(error)
        else:
            unnoticed += 1
            np.testing.assert_array_equal(read, codes)  # a bit that does not matter, such as zstd's unused flags
    assert unnoticed < 10


@pytest.mark.parametrize("size", [0, 3, 40, -1])
def test_a_cut_or_lost_file_is_named(tmp_path: Path, size: int) -> None:
    array, codes = spec((300, 4), 64, 256), codes_of((300, 4))
    by_zarr(tmp_path, array, codes_to_onehot(codes))
    files = describe_files(tmp_path)
    path = tmp_path / array.shard_file(1)
    path.write_bytes(path.read_bytes()[:size])
    np.testing.assert_array_equal(checked_codes(tmp_path, array, files, 0, 256), codes[:256])
    with pytest.raises(CorruptError, match=r"group/x/c/1/0 has \d+ bytes, not"):
        checked_codes(tmp_path, array, files, 200, 300)
    path.unlink()
    with pytest.raises(CorruptError, match=r"store file is missing: .*group/x/c/1/0"):
        checked_codes(tmp_path, array, files, 200, 300)
