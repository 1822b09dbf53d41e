"""File-system rules: atomic files, folders that appear by one rename, checksums, safe paths, free space.

Standard library only: this runs on login nodes.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
import signal
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drg_hpc.errors import DiskFullError, InputError, TakenError, UsageError

_DELETING = ".deleting."
_REPLACE_TRIES = 20
_FULL = (errno.ENOSPC, errno.EDQUOT)


def failpoint(name: str) -> None:
    """Kill this process here when ``DRG_FAILPOINTS`` asks for it (``name:probability,…``).

    The crash tests use it to die at exact points around fsync and rename. Without the variable it does nothing.
    """
    for item in filter(None, os.environ.get("DRG_FAILPOINTS", "").split(",")):
        wanted, _, probability = item.partition(":")
        if wanted == name and random.random() < float(probability or 1):
            os.kill(os.getpid(), signal.SIGKILL)


def fsync_file(path: Path) -> None:
    """Flush one file's data to stable storage."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


fsync_dir = fsync_file  # a folder is opened and synced the same way


def fsync_tree(folder: Path) -> None:
    """Flush every file and folder below ``folder``, and the folder itself."""
    for root, _, names in os.walk(folder):
        for name in names:
            fsync_file(Path(root, name))
        fsync_dir(Path(root))


def write_new(path: Path, data: bytes | str) -> None:
    """Write a file that must not exist yet, down to stable storage; a failed one is removed."""
    try:
        with open(path, "xb") as handle:
            handle.write(data.encode() if isinstance(data, str) else data)
            handle.flush()
            os.fsync(handle.fileno())
    except FileExistsError:
        raise
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a whole file so that readers see the old one or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    write_new(temporary, data)
    try:
        failpoint("write.before_rename")
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_dir(path.parent)


def table_text(rows: Iterable[Iterable[object]]) -> str:
    """Lines of cells separated by tabs; floating point numbers with six digits."""
    return "".join(
        "\t".join(f"{cell:.6g}" if isinstance(cell, float) else str(cell) for cell in row) + "\n" for row in rows
    )


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, keys sorted, so that equal values give equal bytes."""
    write_atomic(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    InputError : the file is missing or is not JSON
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"no such file: {path}") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"not a JSON file: {path} ({error})") from None


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def walk_files(folder: Path) -> list[str]:
    """Relative POSIX paths of all files below ``folder``, sorted; links, also to folders, are listed, not followed."""
    found: list[str] = []
    for root, folders, names in os.walk(folder):
        links = [name for name in folders if Path(root, name).is_symlink()]
        found.extend(Path(root, name).relative_to(folder).as_posix() for name in (*names, *links))
    return sorted(found)


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """``{relative path: {bytes, sha256}}`` of every file below ``folder``."""
    return {
        name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_file(folder / name)}
        for name in walk_files(folder)
    }


def changed_files(folder: Path, expected: dict[str, dict[str, Any]]) -> list[str]:
    """What of a finished folder is not as ``{relative path: {bytes, sha256}}`` says, in words; every byte is read."""
    faults = []
    for name, record in expected.items():
        path = folder / name
        if not path.is_file():
            faults.append(f"{name} is missing")
        elif path.stat().st_size != record["bytes"] or sha256_file(path) != record["sha256"]:
            faults.append(f"{name} changed")
    return faults


def safe_join(root: Path, *parts: str) -> Path:
    """Join below ``root``; a result outside it (``..``, absolute, links) is refused.

    Raises
    ------
    InputError : the path leaves ``root``
    """
    base = root.resolve()
    joined = base.joinpath(*parts).resolve()
    if joined != base and base not in joined.parents:
        raise InputError(f"path leaves its folder: {'/'.join(parts)!r} under {root}")
    return joined


def remove_tree(folder: Path) -> None:
    """Delete a folder or file; a folder is renamed first, so a killed delete never looks like a whole folder."""
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink(missing_ok=True)
        return
    if folder.name.startswith(_DELETING):
        shutil.rmtree(folder, ignore_errors=True)
        return
    doomed = folder.with_name(f"{_DELETING}{folder.name.lstrip('.')}.{uuid.uuid4().hex[:8]}")
    try:
        os.rename(folder, doomed)
    except FileNotFoundError:
        return
    shutil.rmtree(doomed, ignore_errors=True)


def replace_path(source: Path, target: Path) -> None:
    """Put ``source`` (file or folder, same file system, already synced) where ``target`` is.

    A file is replaced in one step. A folder already there is renamed aside first and deleted after.
    """
    if not source.is_dir():
        os.replace(source, target)
        fsync_dir(target.parent)
        return
    for left in reversed(range(_REPLACE_TRIES)):  # another process may be doing the same
        aside = target.with_name(f".old.{target.name}.{uuid.uuid4().hex[:8]}")
        try:
            if target.exists():
                os.rename(target, aside)
            os.rename(source, target)
            break
        except OSError as error:
            lost_a_race = error.errno in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST) and source.exists()
            if not lost_a_race or not left:
                raise
        finally:
            if aside.exists():
                remove_tree(aside)
    fsync_dir(target.parent)


def _rename_new(source: Path, target: Path) -> None:
    """Rename a folder to where nothing, or an empty folder, is; no other process can lose its own by that."""
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise TakenError(f"{target} was made meanwhile", fix="choose another -o, or remove it first") from None
    fsync_dir(target.parent)


@contextmanager
def publish_dir(target: Path, *, replace: bool = True) -> Iterator[Path]:
    """Yield a private sibling folder that becomes ``target`` by one rename when the block ends well.

    On any error the private folder is removed and ``target`` is untouched.

    Parameters
    ----------
    replace : whether a folder that is there gives way; an empty one always does

    Raises
    ------
    TakenError : something is there that must not be replaced
    DiskFullError : no space is left
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        staging.mkdir()
        yield staging
        fsync_tree(staging)
        failpoint("publish.before_rename")
        if replace:
            replace_path(staging, target)
        else:
            _rename_new(staging, target)
    except BaseException as error:
        shutil.rmtree(staging, ignore_errors=True)
        if (full := disk_full(error, target, parts=False)) is not None:
            raise full from None
        raise


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it where links are not possible."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES):
            raise
        shutil.copyfile(source, target)


def nearest_existing(path: Path) -> Path:
    """``path``, or its closest parent that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def require_space(folder: Path, *, need_bytes: int, need_files: int) -> None:
    """Refuse to start work that the file system cannot hold (with 20 % to spare).

    Raises
    ------
    InputError : too few bytes or inodes are free
    """
    stat = os.statvfs(nearest_existing(folder))
    free = stat.f_bavail * stat.f_frsize
    if need_bytes * 1.2 > free:
        raise InputError(
            f"not enough space for {folder}: needs {human_bytes(int(need_bytes * 1.2))}, {human_bytes(free)} free",
            fix="choose another folder with -o, or free some space",
        )
    if stat.f_files and need_files * 1.2 > stat.f_favail:
        raise InputError(
            f"not enough inodes for {folder}: needs {int(need_files * 1.2)} files, {stat.f_favail} free",
            fix="use fewer shards, or free some files",
        )


def disk_full(error: BaseException, path: Path, *, parts: bool = True) -> DiskFullError | None:
    """The user's line for an out-of-space or over-quota error, else None.

    HDF5 reports a failed flush at closing as a RuntimeError that has the number in its text.

    Parameters
    ----------
    parts : whether the work is done in parts, of which the finished ones stay; else ``path`` is the result
    """
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, OSError | RuntimeError) and number not in _FULL:
        number = next((n for n in _FULL if f"errno = {n}," in str(error)), None)
    if number not in _FULL:
        return None
    where = (getattr(error, "filename", None) if parts else None) or path
    return DiskFullError(
        f"out of space while writing {where}: {os.strerror(number or 0)}",
        fix="free some space and run the same command again" + ("; finished parts are kept" if parts else ""),
    )


def counted(number: int, what: str, plural: str = "s") -> str:
    """``1 shard``, ``2 shards``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}{plural}"


def human_bytes(count: float) -> str:
    """``1536`` -> ``1.5 KiB``."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("unreachable")


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A private path beside ``path`` that becomes it when the block ends well.

    Raises
    ------
    UsageError : there is a file already
    InputError : no folder for it
    DiskFullError : no space is left
    """
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path} exists", fix="choose another -o, or remove it first")
    if not path.parent.is_dir():
        raise InputError(f"no such folder: {path.parent}", fix="make it first")
    private = path.with_name(f".{uuid.uuid4().hex}.{path.name}")
    try:
        yield private
        fsync_file(private)
        os.replace(private, path)
        fsync_dir(path.parent)
    except (OSError, RuntimeError) as error:  # HDF5 raises the latter
        raise disk_full(error, path, parts=False) or error from None
    finally:
        private.unlink(missing_ok=True)
