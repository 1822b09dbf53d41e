from __future__ import annotations

import fcntl
import multiprocessing
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from stores import fasta, shard

from drg_hpc.errors import CorruptError, InputError
from drg_hpc.store import cache_build, cache_room
from drg_hpc.store.cache import open_cache
from drg_hpc.store.cache_room import cache_root
from drg_hpc.store.reader import open_dataset
from drg_hpc.store.sampler import epoch_order


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


def test_epoch_order() -> None:
    order = epoch_order(1000, 5, 2)
    np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    np.testing.assert_array_equal(order, epoch_order(1000, 5, 2))
    assert order.dtype == np.int64
    assert (order != epoch_order(1000, 5, 3)).any() and (order != epoch_order(1000, 6, 2)).any()
    assert len(epoch_order(0, 0, 0)) == 0
