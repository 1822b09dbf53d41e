"""Finished shards on disk: names, receipts, checks. Truth is here, never in a scheduler's answer."""

from __future__ import annotations

import errno
import os
import re
import stat
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from drg_hpc.digests import digest
from drg_hpc.errors import DrgError, InputError, UsageError
from drg_hpc.files import describe_files, fsync_dir, read_json, sha256_file, walk_files
from drg_hpc.runs.heartbeat import HEARTBEAT
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.spec import Part, Shard, Stage

RECEIPT = "receipt.json"
_RECEIPT_FIELDS = {
    "attempt": str, "files": dict, "rows": int, "host": str, "versions": dict, "notes": dict, "device": str,
    "seconds": int | float,
}  # fmt: skip
_PART = re.compile(r"[0-9]{5,}")
_ATTEMPT = re.compile(r"\.([0-9]{5,})\.([0-9a-f]{32})")


def part_name(shard_id: int) -> str:
    """Folder name of a shard: at least five digits."""
    return f"{shard_id:05d}"


def stage_folder(plan: Plan, stage: Stage) -> Path:
    """Where the parts of a stage appear."""
    return plan.folder / "parts" / stage.name


@dataclass(frozen=True)
class Listing:
    """One look at a stage's folder: finished ids, links (refused), and attempts under way by id."""

    done: set[int]
    links: set[int]
    attempts: dict[int, list[Path]]


def list_parts(plan: Plan, stage: Stage) -> Listing:
    """One directory listing; nothing is opened."""
    done: set[int] = set()
    links: set[int] = set()
    attempts: dict[int, list[Path]] = {}
    folder = stage_folder(plan, stage)
    if not folder.is_dir():
        return Listing(done, links, attempts)
    with os.scandir(folder) as entries:
        for entry in entries:
            if _PART.fullmatch(entry.name) and entry.name == part_name(int(entry.name)):
                (links if entry.is_symlink() else done).add(int(entry.name))
            elif match := _ATTEMPT.fullmatch(entry.name):
                attempts.setdefault(int(match[1]), []).append(Path(entry.path))
    planned = {shard.id for shard in stage.shards}
    return Listing(done & planned, links & planned, attempts)


def missing_shards(plan: Plan, stage: Stage) -> list[Shard]:
    """Shards of a stage that have no part (a link is none), in order."""
    listing = list_parts(plan, stage)
    return [shard for shard in stage.shards if shard.id not in listing.done]


def content_digest(receipt: dict[str, Any]) -> str:
    """Digest of what a part holds, whoever made it."""
    return digest({name: record["sha256"] for name, record in receipt["files"].items()})


class Fault(NamedTuple):
    """Why a part is not fit for use, and which folder was judged (its inode)."""

    why: str
    inode: int

    def __str__(self) -> str:
        return self.why


def find_fault(plan: Plan, stage: Stage, shard: Shard, *, stage_input: str | None, hashes: bool) -> Fault | None:
    """Why a part is not fit for use, or None.

    Parameters
    ----------
    stage_input : :func:`stage_input_digest` of the stage
    hashes : read every byte; otherwise presence, sizes and the receipt are checked

    Raises
    ------
    InputError : the part cannot be looked at (permission, file system): that says nothing about what it holds
    """
    folder = stage_folder(plan, stage) / part_name(shard.id)
    status = folder.lstat()
    if stat.S_ISLNK(status.st_mode):
        return Fault("it is a symbolic link", status.st_ino)
    expected = {"plan": plan.digest, "stage": stage.name, "shard": shard.id, "stage_input": stage_input}
    try:
        receipt = read_json(folder / RECEIPT)
        why = _receipt_fault(receipt, expected) or _file_fault(folder, receipt["files"], hashes=hashes)
    except DrgError as error:
        why = f"its receipt cannot be read ({error})"
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP):
            raise InputError(f"cannot read part {folder}: {error.strerror}", fix="check permissions") from None
        why = f"{error.filename} is not there"
    return Fault(why, status.st_ino) if why else None


def _receipt_fault(receipt: Any, expected: dict[str, Any]) -> str | None:
    """Receipts are JSON from a shared disk: nothing about them is taken for granted."""
    if not isinstance(receipt, dict):
        return "its receipt is not a table"
    for key, kind in _RECEIPT_FIELDS.items():
        if not isinstance(receipt.get(key), kind):
            return f"its receipt lacks {key!r}"
    files = receipt["files"].values()
    if not all(isinstance(r, dict) and isinstance(r.get("bytes"), int) and "sha256" in r for r in files):
        return "its receipt has no sizes and checksums"
    for key, value in expected.items():
        if receipt.get(key) != value:
            return f"its receipt belongs to another {key.replace('_', ' ')}"
    return None


def _file_fault(folder: Path, files: dict[str, dict[str, Any]], *, hashes: bool) -> str | None:
    present = set(walk_files(folder)) - {RECEIPT, HEARTBEAT}
    if present != set(files):
        odd = sorted(present ^ set(files))
        return f"{odd[0]} is {'missing' if odd[0] in files else 'not in its receipt'}"
    for name, record in files.items():
        path = folder / name
        if path.is_symlink():
            return f"{name} is a symbolic link"
        size = path.stat().st_size
        if size != record["bytes"]:
            return f"{name} has {size} bytes, its receipt says {record['bytes']}"
        if hashes and sha256_file(path) != record["sha256"]:
            return f"{name} does not match its sha256"
    return None


def stage_input_digest(plan: Plan, stage: Stage) -> str | None:
    """sha256 of the reduced file a stage starts from; None for the first stage."""
    path = plan.stage_file(stage)
    return None if path is None else sha256_file(path)


def load_part(plan: Plan, stage: Stage, shard: Shard) -> Part:
    """A part with its receipt; check it with :func:`find_fault` first."""
    folder = stage_folder(plan, stage) / part_name(shard.id)
    return Part(shard, folder, read_json(folder / RECEIPT))


def set_aside(plan: Plan, stage: Stage, shard: Shard, fault: Fault) -> Path | None:
    """Move a damaged part to RUN/damaged; the shard is then missing.

    Returns None when the part that was judged is no longer there: somebody else has moved or replaced it.
    """
    source = stage_folder(plan, stage) / part_name(shard.id)
    target = plan.folder / "damaged" / f"{stage.name}.{part_name(shard.id)}.{uuid.uuid4().hex[:8]}"
    target.parent.mkdir(exist_ok=True)
    try:
        if source.lstat().st_ino != fault.inode:
            return None
        os.rename(source, target)
    except FileNotFoundError:
        return None
    fsync_dir(source.parent)
    return target


def describe_attempt(folder: Path) -> dict[str, dict[str, Any]]:
    """Files of an attempt with bytes and sha256 (its heartbeat is not part of it)."""
    return {name: record for name, record in describe_files(folder).items() if name not in (HEARTBEAT, RECEIPT)}


def format_ids(ids: list[int]) -> str:
    """``[3, 17, 18, 19]`` -> ``3,17-19``."""
    runs: list[list[int]] = []
    for number in sorted(ids):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in runs)


def parse_ids(text: str, stage: Stage) -> list[Shard]:
    """``3,17-19`` -> the shards of ``stage``.

    Raises
    ------
    UsageError : not such a list, or an id the stage does not have
    """
    chosen: set[int] = set()
    for item in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", item)
        if not match:
            raise UsageError(f"--shards {text!r}: {item!r} is not a number or a range", fix="write it like 3,17-21")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UsageError(f"--shards {text!r}: {item.strip()!r} runs backwards")
        if last >= len(stage.shards):
            raise UsageError(
                f"--shards {text!r}: stage {stage.name!r} has shards 0 to {len(stage.shards) - 1}, not {last}"
            )
        chosen.update(range(first, last + 1))
    return [stage.shards[number] for number in sorted(chosen)]
