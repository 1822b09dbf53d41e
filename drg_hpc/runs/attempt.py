"""One attempt at one shard: private folder with heartbeat, receipt, and a part that appears by one rename."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from drg_hpc import digests
from drg_hpc.errors import EXIT_FAILED, EXIT_INPUT, DrgError, InputError
from drg_hpc.files import disk_full, failpoint, fsync_dir, fsync_tree, read_json, write_json
from drg_hpc.log import shard_log
from drg_hpc.runs import parts, state
from drg_hpc.runs.bodies import is_resumable
from drg_hpc.runs.heartbeat import HEARTBEAT, STALE_S, beating, clock
from drg_hpc.runs.outputs import PLAN
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.signals import check_stop, signals_held
from drg_hpc.runs.spec import Attempt, Body, Shard, Stage

log = logging.getLogger(__name__)

_LOST = (errno.ENOTEMPTY, errno.EEXIST)


def claimed(plan: Plan, stage: Stage) -> set[int]:
    """Ids of shards that somebody is working on: an attempt with a fresh heartbeat.

    Without a place to read the file system's clock from, nothing counts as claimed: claims only save work.
    """
    attempts = parts.list_parts(plan, stage).attempts
    fresh: set[int] = set()
    if not attempts:
        return fresh
    try:
        now = clock(plan.folder / "logs")
    except OSError as error:
        log.debug("claims are not looked at: %s", error)
        return fresh
    for shard_id, folders in attempts.items():
        for folder in folders:
            try:
                if now - (folder / HEARTBEAT).stat().st_mtime < STALE_S:
                    fresh.add(shard_id)
            except FileNotFoundError:
                continue
    return fresh


def fails_for_good(error: Exception) -> bool:
    """Whether the same again would end the same for this shard, and means nothing for the others."""
    return isinstance(error, DrgError) and error.exit_code == EXIT_FAILED


def ends_run(error: Exception) -> bool:
    """Whether an error of one shard is a fault of the run, its input or this machine."""
    return isinstance(error, DrgError | ModuleNotFoundError) and not fails_for_good(error)


def describe_error(error: Exception) -> dict[str, Any]:
    """What a worker answers for a shard that raised: ``error`` ends the run; ``failed`` may be tried again, unless it
    is ``final``."""
    if isinstance(error, ModuleNotFoundError):
        fix = "run in the worker environment or the image, or pip install 'drg_hpc[run]'"
        return {"outcome": "error", "code": EXIT_INPUT, "message": f"{error.name} is not installed here; {fix}"}
    if fails_for_good(error):
        return {"outcome": "failed", "message": str(error), "final": True}
    if isinstance(error, DrgError):
        return {"outcome": "error", "code": error.exit_code, "message": str(error)}
    return {"outcome": "failed", "message": f"{type(error).__name__}: {error}"}


def do_shard(plan: Plan, stage: Stage, shard: Shard, *, body: Body, device: str) -> str:
    """Do one shard unless it is done. Returns ``present``, ``done``, or ``lost`` (another attempt was first).

    Raises
    ------
    DrgError : as the body raises; nothing of the attempt is left behind
    """
    stage_input = parts.stage_input_digest(plan, stage)
    target = parts.stage_folder(plan, stage) / parts.part_name(shard.id)
    if os.path.lexists(target) and _is_whole(plan, stage, shard, stage_input=stage_input):
        return "present"
    name = uuid.uuid4().hex
    folder = target.with_name(f".{target.name}.{name}")
    log_file = plan.folder / "logs" / f"{stage.name}.{target.name}.{name[:8]}.log"
    started = time.monotonic()
    attempt = Attempt(out=folder, device=device)
    try:
        if not (plan.folder / PLAN).exists():  # moved or removed meanwhile: nothing is rebuilt in its place
            raise InputError(f"the run is gone: {plan.folder}", fix="where it was moved to, drg-work goes on")
        folder.mkdir(parents=True)
        log_file.parent.mkdir(exist_ok=True)
        failpoint("attempt.created")
        with shard_log(log_file), _resumed(plan, shard, attempt, target) as wanted:
            if not wanted:
                return "present"
            with _faults_logged(stage, shard, folder), beating(folder):
                body.work(stage.name, shard, attempt)
                check_stop()
                facts = {"seconds": round(time.monotonic() - started, 3), "notes": attempt.notes, "device": device}
                failpoint("files.written")
                receipt = _receipt(
                    plan, stage, shard, attempt=name, stage_input=stage_input, facts=facts, folder=folder
                )
            outcome = _publish(folder, target, receipt)
            if attempt.state is not None:
                state.drop(plan, shard.id)
            return outcome
    except OSError as error:
        raise disk_full(error, folder) or error from None
    finally:
        with signals_held():  # a no-op after the rename; otherwise the attempt failed, lost, or was stopped
            shutil.rmtree(folder, ignore_errors=True)


def _is_whole(plan: Plan, stage: Stage, shard: Shard, *, stage_input: str | None) -> bool:
    """Whether a part that is there is as its receipt says; one that is not is set aside."""
    fault = parts.find_fault(plan, stage, shard, stage_input=stage_input, hashes=False)
    if fault is None:
        return True
    moved = parts.set_aside(plan, stage, shard, fault)
    if moved is not None:
        log.warning("shard %d of %s is damaged (%s): set aside as %s", shard.id, stage.name, fault, moved)
    return False


@contextmanager
def _faults_logged(stage: Stage, shard: Shard, folder: Path) -> Iterator[None]:
    """What went wrong goes into the attempt's log; a full disk becomes one line."""
    try:
        yield
    except DrgError as error:
        if fails_for_good(error):
            log.error("shard %d of %s failed for good: %s", shard.id, stage.name, error)
        raise
    except Exception as error:
        if (full := disk_full(error, folder)) is not None:
            raise full from None
        log.exception("shard %d of %s failed", shard.id, stage.name)
        raise


@contextmanager
def _resumed(plan: Plan, shard: Shard, attempt: Attempt, target: Path) -> Iterator[bool]:
    """Give the attempt the state of its shard where the command has one; False when the shard was done meanwhile."""
    if not is_resumable(plan):
        yield True
        return
    with ExitStack() as stack:
        with beating(attempt.out):  # it may wait for long
            attempt.state = stack.enter_context(state.hold(plan, shard, done=lambda: os.path.lexists(target)))
        yield attempt.state is not None


def _receipt(
    plan: Plan,
    stage: Stage,
    shard: Shard,
    *,
    attempt: str,
    stage_input: str | None,
    facts: dict[str, Any],
    folder: Path,
) -> dict[str, Any]:
    with ThreadPoolExecutor(1) as pool:  # the disk is flushed while the files are hashed
        flushed = pool.submit(fsync_tree, folder)
        files = parts.describe_attempt(folder)
        flushed.result()
    receipt = {
        "attempt": attempt,
        "plan": plan.digest,
        "stage": stage.name,
        "stage_input": stage_input,
        "shard": shard.id,
        "rows": shard.rows,
        "files": files,
        "host": socket.gethostname(),
        "versions": digests.versions(),
        **facts,
    }
    write_json(folder / parts.RECEIPT, receipt)  # synced with its folder, like the files before it
    return receipt


def _publish(folder: Path, target: Path, receipt: dict[str, Any]) -> str:
    failpoint("rename.before")
    try:
        os.rename(folder, target)
    except OSError as error:
        # NFS may report failure after success: the receipt in place says who won.
        outcome = _outcome_of_failed_rename(target, receipt)
        if outcome is None:
            raise
        if outcome == "lost" and error.errno not in _LOST:
            log.warning("rename of %s reported %s, but another attempt is in place", folder.name, error)
        if outcome == "lost":
            return outcome
    failpoint("rename.after")
    fsync_dir(target.parent)
    failpoint("parent.synced")
    return "done"


def _outcome_of_failed_rename(target: Path, receipt: dict[str, Any]) -> str | None:
    if target.is_symlink():
        raise InputError(f"part is a symbolic link: {target}", fix="remove it; parts are never links")
    try:
        winner = read_json(target / parts.RECEIPT)
    except DrgError:
        return None
    if winner["attempt"] == receipt["attempt"]:
        return "done"
    if parts.content_digest(winner) != parts.content_digest(receipt):
        log.warning(
            "two attempts at shard %d of %s gave different bytes (%s on %s, %s on %s): the first one is kept",
            receipt["shard"], receipt["stage"], winner["attempt"][:8], winner["host"],
            receipt["attempt"][:8], receipt["host"],
        )  # fmt: skip
    return "lost"
