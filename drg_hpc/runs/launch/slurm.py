"""``--launch slurm``: plain sbatch scripts, kept beside the id lists of their submission."""

from __future__ import annotations

import sys

from drg_hpc.config import ClusterFlags
from drg_hpc.files import write_atomic
from drg_hpc.runs.launch import scheduler
from drg_hpc.runs.launch.chain import Queued, next_submission, submit_chain
from drg_hpc.runs.launch.sbatch import Job, script
from drg_hpc.runs.launch.scheduler import python_path
from drg_hpc.runs.launch.submission import Submission, check_place
from drg_hpc.runs.plan import Plan


class SlurmLauncher:
    """Writes a script and hands it to sbatch."""

    name = "slurm"

    def submit(self, job: Job, submission: Submission) -> str:
        """Submit a job; returns its id."""
        text = script(job, submission.settings, python=sys.executable, environment=python_path())
        write_atomic(submission.folder / f"{job.name}.sh", text)
        return scheduler.patiently(job.name, lambda: scheduler.sbatch(text))


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
) -> list[str]:  # fmt: skip
    """The scripts that would be submitted for what is missing now; nothing is written or asked."""
    check_place(plan)
    held = Queued()
    submission = next_submission(plan, "slurm", settings=settings, workers=workers, held=held, shard_s=shard_s)
    printed = _Printed()
    submit_chain(plan, printed, submission, held, array_size=array_size)
    return printed.texts
