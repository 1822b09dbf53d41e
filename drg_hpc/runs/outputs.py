"""Where a finished run keeps its output: any command that reads a result takes the RUN or the file in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drg_hpc.errors import CorruptError, IncompleteError, InputError
from drg_hpc.files import sha256_file

DONE = "done.json"
PLAN = "plan.json"
HASHED_BYTES = 1 << 30
"""Larger files are not hashed by commands that read some of a result: that would take longer than their work."""
_NEEDED = {
    "out.zarr": ("a store (out.zarr)", "give a run of drg-shard"),
    "out.h5": ("a run with a result file (out.h5)", "check the path"),
}
_DONE_FIELDS = {"plan": str, "outputs": dict, "summary": dict}


def resolve_output(path: Path, name: str) -> Path:
    """The output ``name`` of a run, given the run folder or the output itself.

    Raises
    ------
    InputError : nothing there, or the finished output of another kind of command
    IncompleteError : the run has not been merged
    CorruptError : the run is committed but the output is gone
    """
    if not path.exists():
        raise InputError(f"no such file or folder: {path}", fix="check the path")
    if not (path / PLAN).is_file() and not (path / DONE).is_file():
        return path
    if not (path / PLAN).is_file():
        raise _wrong_kind(path, name)
    record = committed(path)
    if record is None:
        raise IncompleteError(f"run is not merged yet: {path}", fix=f"drg-status {path} says what is missing")
    output = path / name
    if name not in record["outputs"]:
        raise _wrong_kind(path, name)
    if not output.exists():
        raise CorruptError(f"{path / DONE} lists {name}, but it is missing", fix=f"drg-merge {path} writes it again")
    return output


def _wrong_kind(path: Path, name: str) -> InputError:
    """What a folder with a done.json holds, where something else is needed."""
    try:
        record = json.loads((path / DONE).read_bytes())
    except ValueError:
        record = None
    record = record if isinstance(record, dict) else {}
    command = str(record.get("command", ""))
    maker = f"drg-{command.replace('shard-', 'shard ')}" if command else "another program"
    outputs = record.get("outputs")
    listed = ", ".join(outputs) if isinstance(outputs, dict) else ""
    holds = "model files" if command == "train" else listed or "no run's output"
    needed, fix = _NEEDED.get(name, (name, "check the path"))
    return InputError(f"{path} was made by {maker} and holds {holds}; {needed} is needed here", fix=fix)


def committed(folder: Path) -> dict[str, Any] | None:
    """done.json of a run folder; None when there is none, or not a whole one: the run is then not merged."""
    try:
        record = json.loads((folder / DONE).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    if not isinstance(record, dict) or not all(isinstance(record.get(k), kind) for k, kind in _DONE_FIELDS.items()):
        return None
    return record


def read_done(path: Path) -> dict[str, Any] | None:
    """done.json of the merged run that ``path`` is or lies in; None when there is none."""
    for folder in (path, path.parent):
        if (folder / PLAN).is_file() and (record := committed(folder)) is not None:
            return record
    return None


def check_recorded(file: Path, *, sha256: str | None = None, whole: bool = False) -> bool:
    """Refuse the file of a run that is not the one which the run's done.json lists; one of no run is taken as it is.

    The size is compared, and the sha256 where it is known or the file has at most :data:`HASHED_BYTES`.

    Parameters
    ----------
    sha256 : of the file, where the caller has it
    whole : hash a file of any size

    Returns
    -------
    whether a run lists the file

    Raises
    ------
    CorruptError : it has another size or checksum
    """
    folder = file.absolute().parent
    record = committed(folder) if (folder / PLAN).is_file() else None
    expected = (record or {"outputs": {}})["outputs"].get(file.name)
    if not isinstance(expected, dict) or not file.is_file():
        return False
    if fault := _fault(file, expected, sha256=sha256, whole=whole):
        fix = f"restore it, or drg-merge {folder} writes it again"
        raise CorruptError(f"{file} is not the file that {folder / DONE} lists: {fault}", fix=fix)
    return True


def check_files(folder: Path, expected: Mapping[str, Any], *, whole: bool = False) -> None:
    """Refuse a finished folder whose files are not as ``{name: {bytes, sha256}}`` says, compared as
    :func:`check_recorded` does.

    Raises
    ------
    CorruptError : a file is missing, or has another size or checksum
    """
    for name, record in expected.items():
        file = folder / name
        fault = _fault(file, record, whole=whole) if file.is_file() else "it is missing"
        if fault:
            raise CorruptError(f"{file} is not as it was written: {fault}", fix="restore it, or make it again")


def _fault(file: Path, expected: Mapping[str, Any], *, sha256: str | None = None, whole: bool) -> str | None:
    size = file.stat().st_size
    if size != expected.get("bytes", size):
        return f"{size} bytes, not {expected['bytes']}"
    if sha256 is None and size > HASHED_BYTES and not whole:
        return None
    return "another sha256" if (sha256 or sha256_file(file)) != expected.get("sha256") else None
