"""Submit what is missing of a run: one array a stage, the next stage after it, and a merge that ends the chain.

The rules, the same for every launcher that talks to Slurm:

- Arrays hold the shards that have no part and that no queued or running job of the run holds (by the names in squeue).
- Between stages a small job reduces; the next array starts when it ended well. The merge starts when everything has
  ended, however it ended. Where something is missing it submits that again (twice, unless ``--retries`` says more or
  less), with twice the memory where a task ran out of memory and twice the time where one ran out of time, and exits 4;
  after the last round it names the shards with their last log lines and exits 6. Bad input is not submitted again.
- A task that is told to stop (USR1, USR2, the time limit) puts itself back into the queue, at most ten times, unless
  its whole time was not enough for one shard.
"""

from __future__ import annotations

import logging
import os
import shlex
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from drg_hpc.config import ClusterFlags
from drg_hpc.errors import EXIT_FAILED, EXIT_INCOMPLETE, EXIT_INPUT
from drg_hpc.files import read_json
from drg_hpc.runs import parts
from drg_hpc.runs.bodies import uses_gpu
from drg_hpc.runs.image import check_image
from drg_hpc.runs.launch import history, scheduler
from drg_hpc.runs.launch.sbatch import Job
from drg_hpc.runs.launch.submission import (
    FINISH,
    Submission,
    check_place,
    create,
    job_name,
    pack,
    parse_job_name,
    run_key,
    submissions,
    submitting,
)
from drg_hpc.runs.merge import is_merged, is_reduced
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.spec import Stage

log = logging.getLogger(__name__)

RETRIES = 2
TASK_S = 300.0
"""Shards are packed so that a task takes about this long, where a shard's time is known."""
MAX_TASKS = 5000
"""Tasks of a stage, at most: schedulers refuse more than some thousand jobs."""
_TIME = "1:00:00"
_MIB = 1 << 20


class Launcher(Protocol):
    """Who hands jobs to Slurm."""

    name: str

    def submit(self, job: Job, submission: Submission) -> str:
        """Submit a job; returns its id."""


@dataclass
class Queued:
    """Jobs of a run that Slurm holds now."""

    shards: dict[str, set[int]] = field(default_factory=dict)
    work: dict[str, list[str]] = field(default_factory=dict)
    reduce: dict[str, list[str]] = field(default_factory=dict)
    finish: dict[str, str] = field(default_factory=dict)  # id -> state

    def any(self) -> bool:
        """Whether there are any."""
        return bool(self.work or self.reduce or self.finish)


@dataclass
class Submitted:
    """What a submission came to."""

    submission: Submission | None
    jobs: dict[str, str] = field(default_factory=dict)  # name -> id
    shards: int = 0
    queued: int = 0
    merge: str | None = None


def queued(plan: Plan, *, own_job: str | None = None) -> Queued:
    """Ask squeue for this run's jobs; ``own_job`` (who asks) is left out."""
    known = {each.number: each for each in submissions(plan)}
    found = Queued()
    for job, index, state, name in scheduler.queued_jobs():
        words = parse_job_name(name)
        submission = known.get(int(words["number"])) if words and words["key"] == run_key(plan) else None
        if words is None or submission is None or job == own_job:
            continue
        stage = words["stage"]
        if words["role"] == "finish":
            found.finish[job] = state
        elif words["role"] == "reduce":
            found.reduce.setdefault(stage, []).append(job)
        else:
            held = submission.tasks[stage]
            first = int(words["first"])
            tasks = [int(index) + first] if index.isdigit() else range(first, len(held))
            found.shards.setdefault(stage, set()).update(i for task in tasks for i in held[task])
            if job not in found.work.setdefault(stage, []):
                found.work[stage].append(job)
    return found


def complete_settings(settings: ClusterFlags, plan: Plan, *, workers: int | None) -> tuple[ClusterFlags, int]:
    """Settings with the defaults that follow from the plan, and the number of workers of a task."""
    gpus = (settings.gpus or 0) if uses_gpu(plan) else 0  # a site may ask for one by default
    workers = gpus or workers or max(1, (settings.cpus or 0) // plan.threads)
    memory = -(-plan.estimate.memory * workers * 3 // (2 * _MIB)) + 256
    filled = {
        "gpus": gpus,
        "cpus": settings.cpus or plan.threads * workers,
        "mem": settings.mem or f"{max(512, memory)}M",
        "time": settings.time or _TIME,
    }
    return settings.model_copy(update=filled), workers


def _measured_s(plan: Plan, stage: Stage) -> float | None:
    """Median seconds of a shard, from some receipts of this stage; None when there are none."""
    done = sorted(parts.list_parts(plan, stage).done)[:9]
    receipts = [read_json(parts.stage_folder(plan, stage) / parts.part_name(i) / parts.RECEIPT) for i in done]
    return statistics.median(float(r["seconds"]) for r in receipts) if receipts else None


def pack_size(count: int, *, settings: ClusterFlags, workers: int, shard_s: float | None) -> int:
    """Shards of a task."""
    size = settings.pack or (max(1, int(TASK_S * workers / max(shard_s, 0.01))) if shard_s else workers)
    return max(size, -(-count // MAX_TASKS))


def submit_missing(
    plan: Plan, launcher: Launcher, *, settings: ClusterFlags, device: str = "auto", workers: int | None = None,
    round_: int = 0, own_job: str | None = None, shard_s: Mapping[str, float] | None = None,
) -> Submitted:  # fmt: skip
    """Submit the shards of a run that are missing and that no job holds, and the merge after them.

    Parameters
    ----------
    settings : in force, without the plan's defaults
    own_job : id of the job that asks, whose end nothing must wait for
    shard_s : seconds of a shard by stage, where they were measured

    Raises
    ------
    InputError : Slurm does not answer or refuses; the folder is not fit
    """
    check_place(plan)
    if settings.image is not None:
        check_image(settings.image)
    settings, workers = complete_settings(settings, plan, workers=workers)
    with submitting(plan) as jobs:
        held = queued(plan, own_job=own_job)
        tasks: dict[str, list[list[int]]] = {}
        for stage in plan.stages:
            ids = [s.id for s in parts.missing_shards(plan, stage) if s.id not in held.shards.get(stage.name, ())]
            if ids:
                seconds = (shard_s or {}).get(stage.name) or _measured_s(plan, stage)
                size = pack_size(len(ids), settings=settings, workers=workers, shard_s=seconds)
                tasks[stage.name] = pack(ids, size)
        count = sum(len(ids) for lists in tasks.values() for ids in lists)
        if not count and (is_merged(plan) or held.finish):
            return Submitted(None, queued=sum(map(len, held.shards.values())))
        submission = create(
            plan,
            jobs,
            launcher=launcher.name,
            settings=settings,
            device=device,
            workers=workers,
            round_=round_,
            tasks=tasks,
        )
        result = submit_chain(plan, launcher, submission, held, array_size=scheduler.max_array_size())
        scheduler.cancel(job for job, state in held.finish.items() if state == "PENDING")  # the new merge replaces them
    result.shards, result.queued = count, sum(map(len, held.shards.values()))
    return result


def _job(plan: Plan, submission: Submission, role: str, stage: str, *, first: int = 0, tasks: int | None = None,
         after: str | None = None) -> Job:  # fmt: skip
    call = (str(plan.folder), str(submission.number), role, stage, str(first))
    name = job_name(plan, submission.number, role, stage, first)
    return Job(name, str(plan.folder), call, tasks=tasks, after=after, small=role != "work")


def submit_chain(plan: Plan, launcher: Launcher, submission: Submission, held: Queued, *, array_size: int) -> Submitted:
    """Submit the jobs of a submission in the order of their dependencies.

    Parameters
    ----------
    held : jobs of earlier submissions that this one's merge waits for too
    array_size : MaxArraySize; larger stages become several arrays with an offset, since the cap is on the index
    """
    result = Submitted(submission)

    def submit(job: Job) -> str:
        result.jobs[job.name] = launcher.submit(job, submission)
        return result.jobs[job.name]

    waits: list[str] = []
    gate: str | None = None  # what the next stage's array waits for
    for stage in plan.stages:
        lists = submission.tasks.get(stage.name, [])
        waits = list(held.work.get(stage.name, []))
        for first in range(0, len(lists), array_size):
            count = min(array_size, len(lists) - first)
            waits.append(submit(_job(plan, submission, "work", stage.name, first=first, tasks=count, after=gate)))
        if stage is plan.stages[-1]:
            continue
        gate = None
        if waits or held.reduce.get(stage.name) or not is_reduced(plan, stage):
            after = f"afterany:{':'.join(waits)}" if waits else None
            gate = f"afterok:{submit(_job(plan, submission, 'reduce', stage.name, after=after))}"
    last = [*waits, *([gate.partition(":")[2]] if gate else [])]
    after = f"afterany:{':'.join(last)}" if last else None
    result.merge = submit(_job(plan, submission, "finish", FINISH, after=after))
    return result


def launcher_for(name: str) -> Launcher:
    """The launcher of that name."""
    if name == "submitit":
        from drg_hpc.runs.launch.submitit import SubmititLauncher

        return SubmititLauncher()
    from drg_hpc.runs.launch.slurm import SlurmLauncher

    return SlurmLauncher()


def why_missing(plan: Plan) -> tuple[set[str], list[str]]:
    """Reasons why shards that were submitted are missing, and lines that name them with the ends of their logs."""
    reasons: set[str] = set()
    lines: list[str] = []
    past = submissions(plan)[::-1]
    for stage in plan.stages:
        left = [shard.id for shard in parts.missing_shards(plan, stage)]
        for submission in past:
            verdicts = history.judge(plan, submission, stage.name, left)
            reasons |= {verdict.reason for verdict in verdicts.values()}
            told = [
                (shard, verdict) for shard, verdict in sorted(verdicts.items()) if verdict.reason != history.UNSTARTED
            ]
            for shard, verdict in told[:5]:
                lines.append(f"shard {shard} of {stage.name}: {verdict.reason}: {verdict.message}")
                lines += history.last_lines(plan, submission, stage, shard, verdict.task)
            left = [shard for shard in left if shard not in verdicts]
    return reasons, lines


def submit_again(plan: Plan, before: Submission, *, own_job: str) -> int:
    """What the merge job does when something is missing; returns its exit code."""
    reasons, lines = why_missing(plan)
    retries = RETRIES if before.settings.retries is None else before.settings.retries
    if before.round >= retries or history.INPUT in reasons:
        for line in lines:
            log.error("%s", line)
        if history.INPUT in reasons:
            log.error("not submitted again: the same would end the same; mend it, then drg-submit %s",
                      shlex.quote(str(plan.folder)))  # fmt: skip
            return EXIT_INPUT
        poison = reasons & {history.MEMORY, history.TIME, history.FAILED}
        advice = f"drg-submit {shlex.quote(str(plan.folder))} submits them again, with --mem or --time where needed"
        log.error("gave up after %d submissions in a row: %s; %s", before.round + 1, ", ".join(sorted(reasons)), advice)
        return EXIT_FAILED if poison else EXIT_INCOMPLETE
    settings = history.grown(before.settings, reasons, keep=set())
    result = submit_missing(
        plan, launcher_for(before.launcher), settings=settings, device=before.device, workers=before.workers,
        round_=before.round + 1, own_job=own_job,
    )  # fmt: skip
    log.warning(
        "%d shards submitted again (round %d of %d: %s), merge job %s",
        result.shards, before.round + 1, retries, ", ".join(sorted(reasons)) or "parts were lost", result.merge,
    )  # fmt: skip
    return EXIT_INCOMPLETE


def python_path() -> dict[str, str]:
    """PYTHONPATH for jobs, absolute; empty where it is not set."""
    value = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join(os.path.abspath(p) for p in value.split(os.pathsep))} if value else {}
