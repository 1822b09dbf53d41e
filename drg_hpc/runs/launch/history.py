"""Why shards are missing, by what their tasks wrote down (and what Slurm remembers of tasks that could not)."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drg_hpc.config import ClusterFlags, megabytes_of, minutes_of
from drg_hpc.errors import EXIT_INPUT, EXIT_USAGE
from drg_hpc.runs import parts
from drg_hpc.runs.launch import scheduler
from drg_hpc.runs.launch.sbatch import LOGS
from drg_hpc.runs.launch.submission import FINISH, Submission, job_name
from drg_hpc.runs.merge import is_merged, is_reduced
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.spec import Stage

MEMORY, TIME, FAILED, INPUT, LOST, UNSTARTED = "memory", "time", "failed", "input", "lost", "unstarted"
FINAL = "failed for good"
_MEMORY_SIGNS = re.compile(r"ended with -9|\bMemoryError|(?<!CUDA )(?<!HIP )\bout of memory\b")
"""In messages of workers: killed (as the kernel does it when memory ends), or an error that says so itself. A GPU's
memory does not grow with the job's."""
_SLURM_SIGNS = re.compile(r"(?P<time>DUE TO TIME LIMIT)|exceeded memory limit|oom.?kill|out of memory", re.IGNORECASE)
_LOG_LINES = 6


@dataclass(frozen=True)
class Verdict:
    """Why a shard is missing.

    Parameters
    ----------
    reason : ``memory``, ``time``, ``failed`` (it raised an error), ``failed for good`` (the shard would do so again),
        ``input`` (the command's input or the node's set-up is at fault: the same again would end the same), ``lost``
        (its task was cancelled, preempted or its node died) or ``unstarted``
    message : in words
    task : stage task that had it
    """

    reason: str
    message: str
    task: int


def judge(plan: Plan, submission: Submission, stage: str, ids: list[int]) -> dict[int, Verdict]:
    """Why each of these shards is missing after a submission that had them; others are left out."""
    wanted, verdicts = set(ids), {}
    tasks = [
        (task, missing, submission.read_end(stage, task))
        for task, members in enumerate(submission.tasks.get(stage, []))
        if (missing := wanted.intersection(members))
    ]
    silent = [str(record.get("job")) for _, _, record in tasks if record and record.get("state") == "running"]
    states = scheduler.final_states(silent) if silent else {}
    for task, missing, record in tasks:
        common = Verdict(UNSTARTED, "its task never started", task)
        if record is not None:
            tail = _tail(_task_log(plan, submission, stage, record)) if record.get("state") == "running" else []
            common = _judge_task(record, task, told=states.get(str(record.get("job"))), tail=tail)
        failed = {} if record is None else record.get("failed") or {}
        final = [] if record is None else record.get("final") or []
        for shard in missing:
            why = failed.get(str(shard))
            reason = FINAL if shard in final else MEMORY if why and _MEMORY_SIGNS.search(why) else FAILED
            verdicts[shard] = Verdict(reason, str(why), task) if why else common
    return verdicts


def _judge_task(record: dict[str, Any], task: int, *, told: str | None, tail: list[str]) -> Verdict:
    state, message = str(record.get("state")), str(record.get("message", ""))
    if state == "running":  # it could not say how it ended
        told = told or "no word of its end"
        reason = {"OUT_OF_MEMORY": MEMORY, "TIMEOUT": TIME}.get(told, LOST)
        for line in tail:  # slurmstepd's word, which needs no accounting
            if "slurmstepd" in line and (found := _SLURM_SIGNS.search(line)):
                reason, told = (TIME if found["time"] else MEMORY), line.strip()
        return Verdict(reason, f"job {record.get('job')} on {record.get('host')}: {told}", task)
    if state in ("failed", "killed"):
        if _MEMORY_SIGNS.search(message):
            return Verdict(MEMORY, message, task)
        return Verdict(INPUT if record.get("code") in (EXIT_USAGE, EXIT_INPUT) else FAILED, message, task)
    return Verdict(TIME if state == "time" else LOST, message or state, task)


def judge_merges(plan: Plan, submission: Submission) -> dict[str, Verdict]:
    """Reductions between stages and the merge that ended for want of memory or time."""
    found = {}
    for stage in plan.stages:
        name = FINISH if stage is plan.stages[-1] else f"reduce.{stage.name}"
        done = is_merged(plan) if name == FINISH else is_reduced(plan, stage)
        record = None if done else submission.read_end(name, 0)
        if record is None:
            continue
        job = str(record.get("job"))
        told = scheduler.final_states([job]).get(job) if record.get("state") == "running" else None
        verdict = _judge_task(record, 0, told=told, tail=_tail(_job_log(plan, submission, name, job)))
        if verdict.reason in (MEMORY, TIME):
            found[name] = verdict
    return found


def grown(
    asked: ClusterFlags, had: ClusterFlags, reasons: set[str], *, keep: set[str], longest: int | None = None
) -> ClusterFlags:
    """The stated rule: twice the memory where a task ran out of it, twice the time where one ran out of that.

    Parameters
    ----------
    asked : settings without the plan's defaults
    had : with them, as the tasks had them
    keep : names of settings that a person has just given
    longest : minutes that the partition allows; time grows up to it once
    """
    more: dict[str, str] = {}
    if MEMORY in reasons and had.mem and "mem" not in keep:
        more["mem"] = f"{2 * (megabytes_of(had.mem) or 0)}M"
    if TIME in reasons and had.time and "time" not in keep:
        minutes = minutes_of(had.time) or 0
        more["time"] = str(longest if longest and minutes < longest < 2 * minutes else 2 * minutes)
    return asked.model_copy(update=more)


def last_lines(plan: Plan, submission: Submission, stage: Stage, shard: int, task: int) -> list[str]:
    """The last log lines of a shard: its own log where it wrote one, else that of its task."""
    own = sorted((plan.folder / "logs").glob(f"{stage.name}.{parts.part_name(shard)}.*.log"), key=_changed)
    record = submission.read_end(stage.name, task) or {}
    for path in [*own[-1:], _task_log(plan, submission, stage.name, record)]:
        if lines := _tail(path):
            return [f"{path}:", *(f"  {line}" for line in lines[-_LOG_LINES:])]
    return []


def _task_log(plan: Plan, submission: Submission, stage: str, record: dict[str, Any]) -> Path | None:
    """Where Slurm or submitit logged a task; None when nowhere."""
    job = record.get("job", "-")
    name = job_name(plan, submission.number, "work", stage).rpartition("-")[0]
    found = [*(plan.folder / LOGS).glob(f"{name}-*.{job}.log"), *submission.folder.glob(f"submitit/{job}_0_log.out")]
    return max(found, key=_changed, default=None)


def _job_log(plan: Plan, submission: Submission, name: str, job: str) -> Path | None:
    """Where the job of a reduction or of the merge logged."""
    role, stage = ("finish", FINISH) if name == FINISH else ("reduce", name.partition(".")[2])
    own = plan.folder / LOGS / f"{job_name(plan, submission.number, role, stage)}.{job}.log"
    found = [path for path in (own, submission.folder / f"submitit/{job}_0_log.out") if path.exists()]
    return found[0] if found else None


def _tail(path: Path | None) -> list[str]:
    if path is None:
        return []
    with open(path, errors="replace") as handle:
        return [line.rstrip() for line in deque(handle, 3 * _LOG_LINES)]


def _changed(path: Path) -> float:
    return path.stat().st_mtime
