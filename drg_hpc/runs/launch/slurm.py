"""``--launch slurm``: plain sbatch scripts, kept beside the id lists of their submission."""

from __future__ import annotations

import sys

from drg_hpc.config import ClusterFlags
from drg_hpc.files import write_atomic
from drg_hpc.runs import parts
from drg_hpc.runs.launch import scheduler
from drg_hpc.runs.launch.chain import Queued, complete_settings, pack_size, python_path, submit_chain
from drg_hpc.runs.launch.sbatch import Job, script
from drg_hpc.runs.launch.submission import JOBS, Submission, check_place, pack, submissions
from drg_hpc.runs.plan import Plan


class SlurmLauncher:
    """Writes a script and hands it to sbatch."""

    name = "slurm"

    def submit(self, job: Job, submission: Submission) -> str:
        """Submit a job; returns its id."""
        text = script(job, submission.settings, python=sys.executable, environment=python_path())
        write_atomic(submission.folder / f"{job.name}.sh", text)
        return scheduler.sbatch(text)


class _Printed:
    """Collects the scripts instead; ids are the names in angle brackets."""

    name = "slurm"

    def __init__(self) -> None:
        self.texts: list[str] = []

    def submit(self, job: Job, submission: Submission) -> str:
        self.texts.append(
            f"# {job.name}.sh\n" + script(job, submission.settings, python=sys.executable, environment=python_path())
        )
        return f"<{job.name}>"


def preview(
    plan: Plan, *, settings: ClusterFlags, workers: int | None = None, array_size: int = scheduler.DEFAULT_MAX_ARRAY,
    shard_s: dict[str, float] | None = None,
) -> tuple[Submission, list[str]]:  # fmt: skip
    """The scripts that would be submitted for what is missing now; nothing is written or asked."""
    check_place(plan)
    settings, workers = complete_settings(settings, plan, workers=workers)
    tasks = {}
    for stage in plan.stages:
        ids = [shard.id for shard in parts.missing_shards(plan, stage)]
        seconds = (shard_s or {}).get(stage.name)
        if ids:
            tasks[stage.name] = pack(ids, pack_size(len(ids), settings=settings, workers=workers, shard_s=seconds))
    number = 1 + max((each.number for each in submissions(plan)), default=0)
    submission = Submission(
        folder=plan.folder / JOBS / f"{number:04d}", number=number, launcher="slurm", settings=settings,
        device="auto", workers=workers, round=0, tasks=tasks,
    )  # fmt: skip
    printed = _Printed()
    submit_chain(plan, printed, submission, Queued(), array_size=array_size)
    return submission, printed.texts
