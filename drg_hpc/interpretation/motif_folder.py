"""The folder that drg-motifs writes: where it lies, whether it is there already, and how it appears."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drg_hpc.errors import CorruptError, InputError, TakenError, UsageError
from drg_hpc.files import changed_files, nearest_existing, publish_dir, read_json, require_space

log = logging.getLogger(__name__)
_FILES = 12
_LEAST_BYTES, _SEQLET_BYTES = 64 << 10, 16
_RESTORE = "restore it, or remove the folder and run again"


def place_of(out: Path) -> Path:
    """Where ``-o`` leads: a link stays, what it points to is written.

    Raises
    ------
    InputError : a link to nothing
    """
    if not out.is_symlink() and out.name not in ("", ".."):
        return out.absolute()
    try:
        target = out.resolve()
    except RuntimeError:  # what pathlib makes of links in a circle
        raise InputError(f"{out} is a link to itself", fix="choose another -o") from None
    if not target.exists():
        raise InputError(f"{out} is a link to {target}, which does not exist", fix="make it, or choose another -o")
    return target


def is_there(out: Path, header: dict[str, Any]) -> bool:
    """Whether ``out`` holds this result already.

    Parameters
    ----------
    header : what determines the result: params, inputs, databases, and their digest

    Raises
    ------
    UsageError : it holds something else
    CorruptError : it does, but its files changed since
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if not (out / "motifs.json").is_file():
        raise UsageError(f"{out} exists and is not a motif folder", fix="choose another -o")
    old = _read(out / "motifs.json")
    if old["digest"] == header["digest"]:
        if faults := changed_files(out, old["files"]):
            raise CorruptError(f"{out}: {', '.join(faults)}", fix=_RESTORE)
        return True
    changed = [key for key in ("params", "inputs", "databases") if old.get(key) != header[key]]
    if "params" in changed:
        pairs = [(key, old["params"].get(key), value) for key, value in header["params"].items()]
        changed += [f"{key}: {old_value} there, {value} now" for key, old_value, value in pairs if old_value != value]
    raise UsageError(f"{out} was made with other {', '.join(changed)}", fix="choose another -o, or remove the folder")


def _read(path: Path) -> dict[str, Any]:
    """motifs.json, with the fields that are used.

    Raises
    ------
    CorruptError : not what was written
    """
    try:
        found = read_json(path)
    except InputError as error:
        raise CorruptError(error.what, fix=_RESTORE) from None
    kinds = {"params": dict, "inputs": dict, "files": dict, "motifs": list, "digest": str}
    whole = isinstance(found, dict) and all(isinstance(found.get(key), kind) for key, kind in kinds.items())
    if not whole or not all(isinstance(record, dict) for record in (*found["files"].values(), *found["motifs"])):
        raise CorruptError(f"{path} is not what drg-motifs wrote", fix=_RESTORE)
    if not all({"bytes", "sha256"} <= record.keys() for record in found["files"].values()):
        raise CorruptError(f"{path} does not say what its files are", fix=_RESTORE)
    return dict(found)


def require_place(target: Path) -> None:
    """Refuse a place where no folder can be made: a private one is made close to it, and removed.

    Raises
    ------
    InputError : not writable, no file system for files, a name too long, below a file
    """
    near = target.parent
    try:
        near = nearest_existing(target.parent)
        probe = near / f".{target.name}.{uuid.uuid4().hex}"
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        raise InputError(f"cannot make {target}: {why} ({near})", fix="choose another -o") from None


def require_room(out: Path, seqlets: int) -> None:
    """Refuse a place that cannot be written to, before all the work.

    Raises
    ------
    InputError : no folder can be made there, or too little space is left
    """
    if os.path.ismount(out):  # nothing can be renamed to it
        raise InputError(f"{out} is a mount", fix="give a folder below it as -o")
    require_place(out)
    require_space(out.parent, need_bytes=_LEAST_BYTES + _SEQLET_BYTES * seqlets, need_files=_FILES)


@contextmanager
def publish(out: Path, header: dict[str, Any]) -> Iterator[Path]:
    """Yield a private folder that becomes ``out``; one with the same result that appeared meanwhile is left.

    Raises
    ------
    UsageError, CorruptError : what appeared is something else, or damaged
    DiskFullError : no space is left
    """
    try:
        with publish_dir(out, replace=False) as folder:
            yield folder
    except TakenError:
        if not is_there(out, header):
            raise
        log.info("made meanwhile from the same seqlets and parameters: %s", out)
