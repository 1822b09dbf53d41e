"""What one job runs: ``python -m drg_hpc.runs.launch.task RUN NUMBER work|reduce|finish STAGE FIRST``.

A task works through its line of the id list with local worker processes, and writes down how it ended, so that nothing
depends on what Slurm remembers. It puts itself back into the queue after a signal, at most :data:`REQUEUES` times.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from drg_hpc import log as logs
from drg_hpc.config import minutes_of
from drg_hpc.errors import EXIT_BUG, EXIT_CORRUPT, EXIT_FAILED, EXIT_INCOMPLETE, EXIT_STOPPED, DrgError, Stopped
from drg_hpc.files import write_json
from drg_hpc.runs import parts
from drg_hpc.runs.image import Inside, forwarded
from drg_hpc.runs.launch import scheduler
from drg_hpc.runs.launch.local import work_local
from drg_hpc.runs.launch.sbatch import grace_s
from drg_hpc.runs.launch.submission import FINISH, Submission, read_submission
from drg_hpc.runs.merge import is_reduced
from drg_hpc.runs.plan import Plan, environment_for, read_plan
from drg_hpc.runs.signals import check_stop, stop_on_signals
from drg_hpc.runs.site import node_scratch
from drg_hpc.runs.spec import Shard, Stage

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
    write_json(
        submission.record_path(stage, task),
        {"job": job_id(), "host": os.environ.get("SLURMD_NODENAME") or socket.gethostname(), **fields},
    )


def run_task(run: str, number: int, stage_name: str, task: int) -> int:
    """Do one task's shards; returns the exit code."""
    plan = read_plan(Path(run))
    submission = read_submission(plan, number)
    stage = plan.stage(stage_name)
    ids = submission.tasks[stage_name][task]
    _write_end(submission, stage_name, task, state="running")
    started = time.monotonic()
    before = parts.list_parts(plan, stage).done
    todo = [stage.shards[i] for i in ids if i not in before]
    log.info("task %d of %s: shards %s, %d to do", task, stage_name, parts.format_ids(ids), len(todo))
    failed: dict[int, str] = {}
    code, state, message = 0, "done", ""
    try:
        with stop_on_signals():
            _require_input(plan, stage)
            failed = _work(plan, stage, todo, submission)
            check_stop()
    except Stopped as error:
        finished = len(parts.list_parts(plan, stage).done - before) > 0
        code, message = EXIT_STOPPED, error.what
        at_limit = _at_limit(submission, time.monotonic() - started)
        state = "time" if "USR1" in message and at_limit and not finished else "stopped"
    except DrgError as error:
        code, state, message = error.exit_code, "failed", str(error)
    if failed:
        code, state = EXIT_FAILED, "failed"
        message = f"shards {parts.format_ids(list(failed))} failed on every try"
    _write_end(
        submission, stage_name, task, state=state, code=code, message=message,
        failed={str(shard): why for shard, why in failed.items()},
    )  # fmt: skip
    if code:
        log.error("%s", message)
    if state == "stopped" and "USR" in message:
        _requeue(job_id())
    return code


def _work(plan: Plan, stage: Stage, todo: list[Shard], submission: Submission) -> dict[int, str]:
    if not todo:
        return {}
    workers = None if submission.settings.gpus else submission.workers  # with GPUs: one for each
    return work_local(plan, stage, todo, workers=workers, device=submission.device, inside=_inside(plan, submission))


def _inside(plan: Plan, submission: Submission) -> Inside | None:
    settings = submission.settings
    if settings.image is None:
        return None
    return Inside.of(plan, image=settings.image, binds=settings.bind, scratch=node_scratch())


def _require_input(plan: Plan, stage: Stage) -> None:
    index = plan.stages.index(stage)
    if index and not is_reduced(plan, plan.stages[index - 1]):
        raise DrgError(f"stage {plan.stages[index - 1].name} is not complete", fix="drg-submit submits what is missing")


def _at_limit(submission: Submission, seconds: float) -> bool:
    """Whether a signal after so many seconds may be that of the time limit."""
    minutes = minutes_of(submission.settings.time or "")
    return minutes is not None and seconds >= minutes * 60 - grace_s(submission.settings) - _EARLY_S


def _requeue(job: str) -> None:
    lives = int(os.environ.get("SLURM_RESTART_COUNT") or 0)
    if not job or lives >= REQUEUES:
        log.error("stopped in life %d; not put back into the queue", lives + 1)
        return
    log.info("stopped in life %d: back into the queue", lives + 1)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    scheduler.requeue(job)


def _merge_child(plan: Plan, inside: Inside | None, *stage: str) -> int:
    """Merge (or reduce a stage) in a process of its own; its exit code, negative when a signal ended it."""
    command = ["-P", "-m", "drg_hpc.runs.merger", str(plan.folder), *stage]
    environment = os.environ | environment_for(plan.threads)
    if inside is None:
        command = [sys.executable, *command]
    else:
        command = inside.wrap(["python", *command])
        environment |= forwarded(environment)
    with subprocess.Popen(command, env=environment) as child:
        try:
            with stop_on_signals():
                return child.wait()
        except Stopped:
            child.terminate()
            child.wait()
            raise


def _run_child(submission: Submission, stage: str, call: Callable[[], int]) -> int:
    _write_end(submission, stage, 0, state="running")
    try:
        code = call()
    except Stopped as error:
        _write_end(submission, stage, 0, state="stopped", code=EXIT_STOPPED, message=error.what, failed={})
        if "USR" in error.what:
            _requeue(job_id())
        return EXIT_STOPPED
    state = "done" if code == 0 else "killed" if code < 0 else "failed"
    _write_end(submission, stage, 0, state=state, code=code, message=f"ended with {code}", failed={})
    return code


def run_reduce(run: str, number: int, stage: str) -> int:
    """Write the file that the next stage starts from; returns the exit code."""
    plan = read_plan(Path(run))
    submission = read_submission(plan, number)
    code = _run_child(submission, f"reduce.{stage}", lambda: _merge_child(plan, _inside(plan, submission), stage))
    return EXIT_BUG if code < 0 else code


def run_finish(run: str, number: int) -> int:
    """Merge; where something is missing, submit it again within the stated number of rounds.

    Returns 0 when the run is merged, 4 when something is missing (submitted again, or not), 6 when it will stay so.
    """
    from drg_hpc.runs.launch.chain import submit_again

    plan = read_plan(Path(run))
    submission = read_submission(plan, number)
    code = _run_child(submission, FINISH, lambda: _merge_child(plan, _inside(plan, submission)))
    if code in (0, EXIT_STOPPED):
        return code
    if code > 0 and code not in (EXIT_INCOMPLETE, EXIT_CORRUPT):
        return code  # bad input, or a bug: the same again would end the same
    try:
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


def call_task(arguments: Sequence[str], index: int) -> None:
    """:func:`run_call` for submitit: the exit code becomes the job's."""
    if code := run_call(arguments, index):
        raise SystemExit(code)


if __name__ == "__main__":
    sys.exit(run_call(sys.argv[1:], int(os.environ.get("SLURM_ARRAY_TASK_ID", 0))))
