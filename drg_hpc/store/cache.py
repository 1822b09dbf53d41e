"""Node-local training cache: memory-mapped base codes and targets, built once per node and shared by its ranks.

Reading zarr per window gives about a thousand windows a second; these files give millions.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.files import read_json, sha256_file, write_json
from drg_hpc.store.cache_build import FORMAT, NOT_KEPT, build
from drg_hpc.store.cache_room import building, cache_root, use
from drg_hpc.store.dataset_layout import SPLITS, Input, Modality, inputs_of, modalities_of
from drg_hpc.store.header import find_store, read_header, split_count
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

    def __init__(self, folder: Path, header: dict[str, Any]) -> None:
        self._mark = use(folder)
        self.folder, self.header = folder, header
        self.rows = int(header["rows"])
        self.inputs: dict[str, Input] = {item.name: item for item in inputs_of(header)}
        self.modalities: dict[str, Modality] = {item.name: item for item in modalities_of(header)}
        self.codes: dict[str, NDArray[np.uint8]] = {}
        self.targets: dict[str, NDArray[np.floating[Any]]] = {}
        self.mask: dict[str, NDArray[np.bool_] | None] = {}

    def attach(self) -> None:
        """Map the files."""
        all_present = read_json(self.folder / "cache.json")["all_present"]
        for i, name in enumerate(self.inputs):
            self.codes[name] = self._map(f"codes-{i}")
        for i, name in enumerate(self.modalities):
            self.targets[name] = self._map(f"targets-{i}")
            self.mask[name] = None if all_present[i] else self._map(f"mask-{i}")
        self._split: NDArray[np.uint8] = self._map("split")

    def _map(self, name: str) -> Any:
        return np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)

    def close(self) -> None:
        """Let the cache be removed when others need room; arrays that were taken from it stay readable."""
        self._mark.close()

    def split_rows(self, split: str) -> NDArray[np.int64]:
        """Global row numbers of the kept rows of a split, ascending; ``all`` is every kept row."""
        split_count(self.header, split)
        chosen = self._split != NOT_KEPT if split == "all" else self._split == SPLITS.index(split)
        return np.flatnonzero(chosen).astype(np.int64)


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
    check_sizes(store, manifest)
    folder = cache_root(cache_dir) / sha256_file(store / MANIFEST)[:32]
    cache = CachedDataset(folder, header)
    try:
        _settle(cache, store, manifest, limit)
        cache.attach()
    except BaseException:
        cache.close()
        raise
    return cache


def _settle(cache: CachedDataset, store: Path, manifest: dict[str, dict[str, Any]], limit: int | None) -> None:
    """Build the cache, or check the store behind it again, where that has to be."""
    folder, stamp = cache.folder, _stamp(store, manifest)
    if _is_whole(folder) and stamp in _checked(folder):
        return
    with building(folder):
        if _is_whole(folder) and stamp in _checked(folder):
            return
        if _is_whole(folder):
            log.info("files of %s are not as they were when its training cache was built: checking them", store)
            check_hashes(store, manifest)
        else:
            build(open_dataset(store), folder, is_whole=_is_whole, limit=limit)
        write_json(folder / _CHECKED, [*_checked(folder), stamp][-_CHECKED_KEPT:])


def _stamp(store: Path, manifest: Mapping[str, Any]) -> str:
    """Digest of size and times of every file of a store; the time of the last change of any kind is what a user
    cannot set back."""
    digest = hashlib.sha256()
    for name in sorted(manifest):
        found = (store / name).stat()
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
