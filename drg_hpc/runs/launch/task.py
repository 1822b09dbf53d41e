"""What one job runs: ``python -m drg_hpc.runs.launch.task RUN NUMBER work|reduce|finish STAGE FIRST``.

A task works through its line of the id list with local worker processes, and writes down how it ended, so that nothing
depends on what Slurm remembers. It puts itself back into the queue after a signal, at most :data:`REQUEUES` times.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drg_hpc import log as logs
from drg_hpc.config import minutes_of
from drg_hpc.errors import (
    EXIT_BUG,
    EXIT_CORRUPT,
    EXIT_FAILED,
    EXIT_INCOMPLETE,
    EXIT_INPUT,
    EXIT_STOPPED,
    DrgError,
    IncompleteError,
    Stopped,
)
from drg_hpc.files import disk_full, write_json
from drg_hpc.runs import parts
from drg_hpc.runs.bodies import is_resumable
from drg_hpc.runs.image import Inside, run_merger
from drg_hpc.runs.launch import scheduler
from drg_hpc.runs.launch.local import work_local
from drg_hpc.runs.launch.sbatch import grace_s
from drg_hpc.runs.launch.submission import FINISH, Submission, read_submission
from drg_hpc.runs.merge import is_reduced
from drg_hpc.runs.plan import Plan, read_plan
from drg_hpc.runs.signals import check_stop, signals_held, stop_on_signals
from drg_hpc.runs.site import node_scratch
from drg_hpc.runs.spec import Shard, Stage
from drg_hpc.runs.work import Failed

log = logging.getLogger("drg_hpc.runs.launch.task")  # run as a script, this module is called __main__

REQUEUES = 10
"""How often a task puts itself back into the queue after USR1 or USR2."""

_EARLY_S = 75
"""Slurm may send the signal of the time limit up to a minute early."""


def job_id() -> str:
    """This job as Slurm's commands take it: ``12_3`` in an array."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ.get("SLURM_JOB_ID", "")


def _write_end(submission: Submission, stage: str, task: int, **fields: Any) -> None:
    record = {"job": job_id(), "host": os.environ.get("SLURMD_NODENAME") or socket.gethostname(), **fields}
    try:
        write_json(submission.record_path(stage, task), record)
    except OSError as error:
        if fields["state"] != "running":
            raise
        log.warning("%s is not written down as running: %s", job_id(), error)


def run_task(run: str, number: int, stage_name: str, task: int) -> int:
    """Do one task's shards; returns the exit code."""
    plan = read_plan(Path(run))
    submission = read_submission(plan, number)
    stage = plan.stage(stage_name)
    ids = submission.tasks[stage_name][task]
    _write_end(submission, stage_name, task, state="running")
    before = parts.list_parts(plan, stage).done
    todo = [stage.shards[i] for i in ids if i not in before]
    log.info("task %d of %s: shards %s, %d to do", task, stage_name, parts.format_ids(ids), len(todo))
    failed: dict[int, Failed] = {}
    code, state, message = 0, "done", ""
    try:
        with stop_on_signals():
            _require_input(plan, stage)
            failed = _work(plan, stage, todo, submission)
            check_stop()
    except Stopped as error:
        # What a shard of a resumable command has come to is kept: its next life goes on from there.
        finished = is_resumable(plan) or not (parts.list_parts(plan, stage).done - before).isdisjoint(ids)
        code, message = EXIT_STOPPED, error.what
        state = "time" if _at_limit(submission, message) and not finished else "stopped"
    except DrgError as error:
        code, state, message = error.exit_code, "failed", str(error)
    if failed:
        code, state = EXIT_FAILED, "failed"
        message = f"shards {parts.format_ids(list(failed))} failed"
    _write_end(
        submission, stage_name, task, state=state, code=code, message=message,
        failed={str(shard): why.message for shard, why in failed.items()},
        final=sorted(shard for shard, why in failed.items() if why.final),
    )  # fmt: skip
    if code:
        log.error("%s", message)
    if state == "stopped" and "USR" in message:
        _requeue(job_id())
    return code


def _work(plan: Plan, stage: Stage, todo: list[Shard], submission: Submission) -> dict[int, Failed]:
    if not todo:
        return {}
    device = submission.device
    if submission.settings.gpus and device == "auto":
        device = "cuda"  # a job that asked for GPUs and sees none must not run on the CPU for hours
    workers = submission.workers
    return work_local(plan, stage, todo, workers=workers, device=device, inside=_inside(plan, submission))


def _inside(plan: Plan, submission: Submission) -> Inside | None:
    settings = submission.settings
    if settings.image is None:
        return None
    return Inside.of(plan, image=settings.image, binds=settings.bind, scratch=node_scratch())


def _require_input(plan: Plan, stage: Stage) -> None:
    index = plan.stages.index(stage)
    if index and not is_reduced(plan, plan.stages[index - 1]):
        raise IncompleteError(
            f"stage {plan.stages[index - 1].name} is not complete", fix="drg-submit submits what is missing"
        )


def _at_limit(submission: Submission, message: str) -> bool:
    """Whether what stopped this job may be the warning of its time limit."""
    minutes = minutes_of(submission.settings.time or "")
    if minutes is None or "USR1" not in message:
        return False
    return _age_s() >= minutes * 60 - grace_s(submission.settings) - _EARLY_S


def _age_s() -> float:
    """Seconds since this life of the job began, its set-up included."""
    if began := os.environ.get("SLURM_JOB_START_TIME"):  # newer Slurm
        return time.time() - float(began)
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])  # once the job's shell
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def _requeue(job: str) -> None:
    lives = int(os.environ.get("SLURM_RESTART_COUNT") or 0)
    if not job or lives >= REQUEUES:
        log.error("stopped in life %d; not put back into the queue", lives + 1)
        return
    log.info("stopped in life %d: back into the queue", lives + 1)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    scheduler.requeue(job)


def _merge(plan: Plan, submission: Submission, name: str, stage: Stage | None = None) -> int:
    """Merge, or reduce a stage, and write down under ``name`` how it ended; the exit code."""
    _write_end(submission, name, 0, state="running")
    try:
        with stop_on_signals():
            code = run_merger(plan, _inside(plan, submission), stage)
    except Stopped as error:
        late = _at_limit(submission, error.what)
        state = "time" if late else "stopped"
        _write_end(submission, name, 0, state=state, code=EXIT_STOPPED, message=error.what, failed={})
        if late:  # the same again would end the same
            return EXIT_INCOMPLETE
        if "USR" in error.what:
            _requeue(job_id())
        return EXIT_STOPPED
    state = "done" if code == 0 else "killed" if code < 0 else "failed"
    _write_end(submission, name, 0, state=state, code=code, message=f"ended with {code}", failed={})
    return code


def run_reduce(run: str, number: int, stage: str) -> int:
    """Write the file that the next stage starts from; returns the exit code."""
    plan = read_plan(Path(run))
    submission = read_submission(plan, number)
    code = _merge(plan, submission, f"reduce.{stage}", plan.stage(stage))
    return EXIT_BUG if code < 0 else code


def run_finish(run: str, number: int) -> int:
    """Merge; where something is missing, submit it again within the stated number of rounds.

    Returns 0 when the run is merged, 4 when something is missing (submitted again, or not), 6 when it will stay so.
    """
    from drg_hpc.runs.launch.again import submit_again

    plan = read_plan(Path(run))
    submission = read_submission(plan, number)
    code = _merge(plan, submission, FINISH)
    if code in (0, EXIT_STOPPED):
        return code
    if code > 0 and code not in (EXIT_INCOMPLETE, EXIT_CORRUPT):
        return code  # bad input, or a bug: the same again would end the same
    try:
        with signals_held():  # half a chain would run on without a merge
            return submit_again(plan, submission, own_job=job_id())
    except DrgError as error:
        log.error("%s", error)
        return error.exit_code


def run_call(arguments: Sequence[str], index: int) -> int:
    """Do what a job was submitted for; returns the exit code.

    Parameters
    ----------
    arguments : run folder, number of the submission, role, stage, first task of the array
    index : of this task in the array
    """
    run, number, role, stage, first = arguments
    logs.setup()
    try:
        if role == "work":
            return run_task(run, int(number), stage, int(first) + index)
        if role == "reduce":
            return run_reduce(run, int(number), stage)
        return run_finish(run, int(number))
    except DrgError as error:
        log.error("%s", error)
        return error.exit_code
    except OSError as error:  # a full disk, most likely
        log.error("%s", disk_full(error, Path(run)) or error)
        return EXIT_INPUT


def call_task(arguments: Sequence[str], index: int) -> None:
    """:func:`run_call` for submitit: the exit code becomes the job's."""
    if code := run_call(arguments, index):
        raise SystemExit(code)


if __name__ == "__main__":
    sys.exit(run_call(sys.argv[1:], int(os.environ.get("SLURM_ARRAY_TASK_ID", 0))))
