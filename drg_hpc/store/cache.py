"""Node-local training cache: memory-mapped base codes and targets, built once per node and shared by its ranks.

Reading zarr per window gives about a thousand windows a second; these files give hundreds of thousands.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.files import disk_full, publish_dir, read_json, require_space, sha256_file, write_json
from drg_hpc.log import Progress
from drg_hpc.store.dataset_layout import SPLITS, Input, Modality, inputs_of, modalities_of
from drg_hpc.store.header import find_store, read_header, split_count
from drg_hpc.store.manifest import MANIFEST, check_hashes
from drg_hpc.store.reader import DatasetStore, open_dataset

log = logging.getLogger(__name__)

FORMAT = "drg-cache/2"
LOCK_WAIT_S = 1800.0
_POLL_S = 0.2
_NOT_KEPT = 255
_DTYPES = {"float32": "<f4", "float16": "<f2", "uint8": "|u1", "bool": "|b1"}


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

    def __init__(self, folder: Path, header: Mapping[str, Any]) -> None:
        self.folder, self.header = folder, header
        self.rows = int(header["rows"])
        self.inputs: dict[str, Input] = {item.name: item for item in inputs_of(header)}
        self.modalities: dict[str, Modality] = {item.name: item for item in modalities_of(header)}
        record = read_json(folder / "cache.json")
        self.codes: dict[str, NDArray[np.uint8]] = {
            name: _map(folder, f"codes-{i}") for i, name in enumerate(self.inputs)
        }
        self.targets: dict[str, NDArray[np.floating[Any]]] = {
            name: _map(folder, f"targets-{i}") for i, name in enumerate(self.modalities)
        }
        self.mask: dict[str, NDArray[np.bool_] | None] = {
            name: None if record["all_present"][i] else _map(folder, f"mask-{i}")
            for i, name in enumerate(self.modalities)
        }
        self._split: NDArray[np.uint8] = _map(folder, "split")

    def split_rows(self, split: str) -> NDArray[np.int64]:
        """Global row numbers of the kept rows of a split, ascending; ``all`` is every kept row."""
        split_count(dict(self.header), split)
        chosen = self._split != _NOT_KEPT if split == "all" else self._split == SPLITS.index(split)
        return np.flatnonzero(chosen).astype(np.int64)


def _map(folder: Path, name: str) -> Any:
    return np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)


def cache_root(cache_dir: Path | None = None) -> Path:
    """The user's own cache folder (0700) on this node: below ``cache_dir``, $DRG_CACHE_DIR, scratch or /tmp.

    Raises
    ------
    InputError : the folder cannot be made, or somebody else made it
    """
    names = ("DRG_CACHE_DIR", "SLURM_TMPDIR", "TMPDIR")
    base = cache_dir or Path(next((os.environ[n] for n in names if os.environ.get(n)), "/tmp"))
    root = base / f"drg-cache-{os.getuid()}"
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = root.lstat()
    except OSError as error:
        raise InputError(f"cannot make the cache folder {root}: {error.strerror}", fix="set DRG_CACHE_DIR") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise InputError(f"cache folder {root} is not a folder that only you can write to", fix="set DRG_CACHE_DIR")
    return root


def open_cache(store_path: Path | str, cache_dir: Path | None = None) -> CachedDataset:
    """The cache of a dataset store (RUN or store), built if this node has none.

    Every file of the store is checked against its sha256 while the cache is built. The key is the digest of the
    store's manifest, so a changed store gets another cache.

    Raises
    ------
    InputError, CorruptError : as :func:`drg_hpc.store.reader.open_store`; no space for the cache
    """
    store = find_store(Path(store_path))
    header = read_header(store)
    folder = cache_root(cache_dir) / _key(store)
    if not _is_whole(folder):
        with _lock(folder):
            if not _is_whole(folder):
                _build(open_dataset(store), folder)
    return CachedDataset(folder, header)


def _key(store: Path) -> str:
    manifest = store / MANIFEST
    if not manifest.is_file():
        open_dataset(store)  # raises the line for an unfinished store
    return sha256_file(manifest)[:32]


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


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Let one process build and the others wait. Never needed for correctness: after a while, or where the file
    system has no locks, a waiter builds its own copy and the first to be published wins. The kernel frees the
    lock of a killed process.
    """
    with open(folder.with_name(f"{folder.name}.lock"), "w") as handle:
        deadline = time.monotonic() + LOCK_WAIT_S
        while time.monotonic() < deadline:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(_POLL_S)
            except OSError:
                break
        else:
            log.warning("the lock of cache %s has been held for %.0f s; building it here", folder, LOCK_WAIT_S)
        yield


class _Superseded(Exception):
    """Another process published the same cache first."""


def _arrays(store: DatasetStore) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Stem of each file -> dtype and shape."""
    found = {f"codes-{i}": ("uint8", (store.rows, item.stored)) for i, item in enumerate(store.inputs.values())}
    arrays: dict[str, tuple[str, tuple[int, ...]]] = dict(found)
    for i, modality in enumerate(store.modalities.values()):
        arrays[f"targets-{i}"] = (modality.dtype, modality.shape(store.rows))
        arrays[f"mask-{i}"] = ("bool", modality.shape(store.rows))
    return arrays


def _build(store: DatasetStore, folder: Path) -> None:
    sizes = (int(np.prod(shape)) * np.dtype(_DTYPES[dtype]).itemsize for dtype, shape in _arrays(store).values())
    require_space(folder.parent, need_bytes=sum(sizes) + store.rows, need_files=8)
    try:
        with publish_dir(folder) as staging:
            _fill(store, staging)
            if _is_whole(folder):
                raise _Superseded
    except _Superseded:
        log.debug("cache %s was built by another process meanwhile", folder)
    except OSError as error:
        raise disk_full(error, folder) or error from None


def _fill(store: DatasetStore, staging: Path) -> None:
    """Write the arrays with plain writes: on a full disk a write raises, a memory map kills the process (SIGBUS)."""
    check_hashes(store.path, store.manifest)
    step = int(store.header["row_shard"])
    all_present = [True] * len(store.modalities)
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(store.rows, "training cache"))
        files = {}
        for name, (dtype, shape) in _arrays(store).items():
            files[name] = stack.enter_context(open(staging / f"{name}.npy", "wb"))
            record = {"descr": _DTYPES[dtype], "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(files[name], record)
        for start in range(0, store.rows, step):
            stop = min(start + step, store.rows)
            for i, name in enumerate(store.inputs):
                codes = store.codes(start, stop, name=name, flank=True)
                files[f"codes-{i}"].write(np.ascontiguousarray(codes).data)
            for i, name in enumerate(store.modalities):
                targets, mask = store.target_block(start, stop, name)
                all_present[i] = all_present[i] and bool(mask.all())
                files[f"targets-{i}"].write(np.ascontiguousarray(targets).data)
                files[f"mask-{i}"].write(np.ascontiguousarray(mask).data)
            progress.add(stop - start)
    for i, present in enumerate(all_present):
        if present:
            (staging / f"mask-{i}.npy").unlink()
    split = np.full(store.rows, _NOT_KEPT, np.uint8)
    for number, name in enumerate(SPLITS):
        split[store.split_rows(name)] = number
    np.save(staging / "split.npy", split)
    sizes = {path.name: path.stat().st_size for path in staging.iterdir()}
    write_json(staging / "cache.json", {"format": FORMAT, "files": sizes, "all_present": all_present})
