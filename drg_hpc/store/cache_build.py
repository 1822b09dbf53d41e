"""Building a training cache: shard by shard on several threads, each file laid out first and written in place."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from drg_hpc.files import disk_full, publish_dir, require_space, write_json
from drg_hpc.log import Progress
from drg_hpc.runs.devices import cpu_count
from drg_hpc.store.arrays import store_arrays
from drg_hpc.store.cache_room import room_for
from drg_hpc.store.dataset_layout import SPLITS
from drg_hpc.store.manifest import check_hashes
from drg_hpc.store.reader import DatasetStore
from drg_hpc.store.shard_files import checked_codes
from drg_hpc.store.zarr_io import open_array

log = logging.getLogger(__name__)

FORMAT = "drg-cache/3"
NOT_KEPT = 255
_DTYPES = {"float32": "<f4", "float16": "<f2", "uint8": "|u1", "bool": "|b1"}
_THREADS = 4


class _Superseded(Exception):
    """Another process published the same cache first."""


class _File:
    """An array on disk, rows written anywhere in it with plain writes: on a full disk a write raises, a memory map
    would kill the process (SIGBUS)."""

    def __init__(self, path: Path, dtype: str, shape: tuple[int, ...]) -> None:
        with open(path, "wb") as handle:
            record = {"descr": _DTYPES[dtype], "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(handle, record)
            self._first = handle.tell()
            self._row_bytes = int(np.prod(shape[1:])) * np.dtype(_DTYPES[dtype]).itemsize
            handle.truncate(self._first + shape[0] * self._row_bytes)
        self._fd = os.open(path, os.O_WRONLY)
        self.path = path

    def write(self, row: int, block: np.ndarray[Any, Any]) -> None:
        """Write rows from number ``row`` on."""
        data = np.ascontiguousarray(block).reshape(-1).view(np.uint8).data
        offset = self._first + row * self._row_bytes
        while data:
            written = os.pwrite(self._fd, data, offset)
            data, offset = data[written:], offset + written

    def close(self) -> None:
        os.close(self._fd)


def _arrays(store: DatasetStore) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Stem of each file -> dtype and shape."""
    found: dict[str, tuple[str, tuple[int, ...]]] = {}
    for i, item in enumerate(store.inputs.values()):
        found[f"codes-{i}"] = ("uint8", (store.rows, item.stored))
    for i, modality in enumerate(store.modalities.values()):
        found[f"targets-{i}"] = (modality.dtype, modality.shape(store.rows))
        found[f"mask-{i}"] = ("bool", modality.shape(store.rows))
    return found


def build(store: DatasetStore, folder: Path, *, is_whole: Callable[[Path], bool], limit: int | None) -> None:
    """Make the cache of a store; every file of the store is checked against its sha256.

    Raises
    ------
    InputError : no space, or more than ``limit`` bytes
    CorruptError : a file of the store changed
    """
    arrays = _arrays(store)
    sizes = (int(np.prod(shape)) * np.dtype(_DTYPES[dtype]).itemsize for dtype, shape in arrays.values())
    need = sum(sizes) + 5 * store.rows
    try:
        with ExitStack() as stack:
            with room_for(folder, need=need, limit=limit):
                require_space(folder.parent, need_bytes=need, need_files=len(arrays) + 4)
                staging = stack.enter_context(publish_dir(folder))
                files = {name: _File(staging / f"{name}.npy", *array) for name, array in arrays.items()}
                for file in files.values():
                    stack.callback(file.close)
            _fill(store, staging, files)
            if is_whole(folder):
                raise _Superseded
    except _Superseded:
        log.debug("cache %s was built by another process meanwhile", folder)
    except OSError as error:
        raise disk_full(error, folder) or error from None


class _Filler:
    """Fills the files shard by shard, several at a time.

    Attributes
    ----------
    all_present : per modality, whether no value was missing so far
    splits : uint8 (rows,), number of the split of kept rows
    folds : int32 (rows,), -1 where a row is in none
    """

    def __init__(self, store: DatasetStore, files: dict[str, _File]) -> None:
        self.all_present = np.ones(len(store.modalities), bool)
        self.splits = np.full(store.rows, NOT_KEPT, np.uint8)
        self.folds = np.full(store.rows, -1, np.int32)
        self._store, self._files = store, files
        self._step = int(store.header["row_shard"])
        self.shards = range(-(-store.rows // self._step))
        self._specs = {spec.path: spec for spec in store_arrays(store.header)}
        # Opened before there are threads: silencing zarr's warnings is not for several at a time.
        self._split, self._kept, self._fold = (
            open_array(store.path, f"regions/{name}") for name in ("split", "kept", "fold")
        )
        for name in store.modalities:
            store.target_block(0, 0, name)

    def check_others(self) -> None:
        """Check the files that are not shards of rows."""
        sharded = {spec.shard_file(i) for spec in self._specs.values() for i in self.shards}
        manifest = self._store.manifest
        check_hashes(self._store.path, manifest, [name for name in manifest if name not in sharded])

    def fill(self, index: int) -> int:
        """Check and copy one shard of every array; returns its rows."""
        store, start = self._store, index * self._step
        stop = min(start + self._step, store.rows)
        check_hashes(store.path, store.manifest, [spec.shard_file(index) for spec in self._specs.values()])
        for i, name in enumerate(store.inputs):
            codes = checked_codes(store.path, self._specs[f"inputs/{name}"], store.manifest, start, stop)
            self._files[f"codes-{i}"].write(start, codes)
        for i, name in enumerate(store.modalities):
            targets, mask = store.target_block(start, stop, name)
            self._files[f"targets-{i}"].write(start, targets)
            self._files[f"mask-{i}"].write(start, mask)
            if not mask.all():
                self.all_present[i] = False
        names, kept = np.asarray(self._split[start:stop]), np.asarray(self._kept[start:stop])
        for number, name in enumerate(SPLITS):
            self.splits[start:stop][kept & (names == name)] = number
        self.folds[start:stop] = self._fold[start:stop]
        return stop - start


def _fill(store: DatasetStore, staging: Path, files: dict[str, _File]) -> None:
    filler = _Filler(store, files)
    filler.check_others()
    with Progress(store.rows, "training cache") as progress, ThreadPoolExecutor(min(_THREADS, cpu_count())) as pool:
        try:
            for count in pool.map(filler.fill, filler.shards):
                progress.add(count)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    for i, present in enumerate(filler.all_present):
        if present:
            files[f"mask-{i}"].path.unlink()
    np.save(staging / "split.npy", filler.splits)
    np.save(staging / "fold.npy", filler.folds)
    record = {"format": FORMAT, "all_present": filler.all_present.tolist()}
    write_json(staging / "cache.json", record | {"files": {p.name: p.stat().st_size for p in staging.iterdir()}})
