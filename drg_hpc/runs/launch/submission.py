"""RUN/jobs/0001: what was submitted once (settings, id lists, scripts) and how each of its tasks ended."""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drg_hpc.config import ClusterFlags
from drg_hpc.errors import CorruptError, DrgError, InputError
from drg_hpc.files import fsync_dir, read_json, write_atomic, write_json
from drg_hpc.runs import parts
from drg_hpc.runs.launch.sbatch import LOGS
from drg_hpc.runs.plan import Plan

log = logging.getLogger(__name__)

JOBS = "jobs"
RECORD = "submission.json"
FINISH = "merge"
"""Stage name of the job that ends a submission; no body calls a stage so before its last."""
_NAME = re.compile(
    r"drg-.*-(?P<key>[0-9a-f]{8})-(?P<number>\d{4,})-(?P<role>work|reduce|finish)-(?P<stage>[\w-]+)-(?P<first>\d+)"
)


@dataclass(frozen=True)
class Submission:
    """One call of drg-submit or ``--launch``.

    Parameters
    ----------
    asked, asked_workers : as the user and the site gave them; the next submission starts from these
    settings, workers : with the defaults that follow from the plan, as the jobs had them
    tasks : stage -> ids of each task, in the order of the id list
    round : 0 when a person submitted it, else how many jobs in a row have submitted again
    """

    folder: Path
    number: int
    launcher: str
    asked: ClusterFlags
    asked_workers: int | None
    settings: ClusterFlags
    device: str
    workers: int
    round: int
    tasks: Mapping[str, list[list[int]]]

    def record_path(self, stage: str, task: int) -> Path:
        """Where the task says how it ended."""
        return self.folder / "ends" / f"{stage}.{task:05d}.json"

    def read_end(self, stage: str, task: int) -> dict[str, Any] | None:
        """The task's own word; None when it never started (or the file is no record)."""
        try:
            record = read_json(self.record_path(stage, task))
        except (DrgError, OSError):
            return None
        return record if isinstance(record, dict) else None


def run_key(plan: Plan) -> str:
    """Eight hex digits for this plan in this folder, however it is spelt: they tell jobs of runs apart."""
    return hashlib.sha256(f"{plan.digest} {os.path.realpath(plan.folder)}".encode()).hexdigest()[:8]


def job_name(plan: Plan, number: int, role: str, stage: str, first: int = 0) -> str:
    """``drg-myrun-1a2b3c4d-0001-work-rows-0``: all that is needed to know a job again, in safe characters."""
    slug = re.sub(r"[^A-Za-z0-9._]+", "_", plan.folder.name)[:24]
    return f"drg-{slug}-{run_key(plan)}-{number:04d}-{role}-{stage}-{first}"


def parse_job_name(name: str) -> dict[str, str] | None:
    """Parts of a name that :func:`job_name` made, else None."""
    match = _NAME.fullmatch(name)
    return match.groupdict() if match else None


def check_place(plan: Plan) -> None:
    """Refuse a run folder that sbatch cannot write a log in.

    Raises
    ------
    InputError : a backslash or a line break in its path
    """
    text = str(plan.folder)
    if "\\" in text or not text.isprintable():
        raise InputError(f"Slurm cannot log to {text!r}", fix="choose a run folder without backslashes and line breaks")


@contextmanager
def submitting(plan: Plan) -> Iterator[Path]:
    """Hold the run's jobs folder, so that two submissions never take the same shards; yields it.

    Raises
    ------
    InputError : it belongs to somebody else, or others may write to it: jobs trust what it holds
    """
    folder = plan.folder / JOBS
    folder.mkdir(mode=0o700, exist_ok=True)
    (plan.folder / LOGS).mkdir(parents=True, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022 or folder.is_symlink():
        raise InputError(f"{folder} must be yours and closed to others", fix=f"chown and chmod 0700 {folder}")
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:  # some parallel file systems have no locks; the worst is a shard done twice
            log.warning("%s cannot be locked (%s): do not submit this run twice at once", folder, error)
        yield folder


def submissions(plan: Plan) -> list[Submission]:
    """All submissions of a run, oldest first."""
    folder = plan.folder / JOBS
    numbers = sorted(int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit()) if folder.is_dir() else []
    return [found for number in numbers if (found := _read(plan, number)) is not None]


def read_submission(plan: Plan, number: int) -> Submission:
    """One submission.

    Raises
    ------
    CorruptError : there is none with that number
    """
    found = _read(plan, number)
    if found is None:
        raise CorruptError(f"no submission {number} in {plan.folder / JOBS}", fix="drg-submit submits what is missing")
    return found


def _read(plan: Plan, number: int) -> Submission | None:
    folder = plan.folder / JOBS / f"{number:04d}"
    if not (folder / RECORD).exists():
        return None  # a submission that was cut short before it was written down: it has no jobs
    try:
        return _parse(plan, folder, read_json(folder / RECORD))
    except (DrgError, OSError, KeyError, TypeError, ValueError) as error:  # pydantic's faults are ValueErrors
        log.warning("submission %d cannot be read (%s): it counts as none", number, error)
        return None


def _parse(plan: Plan, folder: Path, record: dict[str, Any]) -> Submission:
    stages = {stage.name: stage for stage in plan.stages}
    tasks = {}
    for name in record["stages"]:
        lines = (folder / f"{name}.ids").read_text().splitlines()
        tasks[name] = [[shard.id for shard in parts.parse_ids(line, stages[name])] for line in lines]
    return Submission(
        folder=folder, number=int(folder.name), launcher=record["launcher"], asked=ClusterFlags(**record["asked"]),
        asked_workers=record["asked_workers"], settings=ClusterFlags(**record["settings"]), device=record["device"],
        workers=record["workers"], round=record["round"], tasks=tasks,
    )  # fmt: skip


def next_number(plan: Plan) -> int:
    """Number of the submission that would come next."""
    folder = plan.folder / JOBS
    return 1 + max((int(p.name) for p in folder.glob("[0-9]*") if p.name.isdigit()), default=0)


def write_submission(plan: Plan, submission: Submission) -> None:
    """Write down a submission before its first job: whoever dies after that, the jobs know what to do."""
    folder = submission.folder
    folder.mkdir(mode=0o700)
    (folder / "ends").mkdir(mode=0o700)
    for name, lists in submission.tasks.items():
        write_atomic(folder / f"{name}.ids", "".join(f"{parts.format_ids(ids)}\n" for ids in lists))
    record = {
        "launcher": submission.launcher, "device": submission.device, "round": submission.round,
        "asked": submission.asked.model_dump(mode="json"), "asked_workers": submission.asked_workers,
        "settings": submission.settings.model_dump(mode="json"), "workers": submission.workers,
        "stages": list(submission.tasks), "plan": plan.digest,
    }  # fmt: skip
    write_json(folder / RECORD, record)
    fsync_dir(folder.parent)


def withdraw(submission: Submission) -> None:
    """What Slurm refused counts as none: the next one does not start from its settings."""
    os.replace(submission.folder / RECORD, submission.folder / f"refused-{RECORD}")


def pack(ids: list[int], size: int) -> list[list[int]]:
    """Cut ids into tasks of at most ``size`` shards, as equal as can be."""
    count = -(-len(ids) // size)
    cuts = [len(ids) * i // count for i in range(count + 1)] if count else [0]
    return [ids[a:b] for a, b in itertools.pairwise(cuts)]
