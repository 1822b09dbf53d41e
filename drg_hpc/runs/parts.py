"""Finished shards on disk: names, receipts, checks. Truth is here, never in a scheduler's answer."""

from __future__ import annotations

import os
import re
import stat
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drg_hpc.digests import digest
from drg_hpc.errors import DrgError, UsageError
from drg_hpc.files import describe_files, fsync_dir, read_json, sha256_file, walk_files
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.spec import Part, Shard, Stage

RECEIPT = "receipt.json"
HEARTBEAT = ".heartbeat"
_PART = re.compile(r"\d{5,}")
_ATTEMPT = re.compile(r"\.(\d{5,})\.([0-9a-f]{32})")


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
            if _PART.fullmatch(entry.name):
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


def find_fault(plan: Plan, stage: Stage, shard: Shard, *, stage_input: str | None, hashes: bool) -> str | None:
    """Why a part is not fit for use, or None.

    Parameters
    ----------
    stage_input : :func:`stage_input_digest` of the stage
    hashes : read every byte; otherwise presence, sizes and the receipt are checked
    """
    folder = stage_folder(plan, stage) / part_name(shard.id)
    if stat.S_ISLNK(folder.lstat().st_mode):
        return "it is a symbolic link"
    try:
        receipt = read_json(folder / RECEIPT)
        files = dict(receipt["files"])
        if receipt["plan"] != plan.digest:
            return "its receipt belongs to another plan"
        if (receipt["stage"], receipt["shard"]) != (stage.name, shard.id):
            return "its receipt belongs to another shard"
        if receipt["stage_input"] != stage_input:
            return "it was made from another result of the stage before"
        return _file_fault(folder, files, hashes=hashes)
    except (DrgError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        return f"its receipt cannot be read ({error})"


def _file_fault(folder: Path, files: dict[str, dict[str, Any]], *, hashes: bool) -> str | None:
    present = set(walk_files(folder)) - {RECEIPT}
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


def set_aside(plan: Plan, stage: Stage, shard: Shard) -> Path:
    """Move a damaged part to RUN/damaged; the shard is then missing."""
    source = stage_folder(plan, stage) / part_name(shard.id)
    target = plan.folder / "damaged" / f"{stage.name}.{part_name(shard.id)}.{uuid.uuid4().hex[:8]}"
    target.parent.mkdir(exist_ok=True)
    os.rename(source, target)
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
