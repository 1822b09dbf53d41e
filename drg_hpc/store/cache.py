"""Node-local training cache: memory-mapped base codes and targets, built once per node and shared by its ranks.

Reading zarr per window gives about a thousand windows a second; these files give millions.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import CorruptError, InputError
from drg_hpc.files import read_json, sha256_file, write_json
from drg_hpc.store.cache_build import FORMAT, NOT_KEPT, build
from drg_hpc.store.cache_room import building, bytes_of, cache_root, room_for, use
from drg_hpc.store.dataset_layout import SPLITS, Input, Modality, inputs_of, modalities_of
from drg_hpc.store.header import find_store, folds_of, read_header, split_count
from drg_hpc.store.manifest import MANIFEST, check_hashes, check_sizes, read_manifest
from drg_hpc.store.reader import open_dataset

log = logging.getLogger(__name__)

_CHECKED = "checked.json"
_CHECKED_KEPT = 16


class CachedDataset:
    """A dataset store as memory-mapped arrays.

    Attributes
    ----------
    header : the store's header
    rows : number of rows
    inputs, modalities : what the rows hold, by name, in order
    codes : by input, uint8 (rows, length + 2 * flank), A, C, G, T = 0 to 3, else 4
    targets : by modality, as stored (rows, tracks[, bins]), 0 where a value is missing
    mask : by modality, bool like its targets, true where a value is there; None when that is everywhere
    """

    def __init__(self, folder: Path, header: dict[str, Any], mark: IO[str]) -> None:
        self.folder, self.header, self._mark = folder, header, mark
        self.rows = int(header["rows"])
        self.inputs: dict[str, Input] = {item.name: item for item in inputs_of(header)}
        self.modalities: dict[str, Modality] = {item.name: item for item in modalities_of(header)}
        self.codes: dict[str, NDArray[np.uint8]] = {}
        self.targets: dict[str, NDArray[np.floating[Any]]] = {}
        self.mask: dict[str, NDArray[np.bool_] | None] = {}
        all_present = read_json(folder / "cache.json")["all_present"]
        for i, name in enumerate(self.inputs):
            self.codes[name] = _map(folder, f"codes-{i}")
        for i, name in enumerate(self.modalities):
            self.targets[name] = _map(folder, f"targets-{i}")
            self.mask[name] = None if all_present[i] else _map(folder, f"mask-{i}")
        self._split: NDArray[np.uint8] = _map(folder, "split")
        self._fold: NDArray[np.int32] = _map(folder, "fold")

    def close(self) -> None:
        """Let the cache be removed when others need room; arrays that were taken from it stay readable."""
        self._mark.close()

    def split_rows(self, split: str) -> NDArray[np.int64]:
        """Global row numbers of the kept rows of a split, ascending; ``all`` is every kept row, ``fold:0,2`` those of
        two folds."""
        split_count(self.header, split)
        if (folds := folds_of(split)) is not None:
            chosen = np.isin(self._fold, folds) & (self._split != NOT_KEPT)
        else:
            chosen = self._split != NOT_KEPT if split == "all" else self._split == SPLITS.index(split)
        return np.flatnonzero(chosen).astype(np.int64)


def _map(folder: Path, name: str) -> Any:
    return np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)


def open_cache(store_path: Path | str, cache_dir: Path | None = None, *, limit: int | None = None) -> CachedDataset:
    """The cache of a dataset store (RUN or store), built if this node has none.

    Presence and size of every file of the store are checked each time; their sha256 while the cache is built, and
    again when size or time of any file are not as they were at an earlier check. The key is the digest of the store's
    manifest, so a changed store gets another cache.

    Parameters
    ----------
    limit : bytes that all caches of this user on this node may take; the least recently used ones make room

    Raises
    ------
    InputError, CorruptError : as :func:`drg_hpc.store.reader.open_store`; no space for the cache
    """
    store = find_store(Path(store_path))
    header = read_header(store)
    if header["kind"] != "dataset":
        raise InputError(f"{store_path} is a genome store, a dataset store is needed here")
    manifest = read_manifest(store)
    stamp = _stamp(store, manifest)
    folder = cache_root(cache_dir) / sha256_file(store / MANIFEST)[:32]
    mark = use(folder)
    try:
        if not _is_settled(folder, stamp):
            with building(folder):
                if not _is_settled(folder, stamp):
                    _settle(folder, store, manifest, limit=limit)
                    write_json(folder / _CHECKED, [*_checked(folder), stamp][-_CHECKED_KEPT:])
        with room_for(folder, need=bytes_of(folder), limit=limit):
            return CachedDataset(folder, header, mark)
    except BaseException:
        mark.close()
        raise


def _is_settled(folder: Path, stamp: str) -> bool:
    """Whether the cache is there and the hashes of the store behind it, as it is now, were found right."""
    return _is_whole(folder) and stamp in _checked(folder)


def _settle(folder: Path, store: Path, manifest: dict[str, dict[str, Any]], *, limit: int | None) -> None:
    """Build the cache, or check the store behind it again."""
    if _is_whole(folder):
        log.info("files of %s are not as they were when its training cache was built: checking them", store)
        check_hashes(store, manifest)
    else:
        build(open_dataset(store), folder, is_whole=_is_whole, limit=limit)


def _stamp(store: Path, manifest: dict[str, dict[str, Any]]) -> str:
    """Digest of size and times of every file of a store; the time of the last change of any kind is what a user
    cannot set back.

    Raises
    ------
    CorruptError : a file is missing or has another size
    """
    digest = hashlib.sha256()
    for name in sorted(manifest):
        try:
            found = os.stat(store / name)
        except OSError:
            found = None
        if found is None or found.st_size != manifest[name]["bytes"]:
            check_sizes(store, manifest)
            raise CorruptError(f"store file {store / name} changes while it is read", fix="leave finished stores alone")
        digest.update(f"{name} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}\n".encode())
    return digest.hexdigest()


def _checked(folder: Path) -> list[str]:
    """Stamps of stores whose hashes were found right."""
    try:
        return [str(stamp) for stamp in read_json(folder / _CHECKED)]
    except InputError:
        return []


def _is_whole(folder: Path) -> bool:
    """Present with the sizes it was built with (scratch cleaners delete single old files)."""
    try:
        record = read_json(folder / "cache.json")
    except InputError:
        return False
    if record.get("format") != FORMAT:
        return False
    files = record["files"].items()
    return all((folder / name).is_file() and (folder / name).stat().st_size == size for name, size in files)
