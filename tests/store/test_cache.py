from __future__ import annotations

import fcntl
import logging
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_stores import write_store
from stores import fasta, shard

from drg_hpc.errors import EXIT_CORRUPT, CorruptError, DrgError, InputError
from drg_hpc.store import cache, cache_build, cache_room
from drg_hpc.store.cache import _is_whole, open_cache
from drg_hpc.store.cache_room import cache_root
from drg_hpc.store.reader import open_dataset


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    rng = np.random.default_rng(0)
    records = {f"chr{1 + i % 4}:{i}-{i + 30}": "".join(rng.choice(list("ACGTN"), 30)) for i in range(100)}
    matrix = "n\ta\tb\n" + "".join(f"{name}\t{i}\t{'' if i % 7 == 0 else -i}\n" for i, name in enumerate(records))
    (folder / "m.tsv").write_text(matrix)
    (folder / "split.tsv").write_text("chr1\ttrain\nchr2\tvalid\nchr3\ttest\n")
    return shard(
        "sequences",
        folder / "run",
        sequences=fasta(folder / "x.fa", records),
        counts=[folder / "m.tsv"],
        missing="mask",
        negatives="dinuc:2",
        split_file=folder / "split.tsv",
    )


def test_cache_equals_the_store(run: Path, tmp_path: Path) -> None:
    store, cached = open_dataset(run), open_cache(run, tmp_path)
    codes, targets, mask = cached.codes["seq"], cached.targets["main"], cached.mask["main"]
    np.testing.assert_array_equal(codes, store.codes(0, store.rows))
    assert mask is not None
    np.testing.assert_array_equal(np.where(mask, targets, np.nan), store.targets(slice(None)))
    assert not mask[0, 1] and targets[0, 1] == 0 and mask[100:].all()
    for split in ("train", "valid", "test", "excluded", "all"):
        np.testing.assert_array_equal(cached.split_rows(split), store.split_rows(split))
    assert len(cached.split_rows("excluded")) == 75
    assert isinstance(codes, np.memmap) and codes.dtype == np.uint8
    assert (cached.rows, cached.inputs["seq"].length, cached.modalities["main"].names) == (300, 30, ["a", "b"])


def test_built_once_private_and_rebuilt_when_a_file_is_gone(run: Path, tmp_path: Path) -> None:
    folder = open_cache(run, tmp_path).folder
    assert (tmp_path / folder.parent.name).stat().st_mode & 0o777 == 0o700
    stamp = (folder / "codes-0.npy").stat().st_mtime_ns
    assert open_cache(run / "out.zarr", tmp_path).folder == folder
    assert (folder / "codes-0.npy").stat().st_mtime_ns == stamp
    (folder / "targets-0.npy").unlink()
    open_cache(run, tmp_path)
    assert (folder / "codes-0.npy").stat().st_mtime_ns != stamp
    assert not [p for p in folder.parent.iterdir() if p.is_dir() and p != folder]


def test_hashes_are_checked_while_building(run: Path, tmp_path: Path) -> None:
    store = Path(shutil.copytree(run / "out.zarr", tmp_path / "out.zarr"))
    path = store / "inputs/seq/c/0/0/0"
    raw = bytearray(path.read_bytes())
    raw[50] ^= 1
    path.write_bytes(raw)
    with pytest.raises(CorruptError, match=r"inputs/seq/c/0/0/0"):
        open_cache(store, tmp_path / "c")
    assert not [p for p in cache_root(tmp_path / "c").iterdir() if p.is_dir()]


def test_a_lock_that_is_never_released_does_not_hang(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = open_cache(run, tmp_path).folder
    shutil.rmtree(folder)
    monkeypatch.setattr(cache_room, "LOCK_WAIT_S", 0.3)
    with open(f"{folder}.lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        start = time.monotonic()
        assert open_cache(run, tmp_path).rows == 300
        assert time.monotonic() - start < 10


def _open(run: str, folder: str) -> int:
    return int(open_cache(run, Path(folder)).codes["seq"].sum())


def test_processes_race_for_one_cache(run: Path, tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        sums = pool.starmap(_open, [(str(run), str(tmp_path))] * 4)
    assert len(set(sums)) == 1
    assert len([p for p in cache_root(tmp_path).iterdir() if p.is_dir()]) == 1


def test_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = cache_root(tmp_path)
    root.chmod(0o777)
    with pytest.raises(InputError, match="only you can write to"):
        cache_root(tmp_path)
    root.rmdir()
    (tmp_path / "real").mkdir(mode=0o700)
    root.symlink_to(tmp_path / "real")
    with pytest.raises(InputError, match="only you can write to"):
        cache_root(tmp_path)
    monkeypatch.setenv("DRG_CACHE_DIR", str(tmp_path / "mine"))
    assert cache_root().parent == tmp_path / "mine"


def test_no_space_is_one_line(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Path, *, need_bytes: int, need_files: int) -> None:
        raise InputError("not enough space")

    monkeypatch.setattr(cache_build, "require_space", full)
    with pytest.raises(InputError, match="not enough space"):
        open_cache(run, tmp_path)


def test_unfinished_store(run: Path, tmp_path: Path) -> None:
    store = Path(shutil.copytree(run / "out.zarr", tmp_path / "out.zarr"))
    (store / "manifest.json").unlink()
    with pytest.raises(CorruptError, match="not finished"):
        open_cache(store, tmp_path / "c")


def _write(path: Path, rows: int = 90, **more: Any) -> Path:
    generator = np.random.default_rng(rows)
    targets = generator.normal(size=(rows, 2, 3)).astype(np.float32)
    return write_store(path, generator.integers(0, 5, (rows, 50)), targets, valid=20, shard_rows=32, **more)


def test_inputs_flanks_and_modalities(tmp_path: Path) -> None:
    """Three shards, written by several threads in any order."""
    path = _write(tmp_path / "s.zarr", flank=7, dtype="float16", second_input=11, second_modality=0)
    store, cached = open_dataset(path), open_cache(path, tmp_path)
    assert list(cached.codes) == ["seq", "rna"]
    for name, item in store.inputs.items():
        assert cached.codes[name].shape == (90, item.length + 2 * item.flank)
        np.testing.assert_array_equal(cached.codes[name], store.codes(0, 90, name=name, flank=True))
    for name in ("main", "more"):
        assert cached.targets[name].dtype == np.float16
        assert cached.mask[name] is None  # every value is there
        np.testing.assert_array_equal(
            cached.targets[name].astype(np.float32), store.targets(slice(None), modality=name)
        )
    assert not list(cached.folder.glob("mask*"))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "flipped": lambda path: path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1])),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "deleted": lambda path: path.unlink(),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(tmp_path_factory.mktemp("whole") / "s.zarr")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("file", ["inputs/seq/c/1/0/0", "targets_mask/main/c/0/0/0", "regions/name/c/2", "zarr.json"])
def test_damaged_store_is_refused_with_a_cache_too(
    whole: Path, tmp_path: Path, damage: str, cached: bool, file: str
) -> None:
    path = Path(shutil.copytree(whole, tmp_path / "s.zarr"))
    if cached:
        open_cache(path, tmp_path).close()
    DAMAGES[damage](path / file)
    for _ in range(2):  # a refusal does not count as a check
        with pytest.raises(DrgError, match=file) as caught:
            open_cache(path, tmp_path)
        assert caught.value.exit_code == EXIT_CORRUPT


def test_times_that_a_user_sets_back_do_not_hide_a_change(whole: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(whole, tmp_path / "s.zarr"))
    open_cache(path, tmp_path)
    file = path / "targets/main/c/1/0/0"
    found = file.stat()
    DAMAGES["flipped"](file)
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    with pytest.raises(CorruptError, match="targets/main/c/1/0/0"):
        open_cache(path, tmp_path)


def test_hashes_are_read_again_only_after_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, checks = _write(tmp_path / "s.zarr"), []
    stamp = (open_cache(path, tmp_path).folder / "codes-0.npy").stat().st_mtime_ns
    monkeypatch.setattr(cache, "check_hashes", lambda *arguments: checks.append(arguments))
    open_cache(path, tmp_path)
    assert not checks
    os.utime(path / "targets/main/c/0/0/0")
    copy = Path(shutil.copytree(path, tmp_path / "copy.zarr"))
    for other in (path, copy, path, copy):
        folder = open_cache(other, tmp_path).folder
    assert len(checks) == 2
    assert (folder / "codes-0.npy").stat().st_mtime_ns == stamp


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_least_recently_used_caches_make_room(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = [_write(tmp_path / f"s{i}.zarr", rows=90 + i) for i in range(4)]
    caches = [open_cache(path, tmp_path) for path in paths[:3]]
    folders = [item.folder for item in caches]
    for seconds, folder in zip((300, 100, 200), folders, strict=True):  # the second is the oldest, then the third
        mark = folder.with_name(f"{folder.name}.used")
        os.utime(mark, (mark.stat().st_mtime - seconds,) * 2)
    for item in caches:
        item.close()
    os.utime(folders[0].with_name(f"{folders[0].name}.used"), (1, 1))
    limit = sum(map(_bytes, folders)) + 1000
    caplog.set_level(logging.INFO, "drg_hpc")
    last = open_cache(paths[3], tmp_path, limit=limit)
    assert [folder.exists() for folder in folders] == [False, True, True]
    assert caplog.text.count("removed to stay within --cache-size") == 1
    assert last.rows == 93


def test_caches_in_use_stay(tmp_path: Path) -> None:
    first, second = _write(tmp_path / "a.zarr"), _write(tmp_path / "b.zarr", rows=91)
    held = open_cache(first, tmp_path)
    again = open_cache(first, tmp_path)
    limit = int(1.5 * _bytes(held.folder))
    held.close()
    with pytest.raises(InputError, match=r"needs .* KiB, and .* KiB of --cache-size .* are in use by others"):
        open_cache(second, tmp_path, limit=limit)
    assert _is_whole(held.folder)
    assert not [path for path in held.folder.parent.iterdir() if path.name.startswith(".")]
    codes = again.codes["seq"]
    again.close()
    open_cache(second, tmp_path, limit=limit)
    assert not held.folder.exists()
    assert codes.sum() > 0  # what is mapped stays readable
    with pytest.raises(InputError, match=r"needs .*, more than --cache-size 1000 B"):
        open_cache(first, tmp_path, limit=1000)


def test_debris_of_killed_builders_goes(tmp_path: Path) -> None:
    path = _write(tmp_path / "s.zarr")
    cached = open_cache(path, tmp_path)
    debris = cached.folder.with_name(f".{cached.folder.name}.0123")
    debris.mkdir()
    open_cache(path, tmp_path)
    assert debris.exists()  # somebody may be building there
    cached.close()
    open_cache(path, tmp_path)
    assert not debris.exists()
