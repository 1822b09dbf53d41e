"""Rows by whole chunks are those that h5py reads, whatever the chunks hold."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from drg_hpc.errors import CorruptError
from drg_hpc.results import h5
from drg_hpc.results.chunks import RowReader

DTYPES = ["int8", "uint8", "int16", "float16", "float32", "int64", "float64"]


def values(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    found = np.random.default_rng(1).normal(0, 40, shape)
    found.flat[:3] = 0
    return found.astype(dtype) if np.dtype(dtype).kind != "u" else np.abs(found).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "chunks"),
    [
        ((150, 30), (64, 30)),
        ((150, 4, 30), (64, 4, 30)),
        ((150, 4, 30), (64, 3, 7)),
        ((150,), (64,)),
        ((3, 5), (64, 5)),
    ],
)
def test_equal_to_h5py(tmp_path: Path, dtype: str, shape: tuple[int, ...], chunks: tuple[int, ...]) -> None:
    wanted = values(shape, dtype)
    with h5.create(tmp_path / "x.h5") as out:
        h5.dataset(out, "x", shape=shape, dtype=dtype, chunks=chunks)[...] = wanted
    with h5py.File(tmp_path / "x.h5") as held:
        read = RowReader(held["x"])
        assert read.direct
        for start, stop in ((0, 150), (0, 64), (64, 128), (128, 150), (10, 20), (60, 70), (63, 129), (5, 5), (1, 2)):
            stop = min(stop, shape[0])
            found = read(start, stop)
            assert found.dtype == wanted.dtype
            np.testing.assert_array_equal(found, wanted[start:stop])


def test_what_other_programs_write(tmp_path: Path) -> None:
    wanted = values((100, 20), "float32")
    kinds = {
        "plain": {}, "chunked": {"chunks": (30, 20)}, "deflated": {"chunks": (30, 20), "compression": "gzip"},
        "checked": {"chunks": (30, 20), "compression": "gzip", "shuffle": True, "fletcher32": True},
    }  # fmt: skip
    with h5py.File(tmp_path / "x.h5", "w") as out:
        for name, options in kinds.items():
            out.create_dataset(name, data=wanted, **options)
        out.create_dataset("big", data=wanted.astype(">f4"), chunks=(30, 20), compression="gzip", shuffle=True)
        out.create_dataset("yes", data=wanted > 0, chunks=(30, 20), compression="gzip", shuffle=True)
    with h5py.File(tmp_path / "x.h5") as held:
        for name in (*kinds, "big"):
            assert not RowReader(held[name]).direct
            np.testing.assert_array_equal(RowReader(held[name])(7, 95), wanted[7:95])
        np.testing.assert_array_equal(RowReader(held["yes"])(7, 95), wanted[7:95] > 0)


def test_chunks_that_were_not_written_or_not_deflated(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 100), dtype=np.uint8)
    with h5.create(tmp_path / "x.h5") as out:
        held = h5.dataset(out, "x", shape=(150, 100), dtype=np.uint8)
        held[64:128] = 7
        held.id.write_direct_chunk((0, 0), noise.tobytes(), filter_mask=2)
    with h5py.File(tmp_path / "x.h5") as held:
        wanted = held["x"][()]
        assert (wanted[:64] == noise).all() and not wanted[128:].any()
        np.testing.assert_array_equal(RowReader(held["x"])(0, 150), wanted)
        np.testing.assert_array_equal(RowReader(held["x"])(0, 64), wanted[:64])
        np.testing.assert_array_equal(RowReader(held["x"])(128, 150), wanted[128:])


@pytest.mark.parametrize("how", ["zeros", "short", "long"])
def test_damage_is_an_error(tmp_path: Path, how: str) -> None:
    import zlib

    content = {"zeros": bytes(50), "short": zlib.compress(bytes(63)), "long": zlib.compress(bytes(65))}[how]
    with h5.create(tmp_path / "x.h5") as out:
        h5.dataset(out, "x", shape=(64,), dtype=np.int8).id.write_direct_chunk((0,), content)
    told = r"x\.h5 cannot be read: chunk at \(0,\) of /x: "
    with h5py.File(tmp_path / "x.h5") as held, pytest.raises(CorruptError, match=told):
        RowReader(held["x"])(0, 64)


def test_integers_of_other_bits_are_left_to_hdf5(tmp_path: Path) -> None:
    """Twelve bits in two bytes, four bits up: HDF5 shifts them, whoever reads the bytes must not."""
    kind = h5py.h5t.STD_U16LE.copy()
    kind.set_precision(12)
    kind.set_offset(4)
    with h5py.File(tmp_path / "x.h5", "w") as out:
        filters = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        filters.set_chunk((64,))
        filters.set_shuffle()
        filters.set_deflate(4)
        made = h5py.h5d.create(out.id, b"x", kind, h5py.h5s.create_simple((100,)), filters)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(100, dtype=np.uint16))
    with h5py.File(tmp_path / "x.h5") as held:
        read = RowReader(held["x"])
        assert not read.direct
        np.testing.assert_array_equal(read(0, 100), np.arange(100))


def test_rows_that_are_not_there(tmp_path: Path) -> None:
    with h5.create(tmp_path / "x.h5") as out:
        h5.dataset(out, "x", shape=(100, 3), dtype="float32", chunks=(64, 3))[...] = 1
    with h5py.File(tmp_path / "x.h5") as held:
        read = RowReader(held["x"])
        assert len(read(90, 120)) == 10
        with pytest.raises(ValueError, match="rows 90 to 120 of 100"):
            read.read_into(np.zeros((30, 3), np.float32), 90)
