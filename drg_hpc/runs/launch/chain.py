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

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from drg_hpc.config import ClusterFlags, minutes_of
from drg_hpc.errors import DrgError, InputError
from drg_hpc.files import read_json
from drg_hpc.runs import parts
from drg_hpc.runs.bodies import uses_gpu
from drg_hpc.runs.image import check_image
from drg_hpc.runs.launch import scheduler
from drg_hpc.runs.launch.sbatch import Job
from drg_hpc.runs.launch.submission import (
    FINISH,
    JOBS,
    Submission,
    check_place,
    job_name,
    next_number,
    pack,
    parse_job_name,
    run_key,
    submissions,
    submitting,
    withdraw,
    write_submission,
)
from drg_hpc.runs.merge import is_merged, is_reduced
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.spec import Stage

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
    stuck: dict[str, str] = field(default_factory=dict)  # id -> why it does not start by itself

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
    stuck: dict[str, str] = field(default_factory=dict)  # jobs that do not start by themselves, and why


def queued(plan: Plan, *, own_job: str | None = None) -> Queued:
    """Ask squeue for this run's jobs; ``own_job`` (who asks) is left out."""
    known, key = {each.number: each for each in submissions(plan)}, run_key(plan)
    found = Queued()
    for job, index, state, reason, name in scheduler.queued_jobs():
        words = parse_job_name(name)
        submission = known.get(int(words["number"])) if words and words["key"] == key else None
        if words is None or submission is None or job == own_job:
            continue
        stage = words["stage"]
        if state == "PENDING" and reason in scheduler.STUCK:
            found.stuck[job] = reason
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
    workers = workers or gpus or max(1, (settings.cpus or 0) // plan.threads)
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
    seconds = []
    for number in sorted(parts.list_parts(plan, stage).done)[:9]:
        try:
            receipt = read_json(parts.stage_folder(plan, stage) / parts.part_name(number) / parts.RECEIPT)
            seconds.append(float(receipt["seconds"]))
        except (DrgError, OSError, KeyError, TypeError):
            continue  # a damaged part: whoever verifies it says so
    return statistics.median(seconds) if seconds else None


def pack_size(count: int, *, settings: ClusterFlags, workers: int, shard_s: float | None) -> int:
    """Shards of a task."""
    size = settings.pack or (max(1, int(TASK_S * workers / max(shard_s, 0.01))) if shard_s else workers)
    return max(size, -(-count // MAX_TASKS))


def plan_tasks(
    plan: Plan, *, settings: ClusterFlags, workers: int, held: Queued, shard_s: Mapping[str, float] | None = None
) -> dict[str, list[list[int]]]:
    """Ids of each task, by stage: the shards without a part that no job holds.

    Parameters
    ----------
    shard_s : seconds of a shard by stage, where they were measured; else receipts say, where there are any
    """
    tasks: dict[str, list[list[int]]] = {}
    for stage in plan.stages:
        ids = [s.id for s in parts.missing_shards(plan, stage) if s.id not in held.shards.get(stage.name, ())]
        if ids:
            seconds = (shard_s or {}).get(stage.name) or _measured_s(plan, stage)
            tasks[stage.name] = pack(ids, pack_size(len(ids), settings=settings, workers=workers, shard_s=seconds))
    return tasks


def next_submission(
    plan: Plan, launcher: str, *, settings: ClusterFlags, workers: int | None, device: str = "auto", held: Queued,
    round_: int = 0, shard_s: Mapping[str, float] | None = None,
) -> Submission:  # fmt: skip
    """What would be submitted now, with the plan's defaults; nothing is written."""
    completed, count = complete_settings(settings, plan, workers=workers)
    number = next_number(plan)
    return Submission(
        folder=plan.folder / JOBS / f"{number:04d}", number=number, launcher=launcher, asked=settings,
        asked_workers=workers, settings=completed, device=device, workers=count, round=round_,
        tasks=plan_tasks(plan, settings=completed, workers=count, held=held, shard_s=shard_s),
    )  # fmt: skip


def submit_missing(
    plan: Plan, launcher: Launcher, *, settings: ClusterFlags, device: str = "auto", workers: int | None = None,
    round_: int = 0, own_job: str | None = None,
) -> Submitted:  # fmt: skip
    """Submit the shards of a run that are missing and that no job holds, and the merge after them.

    Parameters
    ----------
    settings, workers : in force, without the plan's defaults
    own_job : id of the job that asks, whose end nothing must wait for

    Raises
    ------
    InputError : Slurm does not answer or refuses; the folder is not fit
    """
    check_place(plan)
    if settings.image is not None:
        check_image(settings.image)
    with submitting(plan):
        held = queued(plan, own_job=own_job)
        submission = next_submission(
            plan, launcher.name, settings=settings, workers=workers, device=device, held=held, round_=round_
        )
        count = sum(len(ids) for lists in submission.tasks.values() for ids in lists)
        if not count and (is_merged(plan) or held.finish):
            return Submitted(None, queued=sum(map(len, held.shards.values())), stuck=held.stuck)
        _check_time(submission)
        write_submission(plan, submission)
        result = submit_chain(plan, launcher, submission, held, array_size=scheduler.max_array_size())
        scheduler.cancel(job for job, state in held.finish.items() if state == "PENDING")  # the new merge replaces them
    result.shards, result.queued = count, sum(map(len, held.shards.values()))
    return result


def _check_time(submission: Submission) -> None:
    """Refuse a time limit that the partition does not allow: such jobs would wait for ever."""
    partition, time = submission.settings.partition, submission.settings.time
    longest = scheduler.max_minutes(partition)
    if longest is not None and (minutes_of(time or "") or 0) > longest:
        where = f"partition {partition}" if partition else "the default partition"
        fix = "a shorter --time, another --partition, or smaller shards in a new run"
        raise InputError(f"--time {time} is more than {where} allows ({longest} minutes)", fix=fix)


def _job(plan: Plan, submission: Submission, role: str, stage: str, *, first: int = 0, tasks: int | None = None,
         after: str | None = None, arrays: int = 1) -> Job:  # fmt: skip
    call = (str(plan.folder), str(submission.number), role, stage, str(first))
    name = job_name(plan, submission.number, role, stage, first)
    return Job(name, str(plan.folder), call, tasks=tasks, after=after, small=role != "work", arrays=arrays)


def submit_chain(plan: Plan, launcher: Launcher, submission: Submission, held: Queued, *, array_size: int) -> Submitted:
    """Submit the jobs of a submission in the order of their dependencies.

    Parameters
    ----------
    held : jobs of earlier submissions that this one's merge waits for too
    array_size : MaxArraySize; larger stages become several arrays with an offset, since the cap is on the index
    """
    result = Submitted(submission)
    try:
        _submit_jobs(plan, launcher, result, held, array_size=array_size)
    except InputError:
        scheduler.cancel(result.jobs.values())  # half a chain would run on without a merge
        withdraw(submission)
        raise
    return result


def _submit_jobs(plan: Plan, launcher: Launcher, result: Submitted, held: Queued, *, array_size: int) -> None:
    submission = result.submission
    assert submission is not None

    def submit(job: Job) -> str:
        result.jobs[job.name] = launcher.submit(job, submission)
        return result.jobs[job.name]

    everything: list[str] = []  # what the merge waits for
    gate: str | None = None  # what the next stage's array waits for
    for stage in plan.stages:
        lists = submission.tasks.get(stage.name, [])
        waits, firsts = list(held.work.get(stage.name, [])), range(0, len(lists), array_size)
        for first in firsts:
            count = min(array_size, len(lists) - first)
            job = _job(plan, submission, "work", stage.name, first=first, tasks=count, after=gate, arrays=len(firsts))
            waits.append(submit(job))
        everything += waits
        if stage is plan.stages[-1]:
            continue
        if waits or gate or held.reduce.get(stage.name) or not is_reduced(plan, stage):
            ended = f"afterany:{':'.join(waits)}" if waits else None
            after = ",".join(filter(None, (gate, ended))) or None
            reduce = submit(_job(plan, submission, "reduce", stage.name, after=after))
            gate = f"afterok:{reduce}"
            everything.append(reduce)
    after = f"afterany:{':'.join(everything)}" if everything else None
    result.merge = submit(_job(plan, submission, "finish", FINISH, after=after))


def launcher_for(name: str) -> Launcher:
    """The launcher of that name."""
    if name == "submitit":
        from drg_hpc.runs.launch.submitit import SubmititLauncher

        return SubmititLauncher()
    from drg_hpc.runs.launch.slurm import SlurmLauncher

    return SlurmLauncher()
