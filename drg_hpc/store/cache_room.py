"""The folder of this node's training caches: whose it is, who uses which cache, and which ones make room for others.

Next to the cache ``KEY`` lie ``KEY.lock``, held while it is built, and ``KEY.used``, held shared by every process that
has it open; its time says when that was last begun. The kernel frees the locks of a killed process.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from drg_hpc.errors import InputError
from drg_hpc.files import human_bytes, remove_tree

log = logging.getLogger(__name__)

LOCK_WAIT_S = 1800.0
_POLL_S = 0.2
_LIMIT_LOCK = "limit.lock"


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


def _try_alone(handle: IO[str]) -> bool:
    """Take the exclusive lock if nobody holds it; False too where the file system has no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def use(folder: Path) -> IO[str]:
    """Mark a cache as used from now on until the file that is returned is closed; it is not removed meanwhile.

    What builders that were killed have left of it is removed first.
    """
    handle = open(folder.with_name(f"{folder.name}.used"), "w")  # noqa: SIM115 (it stays open)
    if _try_alone(handle):
        for left in folder.parent.glob(f".{folder.name}.*"):
            remove_tree(left)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
    except OSError as error:
        log.debug("no file locks for %s: %s", handle.name, error)
    os.utime(handle.fileno())
    return handle


@contextmanager
def building(folder: Path) -> Iterator[None]:
    """Let one process build or check a cache and the others wait. Never needed for correctness: after a while, or
    where the file system has no locks, a waiter does the same work and the first cache to be published wins.
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


def bytes_of(folder: Path) -> int:
    """Size of the files in a folder."""
    total = 0
    try:
        for path in folder.iterdir():
            total += path.stat().st_size
    except FileNotFoundError:
        log.debug("%s was removed meanwhile", folder)
    return total


def _last_used(folder: Path) -> float:
    mark = folder.with_name(f"{folder.name}.used")
    try:
        return (mark if mark.exists() else folder).stat().st_mtime
    except FileNotFoundError:
        return 0.0


@contextmanager
def room_for(folder: Path, *, need: int, limit: int | None) -> Iterator[None]:
    """Remove the least recently used caches until ``need`` bytes fit within ``limit``; inside the block the files
    are laid out at their full size, so that builders at the same time see each other's needs.

    Caches in use, and those being built, stay.

    Raises
    ------
    InputError : the cache is larger than the limit, or does not fit beside those in use
    """
    if limit is None:
        yield
        return
    shown = f"--cache-size {human_bytes(limit)}"
    if need > limit:
        fix = "raise --cache-size (or DRG_CACHE_SIZE)"
        raise InputError(f"the training cache needs {human_bytes(need)}, more than {shown}", fix=fix)
    root = folder.parent
    with open(root / _LIMIT_LOCK, "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            log.debug("no file locks in %s: %s", root, error)
        _make_room(folder, need=need, limit=limit, shown=shown)
        yield


def _owner(path: Path) -> str:
    """Key of the cache that a folder is, or that is being built in it."""
    return path.name.split(".")[1] if path.name.startswith(".") else path.name


def _make_room(folder: Path, *, need: int, limit: int, shown: str) -> None:
    caches: dict[str, list[Path]] = {}
    for path in folder.parent.iterdir():
        if path.is_dir() and _owner(path) != folder.name:
            caches.setdefault(_owner(path), []).append(path)
    sizes = {key: sum(bytes_of(path) for path in paths) for key, paths in caches.items()}
    total, removed = sum(sizes.values()), 0
    for key in sorted(caches, key=lambda key: _last_used(folder.with_name(key))):
        if total + need <= limit:
            break
        with open(folder.with_name(f"{key}.used"), "a") as mark:
            if _try_alone(mark):
                for path in caches[key]:
                    remove_tree(path)
                total, removed = total - sizes[key], removed + 1
    if removed:
        log.info("training caches removed to stay within %s, used least recently: %d", shown, removed)
    if total + need > limit:
        raise InputError(
            f"the training cache needs {human_bytes(need)}, and {human_bytes(total)} of {shown} are in use by others",
            fix="raise --cache-size (or DRG_CACHE_SIZE), or wait for the other trainings",
        )
