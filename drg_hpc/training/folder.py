"""The MODEL folder before and between jobs: whose it is, whether to start, go on, or leave it."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drg_hpc.errors import CorruptError, InputError, UsageError
from drg_hpc.files import read_json, write_json
from drg_hpc.training.checkpoints import newest_checkpoint
from drg_hpc.training.config import flatten
from drg_hpc.training.outputs import output_faults
from drg_hpc.training.stop import STOP_FILE

log = logging.getLogger(__name__)
FORMAT = "drg-training/2"
TRAINING = "training.json"
CHECKPOINTS = "checkpoints"
_LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold MODEL for one training; a requeued twin is refused instead of mixing its checkpoints in.

    Raises
    ------
    UsageError : another training holds it
    InputError : the folder cannot be made or written
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}", fix="choose another -o") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fault = f"another training is running in {folder}"
            raise UsageError(fault, fix="wait for it, or choose another -o") from None
        except OSError as error:
            log.warning("no file locks here (%s): start one training in %s at a time", error.strerror, folder)
        yield
    finally:
        os.close(handle)


def leave_nothing(folder: Path) -> None:
    """Remove MODEL when a run that failed before its start left only the lock in it."""
    if set(os.listdir(folder)) == {_LOCK}:
        (folder / _LOCK).unlink()
        folder.rmdir()


def _started_with(folder: Path, recipe: Mapping[str, Any], store: Mapping[str, Any]) -> None:
    """Refuse options or a store that differ from those the training was started with, naming the keys."""
    record = read_json(folder / TRAINING)
    if record.get("format") != FORMAT:
        raise InputError(f"{folder / TRAINING} has format {record.get('format')!r}, this version reads {FORMAT!r}")
    before, now = dict(flatten(record["recipe"])), dict(flatten(dict(recipe)))
    faults = [
        f"{key} = {now.get(key)!r} (was {before.get(key)!r})"
        for key in {**before, **now}
        if before.get(key) != now.get(key)
    ]
    if record["store"] != store["sha256"]:
        faults.append(f"store = sha256 {store['sha256'][:12]}… (was {record['store'][:12]}…)")
    if faults:
        raise UsageError(
            f"training in {folder} was started with other options: {', '.join(faults)}",
            fix="use the same options, or another -o",
        )


def begin(folder: Path, recipe: Mapping[str, Any], store: Mapping[str, Any]) -> None:
    """Note what this training is made from; later jobs are held to it once there is a checkpoint."""
    write_json(folder / TRAINING, {"format": FORMAT, "recipe": recipe, "store": store["sha256"]})


def prepare(folder: Path, *, recipe: Mapping[str, Any], store: Mapping[str, Any], resume: str) -> dict[str, Any]:
    """Decide what to do in MODEL, on rank 0 and under the lock.

    Parameters
    ----------
    recipe : as :func:`drg_hpc.training.config.recorded`
    store : description of STORE

    Returns
    -------
    ``{"action": "done" | "start" | "resume", "checkpoint": path or None}``

    Raises
    ------
    UsageError : the folder holds something else, or a training with other options
    CorruptError : a finished model whose files changed
    """
    present = set(os.listdir(folder)) - {STOP_FILE, _LOCK}
    if present and resume == "never":
        raise UsageError(f"{folder} is not empty and --resume is never", fix="choose another -o, or --resume auto")
    if not (folder / TRAINING).is_file():
        if present:
            raise UsageError(
                f"{folder} holds something else than a training: {', '.join(sorted(present)[:3])}",
                fix="choose another -o; nothing is overwritten",
            )
        return {"action": "start", "checkpoint": None}
    newest = newest_checkpoint(folder / CHECKPOINTS)
    if newest is None and not (folder / "done.json").is_file():
        if (folder / CHECKPOINTS).is_dir() or (folder / "damaged").is_dir():
            log.warning("%s has no checkpoint that can be used: training starts from the beginning", folder)
        return {"action": "start", "checkpoint": None}  # nothing to lose, whatever the options were
    _started_with(folder, recipe, store)
    if (folder / "done.json").is_file():
        if faults := output_faults(folder):
            fix = "restore it, or train into another -o"
            raise CorruptError(f"finished model in {folder}: {', '.join(faults)}", fix=fix)
        return {"action": "done", "checkpoint": None}
    return {"action": "resume", "checkpoint": str(newest)}
