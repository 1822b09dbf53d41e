"""``manifest.json`` of a store: every file with bytes and sha256, since zarr reads a missing file as fill value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from drg_hpc.errors import CorruptError
from drg_hpc.files import sha256_file, write_json

MANIFEST = "manifest.json"
Files = Mapping[str, Mapping[str, Any]]
_FIX = "make the store again (drg-merge of its run, or drg-shard)"
_NAMED = 3
_HASHING_THREADS = 4


def write_manifest(store: Path, files: Files) -> None:
    """Write the manifest, the last file of a store."""
    write_json(store / MANIFEST, {"files": {name: dict(record) for name, record in files.items()}})


def read_manifest(store: Path) -> dict[str, dict[str, Any]]:
    """``{relative path: {bytes, sha256}}``.

    Raises
    ------
    CorruptError : the manifest is missing or damaged (a store cut off before its end has none)
    """
    path = store / MANIFEST
    try:
        files = json.loads(path.read_bytes())["files"]
        return {str(name): {"bytes": int(r["bytes"]), "sha256": str(r["sha256"])} for name, r in files.items()}
    except FileNotFoundError:
        raise CorruptError(f"store was not finished, it has no manifest: {path}", fix=_FIX) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptError(f"damaged manifest: {path} ({error})", fix=_FIX) from None


def _size_fault(store: Path, name: str, record: Mapping[str, Any]) -> str | None:
    try:
        size = (store / name).stat().st_size
    except OSError:
        return f"store file is missing: {store / name}"
    return None if size == record["bytes"] else f"store file {store / name} has {size} bytes, not {record['bytes']}"


def _hash_fault(store: Path, name: str, record: Mapping[str, Any]) -> str | None:
    try:
        same = sha256_file(store / name) == record["sha256"]
    except OSError as error:
        return f"store file {store / name} cannot be read ({error.strerror})"
    return None if same else f"store file {store / name} does not match its sha256"


def _refuse(faults: Sequence[str]) -> None:
    """Raise for all faults at once: the first three, and how many more there are."""
    if faults:
        more = f"; and {len(faults) - _NAMED} more files" if len(faults) > _NAMED else ""
        raise CorruptError("; ".join(faults[:_NAMED]) + more, fix=_FIX)


def check_sizes(store: Path, files: Files) -> None:
    """Presence and size of every file.

    Raises
    ------
    CorruptError : names three of the files that are missing or have another size, and says how many there are
    """
    _refuse([fault for name, record in files.items() if (fault := _size_fault(store, name, record))])


def check_hashes(store: Path, files: Files, names: Iterable[str] | None = None) -> None:
    """sha256 of every file, or of ``names``.

    Raises
    ------
    CorruptError : names three of the files whose bytes changed, and says how many there are
    """
    chosen = list(files if names is None else names)
    with ThreadPoolExecutor(_HASHING_THREADS) as pool:  # hashing lets go of the interpreter
        _refuse([fault for fault in pool.map(lambda name: _hash_fault(store, name, files[name]), chosen) if fault])


def check_files(store: Path, files: Files) -> None:
    """Presence, size and sha256 of every file; a store that has lost one and changed another names both.

    Raises
    ------
    CorruptError : names three of the files that are not as they were, and says how many there are
    """

    def fault(name: str) -> str | None:
        return _size_fault(store, name, files[name]) or _hash_fault(store, name, files[name])

    with ThreadPoolExecutor(_HASHING_THREADS) as pool:
        _refuse([found for found in pool.map(fault, files) if found])
