"""The text of one sbatch script: a pure function. What a user named is quoted; only ``--setup`` lines are shell."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from drg_hpc.config import ClusterFlags, minutes_of

GRACE_S = 60
"""Seconds before the time limit at which a job is told to stop. Slurm may send the signal up to a minute early."""

LOGS = "logs/jobs"
"""Where jobs log, below the run folder, in which they start."""


@dataclass(frozen=True)
class Job:
    """One sbatch call.

    Parameters
    ----------
    name : job name, of letters, digits and ``._-``
    folder : run folder
    call : what every task does, as :func:`drg_hpc.runs.launch.task.run_call` takes it
    tasks : length of the array; None for a single job
    after : dependency as sbatch writes it (``afterany:12:13``)
    small : neither GPU nor more than one CPU (merges)
    arrays : how many arrays of a stage share ``--max-running``
    """

    name: str
    folder: str
    call: tuple[str, str, str, str, str]
    tasks: int | None = None
    after: str | None = None
    small: bool = False
    arrays: int = 1


def _directives(job: Job, settings: ClusterFlags) -> list[tuple[str, str | None]]:
    logged = "%x.%j.log" if job.tasks is None else "%x.%A_%a.log"
    options: list[tuple[str, str | None]] = [
        ("job-name", job.name),
        ("chdir", job.folder),
        ("output", f"{job.folder.replace('%', '%%')}/{LOGS}/{logged}"),
        ("open-mode", "append"),
    ]
    if job.tasks is not None:
        limit = array_limit(job, settings)
        options.append(("array", f"0-{job.tasks - 1}" + (f"%{limit}" if limit else "")))
    options += [(name, getattr(settings, name)) for name in ("partition", "account", "qos") if getattr(settings, name)]
    options += [("nodes", "1"), ("ntasks", "1"), ("cpus-per-task", "1" if job.small else str(settings.cpus or 1))]
    if settings.gpus and not job.small:
        options.append(("gres", f"{settings.gres or 'gpu'}:{settings.gpus}"))
    options += [(name, getattr(settings, name)) for name in ("mem", "time") if getattr(settings, name)]
    options += [("signal", f"B:USR1@{grace_s(settings)}"), ("requeue", None)]
    if job.after is not None:
        options += [("dependency", job.after)]
        if job.after.startswith("afterok"):
            options.append(("kill-on-invalid-dep", "yes"))
    for pair in settings.slurm_arg:
        key, equals, value = pair.partition("=")
        options = [option for option in options if option[0] != key and not replaces(key, option[0])]
        options.append((key, (value if equals else None) if key != "dependency" else both(job.after, value)))
    return options


def array_limit(job: Job, settings: ClusterFlags) -> int | None:
    """Tasks of this array that may run at once."""
    return max(1, settings.max_running // job.arrays) if settings.max_running else None


def both(after: str | None, more: str) -> str:
    """Our dependency and the user's."""
    return f"{after},{more}" if after else more


def replaces(key: str, other: str) -> bool:
    """Whether an option of Slurm that the user gave excludes another one that we would give."""
    return other == "mem" and key in ("mem-per-cpu", "mem-per-gpu")


def grace_s(settings: ClusterFlags) -> int:
    """Seconds of warning before the time limit: a minute, or half of a short limit."""
    minutes = minutes_of(settings.time) if settings.time else None
    return GRACE_S if minutes is None else min(GRACE_S, minutes * 30)


def script(job: Job, settings: ClusterFlags, *, python: str, environment: dict[str, str] | None = None) -> str:
    """The script of a job.

    Parameters
    ----------
    python : interpreter of the jobs
    environment : variables set for the command (``PYTHONPATH`` of a checkout)
    """
    lines = ["#!/bin/bash"]
    for key, value in _directives(job, settings):
        lines.append(f"#SBATCH --{key}" if value is None else f"#SBATCH --{key}={shlex.quote(value)}")
    lines += ["", *setup_lines(settings, environment=environment or {})]
    lines.append(f"exec {shlex.join((python, '-P', '-m', 'drg_hpc.runs.launch.task', *job.call))}")
    return "\n".join(lines) + "\n"


def setup_lines(settings: ClusterFlags, *, environment: dict[str, str]) -> list[str]:
    """What a job's shell does first: the site's lines, one that fails ending the job, then the environment."""
    lines = ["set -e", *settings.setup, "set +e"] if settings.setup else []
    return [*lines, *(f"export {name}={shlex.quote(value)}" for name, value in environment.items())]
