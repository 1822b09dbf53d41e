"""drg-submit: hand what is missing of a planned run to Slurm, the merge after it."""

from __future__ import annotations

import logging
import shlex
import time
from pathlib import Path
from typing import Any, Literal, NoReturn

from drg_hpc.cli.common import Result, run_command
from drg_hpc.config import ClusterFlags, flag, positional
from drg_hpc.errors import EXIT_INCOMPLETE, InputError
from drg_hpc.runs.plan import Plan, read_plan

log = logging.getLogger(__name__)

_POLL_S = 5.0
_LATE_S = 60.0
"""How long a done.json that the last job wrote may take to be seen here."""
_SILENT_S = 900.0
"""How long Slurm may not answer."""


class Options(ClusterFlags):
    """Options of drg-submit."""

    run: Path = positional(help="run folder")
    launch: Literal["slurm", "submitit"] | None = flag(
        None, help="plain sbatch scripts, or submitit (default: as before, else slurm)"
    )
    workers: int | None = flag(
        None,
        help="worker processes of a task (default: as before, else one per GPU, else as many as --cpus hold, else 1)",
        metavar="N",
        ge=1,
    )
    device: str | None = flag(None, help="auto, cpu or cuda (default: as before, else auto)", metavar="DEVICE")
    dry_run: bool = flag(False, help="print the sbatch scripts, submit nothing")
    wait: bool = flag(False, help="stay until the run is merged, or none of its jobs is left (exit 4)")
    cluster: ClusterFlags = flag(ClusterFlags(), help="the cluster flags as a table")


def submitted_result(plan: Plan, result: Any) -> Result:
    """The last line and the machine's answer for a submission."""
    where = shlex.quote(str(plan.folder))
    if result.submission is None:
        if result.queued:
            message = f"nothing to submit: {result.queued} shards are queued or running: {plan.folder}"
            for job, why in result.stuck.items():
                message += f"; job {job} will not start by itself ({why}): scancel it, then drg-submit with other flags"
        else:
            message = f"nothing to submit: {plan.folder}"
        return {"message": message, "run": str(plan.folder), "shards": 0, "queued": result.queued, "jobs": {}}
    lines = [f"job {job}: {name}" for name, job in result.jobs.items()]
    message = f"submitted {result.shards} shards, merge is job {result.merge}; watch with drg-status {where} or squeue"
    return {
        "message": message, "lines": lines, "run": str(plan.folder), "shards": result.shards, "queued": result.queued,
        "jobs": result.jobs, "merge": result.merge,
    }  # fmt: skip


def _settings(plan: Plan, options: Options, before: Any) -> ClusterFlags:
    """What is asked for: flags, then what the last submission had, grown where a task ran out of it; else the site."""
    from drg_hpc.runs.launch import again, history, scheduler
    from drg_hpc.runs.site import cluster_settings

    settings = cluster_settings(options, options.cluster, base=before.asked if before else None)
    if before is None:
        return settings
    given = options.model_fields_set | options.cluster.model_fields_set
    reasons, _ = again.why_missing(plan)
    longest = scheduler.max_minutes(settings.partition) if history.TIME in reasons else None
    return history.grown(settings, before.settings, reasons, keep=given, longest=longest)


def _submit(options: Options) -> Result:
    from drg_hpc.runs.launch import chain
    from drg_hpc.runs.launch.scheduler import require_slurm
    from drg_hpc.runs.launch.slurm import preview
    from drg_hpc.runs.launch.submission import submissions
    from drg_hpc.runs.merge import is_merged

    plan = read_plan(options.run)
    before = next(reversed(submissions(plan)), None)
    settings = _settings(plan, options, before)
    workers = options.workers or (before.asked_workers if before else None)
    if options.dry_run:
        texts = preview(plan, settings=settings, workers=workers)
        return {"message": f"dry run: nothing submitted for {plan.folder}", "lines": texts, "scripts": texts}
    if is_merged(plan):
        return {"message": f"nothing to submit, already complete: {plan.folder}", "run": str(plan.folder), "jobs": {}}
    require_slurm()
    launcher = chain.launcher_for(options.launch or (before.launcher if before else "slurm"))
    device = options.device or (before.device if before else "auto")
    result = chain.submit_missing(plan, launcher, settings=settings, device=device, workers=workers)
    told = submitted_result(plan, result)
    return told | _wait(plan) if options.wait else told


def _wait(plan: Plan) -> Result:
    """Stay until the run is merged, or none of its jobs is left."""
    from drg_hpc.runs.launch import chain
    from drg_hpc.runs.merge import is_merged

    seen = heard = time.monotonic()
    while not is_merged(plan):
        now = time.monotonic()
        try:
            if chain.queued(plan).any():
                seen = now
            heard = now
        except InputError as error:
            if now - heard > _SILENT_S:
                raise
            log.warning("%s", error)
        if heard == now and now - seen > _LATE_S:
            where = shlex.quote(str(plan.folder))
            message = f"no job of it is left, and it is not merged: {plan.folder}; drg-status {where} --why says why"
            return {"message": message, "exit_code": EXIT_INCOMPLETE}
        time.sleep(_POLL_S)
    return {"message": f"merged: {plan.folder}"}


def main() -> NoReturn:
    """drg-submit."""
    run_command(
        prog="drg-submit",
        summary="Submit what is missing of a planned run to Slurm; the merge follows it.",
        options=Options,
        action=_submit,
    )
