"""After the jobs of a submission: why something is missing, and whether it is submitted again."""

from __future__ import annotations

import logging
import shlex

from drg_hpc.errors import EXIT_FAILED, EXIT_INCOMPLETE, EXIT_INPUT
from drg_hpc.runs import parts
from drg_hpc.runs.launch import history, scheduler
from drg_hpc.runs.launch.chain import launcher_for, submit_missing
from drg_hpc.runs.launch.submission import Submission, submissions
from drg_hpc.runs.plan import Plan

log = logging.getLogger(__name__)

RETRIES = 2


def why_missing(plan: Plan) -> tuple[set[str], list[str]]:
    """Reasons why shards that were submitted are missing, and lines that name them with the ends of their logs."""
    reasons: set[str] = set()
    lines: list[str] = []
    past = submissions(plan)[::-1]
    for stage in plan.stages:
        left = [shard.id for shard in parts.missing_shards(plan, stage)]
        for submission in past:
            verdicts = history.judge(plan, submission, stage.name, left)
            reasons |= {verdict.reason for verdict in verdicts.values()}
            told = [
                (shard, verdict) for shard, verdict in sorted(verdicts.items()) if verdict.reason != history.UNSTARTED
            ]
            for shard, verdict in told[:5]:
                lines.append(f"shard {shard} of {stage.name}: {verdict.reason}: {verdict.message}")
                lines += history.last_lines(plan, submission, stage, shard, verdict.task)
            left = [shard for shard in left if shard not in verdicts]
    for name, verdict in history.judge_merges(plan, past[0]).items() if past else ():
        reasons.add(verdict.reason)
        lines.append(f"{name}: {verdict.reason}: {verdict.message}")
    return reasons, lines


def submit_again(plan: Plan, before: Submission, *, own_job: str) -> int:
    """What the merge job does when something is missing, or when the merge ran out of memory; returns its exit code."""
    reasons, lines = why_missing(plan)
    retries = RETRIES if before.settings.retries is None else before.settings.retries
    for line in lines:
        log.error("%s", line)
    if before.round >= retries or history.INPUT in reasons or reasons == {history.FINAL}:
        if history.INPUT in reasons:
            log.error("not submitted again: the same would end the same; mend it, then drg-submit %s",
                      shlex.quote(str(plan.folder)))  # fmt: skip
            return EXIT_INPUT
        poison = reasons & {history.MEMORY, history.TIME, history.FAILED, history.FINAL}
        advice = f"drg-submit {shlex.quote(str(plan.folder))} submits them again, with --mem or --time where needed"
        log.error("gave up after %d submissions in a row: %s; %s", before.round + 1, ", ".join(sorted(reasons)), advice)
        return EXIT_FAILED if poison else EXIT_INCOMPLETE
    longest = scheduler.max_minutes(before.settings.partition) if history.TIME in reasons else None
    settings = history.grown(before.asked, before.settings, reasons, keep=set(), longest=longest)
    result = submit_missing(
        plan, launcher_for(before.launcher), settings=settings, device=before.device, workers=before.asked_workers,
        round_=before.round + 1, own_job=own_job,
    )  # fmt: skip
    if result.submission is None:
        log.warning("another drg-submit came first: %d shards are queued", result.queued)
        return EXIT_INCOMPLETE
    log.warning(
        "%d shards submitted again (round %d of %d: %s), merge job %s",
        result.shards, before.round + 1, retries, ", ".join(sorted(reasons)) or "parts were lost", result.merge,
    )  # fmt: skip
    return EXIT_INCOMPLETE
