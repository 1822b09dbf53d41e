"""Commands that serve every kind of run: drg-work, drg-status, drg-merge, drg-clean."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import NoReturn

from drg_hpc.cli.common import Result, run_command
from drg_hpc.config import Options, flag, positional
from drg_hpc.files import human_bytes
from drg_hpc.runs import parts
from drg_hpc.runs.clean import clean_run
from drg_hpc.runs.plan import pin_threads, read_plan
from drg_hpc.runs.status import RunStatus, StageStatus, run_status


class WorkOptions(Options):
    """Options of drg-work."""

    run: Path = positional(help="run folder")
    shards: str | None = flag(
        None, help="only these shards, such as 3,17-21; those that are done are left as they are", metavar="IDS"
    )
    stage: str | None = flag(None, help="only this stage (default: all in turn; with --shards the first incomplete)")
    device: str = flag("auto", help="auto, cpu, cuda or cuda:I", metavar="DEVICE")


class StatusOptions(Options):
    """Options of drg-status."""

    run: Path = positional(help="run folder")
    missing: bool = flag(False, help="print only the missing ids of the first incomplete stage, as drg-work takes them")
    full: bool = flag(False, help="read every receipt and byte, not only the folder listing")
    why: bool = flag(False, help="of shards that jobs left undone: the reason, and the last lines of their logs")


class MergeOptions(Options):
    """Options of drg-merge."""

    run: Path = positional(help="run folder")


class CleanOptions(Options):
    """Options of drg-clean."""

    run: Path = positional(help="run folder")
    parts: bool = flag(False, help="also remove the parts, once every byte of the merged output verifies")
    older_than: float = flag(1.0, help="leave attempts with a heartbeat younger than this", metavar="HOURS", ge=0)


def _work(options: WorkOptions) -> Result:
    plan = read_plan(options.run)
    pin_threads(plan.threads)
    from drg_hpc.runs.bodies import uses_gpu
    from drg_hpc.runs.devices import choose_gpus
    from drg_hpc.runs.signals import stop_on_signals
    from drg_hpc.runs.work import current_stage, work_run

    gpus = choose_gpus(options.device, uses_gpu=uses_gpu(plan))
    if len(gpus) > 0:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[0]
    stage = plan.stage(options.stage) if options.stage else None
    shards = None
    if options.shards is not None:
        stage = stage or current_stage(plan)
        shards = parts.parse_ids(options.shards, stage)
    with stop_on_signals():
        tally = work_run(plan, device="cuda:0" if gpus else "cpu", stage=stage, shards=shards)
    counts = tally.counts
    message = (
        f"{counts['done']} shards done, {counts['present']} were there, "
        f"{counts['lost']} done first elsewhere: {plan.folder}"
    )
    return {"message": message, "run": str(plan.folder), **counts}


def work() -> NoReturn:
    """drg-work."""
    run_command(
        prog="drg-work",
        summary="Do the missing shards (or those named) of any run, here.",
        options=WorkOptions,
        action=_work,
    )


def _stage_line(stage: StageStatus) -> str:
    text = f"{stage.name}: {stage.done} of {stage.shards} done"
    if stage.missing:
        text += f", {len(stage.missing)} missing: {parts.format_ids(stage.missing)}"
    if stage.damaged:
        text += f", {len(stage.damaged)} damaged: {parts.format_ids(list(stage.damaged))}"
    if stage.attempts:
        text += f" ({stage.attempts} attempts under way or left by a kill)"
    if stage.slowest:
        text += f"; slowest shard {stage.slowest[0]}: {stage.slowest[1]:.1f} s"
    return text


def _status_lines(status: RunStatus) -> list[str]:
    lines = [_stage_line(stage) for stage in status.stages]
    for stage in status.stages:
        lines += [f"damaged {stage.name}/{parts.part_name(i)}: {why}" for i, why in stage.damaged.items()]
        for number, found in stage.begun.items():
            lines.append(f"shard {number}: {found.text}{', under way' if found.held else ', waits to be gone on with'}")
    if status.set_aside:
        lines.append(f"{status.set_aside} damaged parts were set aside in damaged/")
    return lines


def _status(options: StatusOptions) -> Result:
    plan = read_plan(options.run)
    status = run_status(plan, full=options.full)
    incomplete = next((s for s in status.stages if s.missing), None)
    if options.missing:
        ids = parts.format_ids(incomplete.missing) if incomplete else ""
        return {"message": ids, "missing": ids, "exit_code": status.exit_code}
    if status.fault:
        message = f"damaged: {status.fault}"
    elif status.merged:
        message = f"merged: {plan.folder}"
    elif incomplete:
        named = f" --stage {incomplete.name}" if len(status.stages) > 1 else ""
        ids = parts.format_ids(incomplete.missing)
        message = f"next: drg-work {shlex.quote(str(plan.folder))}{named} --shards {ids}"
    else:
        message = f"next: drg-merge {shlex.quote(str(plan.folder))}"
    reasons: list[str] = []
    if options.why:
        from drg_hpc.runs.launch.again import why_missing

        _, reasons = why_missing(plan)
    return {
        "message": message,
        "lines": [f"{plan.command} {plan.folder}", *_status_lines(status), *reasons],
        "run": str(plan.folder),
        "command": plan.command,
        "merged": status.merged,
        "stages": [stage.as_dict() for stage in status.stages],
        "set_aside": status.set_aside,
        "exit_code": status.exit_code,
    }


def status() -> NoReturn:
    """drg-status."""
    run_command(
        prog="drg-status", summary="Say what is done, missing and damaged. Exit 0 complete, 4 incomplete, 5 damaged.",
        options=StatusOptions, action=_status,
    )  # fmt: skip


def _merge(options: MergeOptions) -> Result:
    plan = read_plan(options.run)
    pin_threads(plan.threads)
    from drg_hpc.runs.merge import merge_run
    from drg_hpc.runs.signals import stop_on_signals

    with stop_on_signals():
        record = merge_run(plan)
    outputs = [str(plan.folder / name) for name in record["outputs"]]
    return {"message": f"merged: {', '.join(outputs)}", "run": str(plan.folder), "outputs": outputs}


def merge() -> NoReturn:
    """drg-merge."""
    run_command(
        prog="drg-merge",
        summary="Verify every part of a run and write its merged output.",
        options=MergeOptions,
        action=_merge,
    )


def _clean(options: CleanOptions) -> Result:
    plan = read_plan(options.run)
    cleaned = clean_run(plan, remove_parts=options.parts, older_than_h=options.older_than)
    message = f"removed {cleaned.removed} files and folders, {human_bytes(cleaned.bytes)}: {plan.folder}"
    return {"message": message, "removed": cleaned.removed, "bytes": cleaned.bytes}


def clean() -> NoReturn:
    """drg-clean."""
    run_command(
        prog="drg-clean",
        summary="Remove what killed attempts left behind; with --parts also the parts.",
        options=CleanOptions,
        action=_clean,
    )
