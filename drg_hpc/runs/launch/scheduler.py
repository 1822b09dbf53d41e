"""Slurm's commands, called with argument lists and never through a shell. They say what is queued, not what is done."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from drg_hpc.config import minutes_of
from drg_hpc.errors import InputError

log = logging.getLogger(__name__)

_TIMEOUT_S = 120
_JOBS_A_CALL = 500
DEFAULT_MAX_ARRAY = 1001
GONE = frozenset({"OUT_OF_MEMORY", "TIMEOUT", "NODE_FAIL", "CANCELLED", "FAILED", "PREEMPTED", "BOOT_FAIL", "DEADLINE"})


_OURS = {
    f"SBATCH_{name}"
    for name in (
        "ARRAY_INX", "CHDIR", "DEPENDENCY", "ERROR", "JOB_NAME", "MEM_PER_CPU", "MEM_PER_GPU", "MEM_PER_NODE",
        "NO_REQUEUE", "OPEN_MODE", "OUTPUT", "PARSABLE", "SIGNAL", "TIMELIMIT", "WAIT", "WRAP",
    )
}  # fmt: skip
"""Defaults of sbatch's that would win over the lines of our scripts."""
_DELAYS_S = (5.0, 20.0, 60.0)
_PASSING = re.compile(
    r"timed out|did not answer|unable to contact|resource temporarily|socket|try again", re.IGNORECASE
)
"""In words of Slurm's about a controller that is busy or restarting."""
STUCK = frozenset({
    "PartitionTimeLimit", "PartitionNodeLimit", "PartitionDown", "BadConstraints", "JobHeldAdmin", "JobHeldUser",
})  # fmt: skip
"""Reasons for which a pending job does not start by itself."""


def clean_environment() -> dict[str, str]:
    """This environment without what an enclosing job says about itself and what changes our requests or answers."""
    hidden = ("SLURM_", "SQUEUE_", "SCANCEL_", "SACCT_", "SCONTROL_")
    return {
        name: value
        for name, value in os.environ.items()
        if name == "SLURM_CONF" or not (name.startswith(hidden) or name in _OURS)
    }


@contextmanager
def outside_of_jobs() -> Iterator[None]:
    """Have this process's environment be :func:`clean_environment` for a while, for libraries that call sbatch."""
    hidden = {name: os.environ.pop(name) for name in os.environ.keys() - clean_environment().keys()}
    try:
        yield
    finally:
        os.environ.update(hidden)


def python_path() -> dict[str, str]:
    """PYTHONPATH for jobs, which start elsewhere: absolute; empty where it is not set."""
    value = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join(os.path.abspath(p) for p in value.split(os.pathsep))} if value else {}


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


def patiently(name: str, submit: Callable[[], str]) -> str:
    """Submit a job called ``name``; where the controller does not answer, again after a while, but never twice.

    Raises
    ------
    InputError : as ``submit`` raises
    """
    for delay in _DELAYS_S:
        try:
            return submit()
        except InputError as error:
            if not _PASSING.search(error.what):
                raise
            log.warning("%s: again in %.0f s", error.what, delay)
        time.sleep(delay)
        if found := [job for job, _, _, _, other in queued_jobs() if other == name]:
            return found[0]
    return submit()


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


def max_minutes(partition: str | None) -> int | None:
    """Longest time limit of a partition (of several: the most generous); None where there is no limit, or no answer.

    Parameters
    ----------
    partition : as sbatch takes it; None is the cluster's default one
    """
    limits: list[int | None] = []
    for line in _call(["scontrol", "--oneliner", "show", "partition"]).stdout.splitlines():
        fields = dict(re.findall(r"(\w+)=(\S*)", line))
        named = fields.get("PartitionName") in (partition or "").split(",")
        if named or (partition is None and fields.get("Default") == "YES"):
            limits.append(minutes_of(fields.get("MaxTime", "")))
    return None if None in limits else max((limit for limit in limits if limit is not None), default=None)


def queued_jobs() -> list[tuple[str, str, str, str, str]]:
    """This user's jobs that are not over: (array or job id, array index or ``""``, state, reason, name); one a task.

    Raises
    ------
    InputError : squeue does not answer; submitting now might double jobs
    """
    command = ["squeue", "--noheader", "--array", f"--user={os.getuid()}", "--format=%F|%K|%T|%r|%j"]
    done = _call(command)
    for delay in _DELAYS_S:
        if done.returncode == 0 or not _PASSING.search(done.stderr):
            break
        log.warning("squeue does not answer: again in %.0f s", delay)
        time.sleep(delay)
        done = _call(command)
    if done.returncode:
        raise InputError(f"squeue does not answer: {' '.join(done.stderr.split())}", fix="try again when Slurm is up")
    rows = (line.strip().split("|", 4) for line in done.stdout.splitlines())
    # other people's job names may hold anything, a line break too
    return [(j, "" if i == "N/A" else i, s, r, n) for j, i, s, r, n in (row for row in rows if len(row) == 5)]


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
