"""``manifest.json`` of a store: every file with bytes and sha256, since zarr reads a missing file as fill value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from drg_hpc.errors import CorruptError
from drg_hpc.files import sha256_file, write_json

MANIFEST = "manifest.json"
_FIX = "make the store again (drg-merge of its run, or drg-shard)"


def write_manifest(store: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
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


def check_sizes(store: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Presence and size of every file.

    Raises
    ------
    CorruptError : names the first file that is missing or has another size
    """
    for name, record in files.items():
        try:
            size = (store / name).stat().st_size
        except OSError:
            raise CorruptError(f"store file is missing: {store / name}", fix=_FIX) from None
        if size != record["bytes"]:
            raise CorruptError(f"store file {store / name} has {size} bytes, not {record['bytes']}", fix=_FIX)


def check_hashes(store: Path, files: Mapping[str, Mapping[str, Any]], names: Iterable[str] | None = None) -> None:
    """sha256 of every file, or of ``names``.

    Raises
    ------
    CorruptError : names the first file whose bytes changed
    """
    for name in files if names is None else names:
        if sha256_file(store / name) != files[name]["sha256"]:
            raise CorruptError(f"store file {store / name} does not match its sha256", fix=_FIX)
