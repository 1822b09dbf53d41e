"""``--launch submitit``: the same chain through submitit's arrays. Pickles carry the call; receipts are the truth."""

from __future__ import annotations

import shutil
from typing import Any

from drg_hpc.config import minutes_of
from drg_hpc.errors import InputError
from drg_hpc.runs.launch.sbatch import Job, array_limit, both, grace_s, replaces, setup_lines
from drg_hpc.runs.launch.scheduler import outside_of_jobs, patiently, python_path
from drg_hpc.runs.launch.submission import Submission
from drg_hpc.runs.launch.task import call_task

FOLDER = "submitit"
"""Below the submission's folder: pickles and logs."""


class SubmititLauncher:
    """Hands jobs to Slurm by ``SlurmExecutor``; works with and without accounting, since nothing waits for results."""

    name = "submitit"

    def submit(self, job: Job, submission: Submission) -> str:
        """Submit a job; returns its id.

        Raises
        ------
        InputError : submitit is not installed, or Slurm refuses; or a path that its log names would garble
        """
        try:
            import submitit
            from submitit.core.utils import FailedJobError
        except ModuleNotFoundError:
            raise InputError("submitit is not installed here", fix="pip install submitit, or --launch slurm") from None
        if shutil.which("srun") is None:
            raise InputError("there is no srun on PATH: Slurm is not installed here", fix="run this on a login node")
        if "%" in job.folder:
            raise InputError(f"submitit cannot log to {job.folder}: it has a %", fix="--launch slurm")
        executor = submitit.SlurmExecutor(folder=submission.folder / FOLDER)
        executor.update_parameters(**_parameters(job, submission))

        def submit() -> str:
            try:
                with outside_of_jobs():
                    if job.tasks is None:
                        return str(executor.submit(call_task, job.call, 0).job_id)
                    jobs = executor.map_array(call_task, [job.call] * job.tasks, range(job.tasks))
            except FailedJobError as error:
                why = " ".join(str(error).split())
                raise InputError(f"sbatch refused the job: {why}", fix="check the limits") from None
            return str(jobs[0].job_id).partition("_")[0]

        return patiently(job.name, submit)


def _parameters(job: Job, submission: Submission) -> dict[str, Any]:
    settings = submission.settings
    more: dict[str, Any] = {"chdir": job.folder, "requeue": True, "signal": f"USR1@{grace_s(settings)}"}
    if job.after is not None:
        more["dependency"] = job.after
        if job.after.startswith("afterok"):
            more["kill-on-invalid-dep"] = "yes"
    for pair in settings.slurm_arg:
        key, equals, value = pair.partition("=")
        more[key] = (value if equals else True) if key != "dependency" else both(job.after, value)
    chosen = {
        "job_name": job.name,
        "nodes": 1,
        "ntasks_per_node": 1,
        "cpus_per_task": 1 if job.small else settings.cpus,
        "time": minutes_of(settings.time or ""),
        "mem": settings.mem,
        "partition": settings.partition,
        "account": settings.account,
        "qos": settings.qos,
        "gres": f"{settings.gres or 'gpu'}:{settings.gpus}" if settings.gpus and not job.small else None,
        "setup": setup_lines(settings, environment=python_path()) or None,
        "stderr_to_stdout": True,
        "srun_args": [f"--cpus-per-task={1 if job.small else settings.cpus}"],  # srun no longer inherits it
        "additional_parameters": more,
    }
    if job.tasks is not None:
        chosen["array_parallelism"] = min(job.tasks, array_limit(job, settings) or job.tasks)
    if any(replaces(key, "mem") for key in more):
        del chosen["mem"]
    return {name: value for name, value in chosen.items() if value is not None}
