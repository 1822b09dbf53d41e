"""drg-submit: hand what is missing of a planned run to Slurm, the merge after it."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Any, Literal, NoReturn

from drg_hpc.cli.common import Result, run_command
from drg_hpc.config import ClusterFlags, flag, positional
from drg_hpc.runs.plan import Plan, read_plan

_POLL_S = 5.0
_LATE_S = 60.0
"""How long a done.json that the last job wrote may take to be seen here."""


class Options(ClusterFlags):
    """Options of drg-submit."""

    run: Path = positional(help="run folder")
    launch: Literal["slurm", "submitit"] | None = flag(
        None, help="plain sbatch scripts, or submitit (default: as before, else slurm)"
    )
    workers: int | None = flag(
        None, help="worker processes of a task (default: one per GPU, else 1)", metavar="N", ge=1
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
        else:
            message = f"nothing to submit: {plan.folder}"
        return {"message": message, "run": str(plan.folder), "shards": 0, "queued": result.queued, "jobs": {}}
    lines = [f"job {job}: {name}" for name, job in result.jobs.items()]
    message = f"submitted {result.shards} shards, merge is job {result.merge}; watch with drg-status {where} or squeue"
    return {
        "message": message, "lines": lines, "run": str(plan.folder), "shards": result.shards, "queued": result.queued,
        "jobs": result.jobs, "merge": result.merge,
    }  # fmt: skip


def _submit(options: Options) -> Result:
    from drg_hpc.runs.launch import chain, history
    from drg_hpc.runs.launch.scheduler import require_slurm
    from drg_hpc.runs.launch.slurm import preview
    from drg_hpc.runs.launch.submission import submissions
    from drg_hpc.runs.merge import is_merged
    from drg_hpc.runs.site import cluster_settings

    plan = read_plan(options.run)
    before = next(reversed(submissions(plan)), None)
    settings = cluster_settings(options, options.cluster, base=before.settings if before else None)
    given = {
        name
        for name in ClusterFlags.model_fields
        if name in options.model_fields_set | options.cluster.model_fields_set
    }
    if before is not None:
        reasons, _ = chain.why_missing(plan)
        settings = history.grown(settings, reasons, keep=given)
    if options.dry_run:
        _, texts = preview(plan, settings=settings, workers=options.workers)
        return {"message": f"dry run: nothing submitted for {plan.folder}", "lines": texts, "scripts": texts}
    if is_merged(plan):
        return {"message": f"nothing to submit, already complete: {plan.folder}", "run": str(plan.folder), "jobs": {}}
    require_slurm()
    launcher = chain.launcher_for(options.launch or (before.launcher if before else "slurm"))
    result = chain.submit_missing(
        plan, launcher, settings=settings, device=options.device or (before.device if before else "auto"),
        workers=options.workers or (before.workers if before else None),
    )  # fmt: skip
    told = submitted_result(plan, result)
    if not options.wait:
        return told
    seen = time.monotonic()
    while not is_merged(plan):
        if chain.queued(plan).any():
            seen = time.monotonic()
        elif time.monotonic() - seen > _LATE_S:
            return told | {"message": f"no job of it is left, and it is not merged: {plan.folder}", "exit_code": 4}
        time.sleep(_POLL_S)
    return told | {"message": f"merged: {plan.folder}"}


def main() -> NoReturn:
    """drg-submit."""
    run_command(
        prog="drg-submit",
        summary="Submit what is missing of a planned run to Slurm; the merge follows it.",
        options=Options,
        action=_submit,
    )
