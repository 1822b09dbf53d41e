"""Slurm's commands, called with argument lists and never through a shell. They say what is queued, not what is done."""

from __future__ import annotations

import getpass
import logging
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from drg_hpc.errors import InputError

log = logging.getLogger(__name__)

_TIMEOUT_S = 120
_JOBS_A_CALL = 500
DEFAULT_MAX_ARRAY = 1001
GONE = frozenset({"OUT_OF_MEMORY", "TIMEOUT", "NODE_FAIL", "CANCELLED", "FAILED", "PREEMPTED", "BOOT_FAIL", "DEADLINE"})


def clean_environment() -> dict[str, str]:
    """This environment without what an enclosing job says about itself, which sbatch would take for options."""
    return {k: v for k, v in os.environ.items() if not k.startswith("SLURM_") or k == "SLURM_CONF"}


@contextmanager
def outside_of_jobs() -> Iterator[None]:
    """Have this process's environment be :func:`clean_environment` for a while, for libraries that call sbatch."""
    hidden = {name: os.environ.pop(name) for name in os.environ.keys() - clean_environment().keys()}
    try:
        yield
    finally:
        os.environ.update(hidden)


def require_slurm() -> None:
    """Refuse where there is no Slurm.

    Raises
    ------
    InputError : no sbatch on PATH
    """
    if shutil.which("sbatch") is None:
        raise InputError(
            "there is no sbatch on PATH: Slurm is not installed here",
            fix="run this on a login node of the cluster, or without --launch",
        )


def _call(command: Sequence[str], *, text: str | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
            env=clean_environment(),
        )
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, "", f"{command[0]}: not found")
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"{command[0]} did not answer within {_TIMEOUT_S} s")


def sbatch(script: str) -> str:
    """Submit a script; returns the job id.

    Raises
    ------
    InputError : sbatch refused it; its own words are kept
    """
    done = _call(["sbatch", "--parsable"], text=script)
    job = done.stdout.strip().partition(";")[0]
    if done.returncode or not job.isdigit():
        why = " ".join((done.stderr or done.stdout).replace("sbatch: error: ", "").split())
        raise InputError(
            f"sbatch refused the job: {why}", fix="--dry-run prints the script; check partition and limits"
        )
    return job


def max_array_size() -> int:
    """MaxArraySize of the cluster: one more than the largest index of an array."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", _call(["scontrol", "show", "config"]).stdout, re.MULTILINE)
    return int(found[1]) if found else DEFAULT_MAX_ARRAY


def queued_jobs() -> list[tuple[str, str, str, str]]:
    """This user's jobs that are not over: (array or job id, array index or ``""``, state, name); one line a task.

    Raises
    ------
    InputError : squeue does not answer; submitting now might double jobs
    """
    done = _call(["squeue", "--noheader", "--array", f"--user={getpass.getuser()}", "--format=%F|%K|%T|%j"])
    if done.returncode:
        raise InputError(f"squeue does not answer: {' '.join(done.stderr.split())}", fix="try again when Slurm is up")
    rows = (line.strip().split("|", 3) for line in done.stdout.splitlines())
    return [(job, "" if task == "N/A" else task, state, name) for job, task, state, name in rows]


def cancel(jobs: Iterable[str]) -> None:
    """Cancel jobs; those that are over are no fault."""
    if wanted := list(jobs):
        _call(["scancel", *wanted])


def requeue(job: str) -> bool:
    """Put a running job back into the queue; False when Slurm refuses."""
    done = _call(["scontrol", "requeue", job])
    if done.returncode:
        log.warning("scontrol requeue %s: %s", job, " ".join(done.stderr.split()))
    return done.returncode == 0


def final_states(jobs: Iterable[str]) -> dict[str, str]:
    """How Slurm says jobs (``12`` or ``12_3``) ended: by sacct, or scontrol where there is no accounting.

    Jobs that neither knows any more, and those that are not over, are left out.
    """
    wanted = sorted(set(jobs))
    found: dict[str, str] = {}
    for start in range(0, len(wanted), _JOBS_A_CALL):
        some = ",".join(wanted[start : start + _JOBS_A_CALL])
        told = _call(["sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,State", f"--jobs={some}"])
        if told.returncode == 0:
            found |= dict(line.split("|")[:2] for line in told.stdout.splitlines() if "|" in line)
    for job in sorted({name.partition("_")[0] for name in wanted if name not in found}):
        for record in _call(["scontrol", "--oneliner", "show", "job", job]).stdout.splitlines():
            fields = dict(re.findall(r"(\w+)=(\S*)", record))
            task = fields.get("ArrayTaskId")
            name = f"{fields['ArrayJobId']}_{task}" if task else fields.get("JobId", "")
            found.setdefault(name, fields.get("JobState", ""))
    states = {name: state.split()[0] for name, state in found.items() if state}
    return {name: state for name, state in states.items() if name in wanted and state in GONE}
