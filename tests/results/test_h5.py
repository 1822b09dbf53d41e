"""HDF5 bytes are a function of content: sharding, time and memory do not show."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from drg_hpc.errors import CorruptError, InputError
from drg_hpc.files import sha256_file
from drg_hpc.results import h5
from drg_hpc.runs.spec import block_shards

ROWS = 999
_rng = np.random.default_rng(0)
WIDE = _rng.standard_normal((ROWS, 4, 900)).astype(np.float16)
NUMBERS = _rng.integers(0, 1000, ROWS)
KEPT = _rng.random(ROWS) < 0.5
NAMES = [f"{'x' * (i % 37)}-é{i}" for i in range(ROWS)]
TABLE = _rng.random((3 * ROWS, 5)).astype(np.float32)


def write_parts(folder: Path, shards: int) -> list[h5.PartFile]:
    parts = []
    for shard in block_shards(ROWS, shards=shards):
        path = folder / f"{shard.id}.h5"
        rows = slice(shard.start, shard.stop)
        with h5.create(path) as part:
            target = h5.dataset(part, "tracks/00001/wide", shape=(shard.rows, 4, 900), dtype="float16")
            for at in range(0, shard.rows, 64):
                target[at : at + 64] = WIDE[rows][at : at + 64]
            h5.write_array(part, "regions/row", NUMBERS[rows])
            h5.write_array(part, "regions/kept", KEPT[rows])
            h5.write_text(part, "regions/name", NAMES[rows])
            own = slice(3 * shard.start, 3 * shard.stop)
            h5.write_array(part, "seqlets/window", TABLE[own])
            h5.write_array(part, "seqlets/p_value", TABLE[own, 0])
            h5.write_text(part, "seqlets/chrom", [f"chr{i % 23}" for i in range(own.start, own.stop)])
        parts.append(h5.PartFile(path, shard.start, shard.stop))
    return parts


def merged(folder: Path, shards: int) -> Path:
    folder.mkdir()
    parts = write_parts(folder, shards)
    with h5.create(folder / "out.h5") as out:
        h5.set_attributes(out, {"params": {"b": 1, "a": [1, None]}, "seed": 0, "nothing": None, "scale": "link"})
        h5.merge_fixed(parts, ["regions/kept", "regions/name", "regions/row", "tracks/00001/wide"], out)
        paths = [part.path for part in parts]
        assert h5.merge_tables(paths, ["seqlets/chrom", "seqlets/p_value", "seqlets/window"], out) == 3 * ROWS
    return folder / "out.h5"


def test_bytes_do_not_depend_on_the_sharding_beyond_the_chunk_cache(tmp_path: Path) -> None:
    paths = []
    for shards in (1, 3, 7):
        paths.append(merged(tmp_path / str(shards), shards))
        time.sleep(1.1)  # a time stamp in the file would show
    assert paths[0].stat().st_size > 4 << 20
    assert len({sha256_file(path) for path in paths}) == 1


def test_content_survives(tmp_path: Path) -> None:
    with h5.open_file(merged(tmp_path / "run", 3)) as found:
        np.testing.assert_array_equal(found["tracks/00001/wide"][()], WIDE)
        np.testing.assert_array_equal(found["regions/row"][()], NUMBERS)
        np.testing.assert_array_equal(found["regions/kept"][()], KEPT)
        assert h5.read_text(found["regions/name"]) == NAMES
        assert h5.read_text(found["regions/name"], 5, 7) == NAMES[5:7]
        np.testing.assert_array_equal(found["seqlets/window"][()], TABLE)
        assert found["tracks/00001/wide"].chunks == (64, 4, 900)
        assert found["tracks/00001/wide"].compression == "gzip"
        expected: dict[str, Any] = {"nothing": None, "params": {"a": [1, None], "b": 1}, "scale": "link", "seed": 0}
        assert h5.get_attributes(found) == expected


def test_long_rows_are_cut_in_small_chunks(tmp_path: Path) -> None:
    with h5.create(tmp_path / "long.h5") as out:
        made = h5.dataset(out, "seq", shape=(1, 4, 600_000), dtype="float32")
        assert made.chunks[:2] == (64, 4)
        assert np.prod(made.chunks) * 4 <= 4 << 20


def test_long_rows_merge_over_all_chunks(tmp_path: Path) -> None:
    values = np.arange(70 * 4 * 9000, dtype=np.float32).reshape(70, 4, 9000)
    parts = []
    for start, stop in ((0, 64), (64, 70)):
        parts.append(h5.PartFile(tmp_path / f"{start}.h5", start, stop))
        with h5.create(parts[-1].path) as part:
            h5.write_array(part, "x", values[start:stop])
            assert part["x"].chunks[2] < 9000
    with h5.create(tmp_path / "out.h5") as out:
        h5.merge_fixed(parts, ["x"], out)
        np.testing.assert_array_equal(out["x"][()], values)


def test_empty_tables_merge(tmp_path: Path) -> None:
    for i, rows in enumerate((0, 3, 0)):
        with h5.create(tmp_path / f"{i}.h5") as part:
            h5.write_array(part, "start", np.arange(rows))
            h5.write_text(part, "chrom", ["chr1"] * rows)
    paths = [tmp_path / f"{i}.h5" for i in range(3)]
    for chosen, rows in ((paths, 3), (paths[:1], 0)):
        with h5.create(tmp_path / f"out{rows}.h5") as out:
            assert h5.merge_tables(chosen, ["start", "chrom"], out) == rows
            assert len(out["start"]) == len(h5.read_text(out["chrom"])) == rows


def test_parts_of_another_version_are_refused(tmp_path: Path) -> None:
    parts = write_parts(tmp_path, 3)
    with h5py.File(parts[1].path, "a") as part:
        rows = len(part["regions/row"])
        del part["regions/row"]
        part.create_dataset("regions/row", data=np.zeros(rows, np.int32))
    with h5.create(tmp_path / "out.h5") as out, pytest.raises(CorruptError, match=r"regions/row of .*1\.h5 is int32"):
        h5.merge_fixed(parts, ["regions/row"], out)
    with h5.create(tmp_path / "out2.h5") as out, pytest.raises(CorruptError, match="no dataset 'absent'"):
        h5.merge_fixed(parts, ["absent"], out)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_truncated_file_is_named(tmp_path: Path, share: float) -> None:
    path = merged(tmp_path / "run", 1)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(CorruptError, match=r"out\.h5 is (cut off|not an HDF5 file)"), h5.open_file(path):
        pass


def test_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such HDF5 file"), h5.open_file(tmp_path / "absent.h5"):
        pass
