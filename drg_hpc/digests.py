"""Canonical digests, descriptions of input files, and provenance (versions, host)."""

from __future__ import annotations

import functools
import getpass
import hashlib
import json
import os
import platform
import socket
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

from drg_hpc.errors import InputError
from drg_hpc.files import sha256_file

_HASHING_THREADS = 4
_RECORDED = (
    "torch",
    "numpy",
    "h5py",
    "zarr",
    "dask",
    "pyfaidx",
    "pyBigWig",
    "captum",
    "numba",
    "memelite",
    "deflate",
    "pydantic",
)


def canonical_json(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no blanks, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def digest(value: Any) -> str:
    """Hex SHA-256 of the canonical JSON of ``value``."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def _stat_record(paths: list[Path]) -> tuple[int, int]:
    stats = [path.stat() for path in paths]
    return sum(s.st_size for s in stats), max(s.st_mtime_ns for s in stats)


def describe_input(path: Path, members: tuple[str, ...] = ()) -> dict[str, Any]:
    """Identity of an input: ``{path, members, bytes, mtime_ns, sha256}``.

    Parameters
    ----------
    path : a file, or a folder when ``members`` is given
    members : the files of the folder that define it (a store's ``manifest.json``, a model's weights)

    Raises
    ------
    InputError : a file is missing or unreadable
    """
    paths = [path / name for name in members] if members else [path]
    for item in paths:
        if not item.is_file():
            raise InputError(f"no such file: {item}", fix="check the path")
    try:
        size, mtime = _stat_record(paths)
        hashes = [sha256_file(item) for item in paths]
    except PermissionError as error:
        raise InputError(f"cannot read {error.filename}: permission denied") from None
    whole = hashes[0] if not members else digest(dict(zip(members, hashes, strict=True)))
    return {
        "path": str(path.absolute()),
        "members": list(members),
        "bytes": size,
        "mtime_ns": mtime,
        "sha256": whole,
    }


def describe_inputs(files: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """:func:`describe_input` of several files, by name; a few are hashed at a time (hashing releases the GIL).

    Raises
    ------
    InputError : of the first file that is missing or unreadable
    """
    with ThreadPoolExecutor(min(_HASHING_THREADS, max(1, len(files)))) as pool:
        return dict(zip(files, pool.map(describe_input, files.values()), strict=True))


def check_input(name: str, record: dict[str, Any]) -> None:
    """Refuse an input that is no longer what the plan was made from.

    Size and time are looked at first; only when they differ is the file read again.

    Raises
    ------
    InputError : the file is missing or its content changed
    """
    path, members = Path(record["path"]), tuple(record["members"])
    paths = [path / member for member in members] if members else [path]
    try:
        if _stat_record(paths) == (record["bytes"], record["mtime_ns"]):
            return
    except OSError as error:
        raise InputError(f"input {name} is gone: {error.filename}", fix="put it back, or plan a new run") from None
    if describe_input(path, members)["sha256"] != record["sha256"]:
        raise InputError(
            f"input {name} changed since the run was planned: {path}",
            fix="restore the file, or plan a new run with another -o",
        )


def input_identity(record: dict[str, Any]) -> dict[str, Any]:
    """The part of an input's description that determines results: content, not place or time."""
    return {key: record[key] for key in ("members", "bytes", "sha256")}


def package_version() -> str:
    """Version of drg_hpc as installed."""
    try:
        return metadata.version("drg_hpc")
    except metadata.PackageNotFoundError:
        return "0.0.0+uninstalled"


@functools.cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "drg_hpc": package_version()}
    for name in _RECORDED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def versions() -> dict[str, str]:
    """Versions of Python, drg_hpc and the libraries that are installed here."""
    return dict(_versions())


def who_and_where() -> dict[str, Any]:
    """Run facts for done.json: command line, user, host, and the scheduler's job id if there is one."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return {
        "command_line": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "user": user,
        "host": socket.gethostname(),
        "job": os.environ.get("SLURM_JOB_ID"),
        "image": os.environ.get("APPTAINER_CONTAINER") or os.environ.get("SINGULARITY_CONTAINER"),
    }
