"""drg-work: do the missing shards of a run, here. Any number of these may run at once, anywhere."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from drg_hpc.errors import ShardsFailedError
from drg_hpc.log import Progress
from drg_hpc.runs import parts
from drg_hpc.runs.attempt import describe_error, do_shard, ends_run
from drg_hpc.runs.bodies import load_body
from drg_hpc.runs.choose import Chooser
from drg_hpc.runs.merge import ensure_reduced, is_merged, is_reduced
from drg_hpc.runs.outputs import committed
from drg_hpc.runs.plan import Plan, check_inputs
from drg_hpc.runs.signals import check_stop
from drg_hpc.runs.spec import Body, Shard, Stage

log = logging.getLogger(__name__)

TRIES = 2


@dataclass(frozen=True)
class Failed:
    """Why a shard failed: on every try, or (``final``) in a way that the next try would repeat."""

    message: str
    final: bool = False

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Failed:
        """What an answer of :func:`drg_hpc.runs.worker` or :func:`describe_error` says."""
        return cls(answer["message"], bool(answer.get("final")))


@dataclass
class Tally:
    """What one worker did: counts by outcome, and the shards that failed."""

    counts: dict[str, int] = field(default_factory=lambda: {"done": 0, "present": 0, "lost": 0})
    failed: dict[int, Failed] = field(default_factory=dict)


def work_run(plan: Plan, *, device: str, stage: Stage | None = None, shards: list[Shard] | None = None) -> Tally:
    """Do shards of a run in this process.

    Parameters
    ----------
    device : ``cpu`` or ``cuda:I``
    stage : only this stage; default: each stage in turn from the first that is not complete
    shards : only these shards of the stage; default: all that are missing

    Raises
    ------
    ShardsFailedError : some shards raised errors on each of two tries, or failed for good
    DrgError : bad input, damaged data, a stop signal; nothing half-written is left
    """
    tally = Tally()
    record = committed(plan.folder)
    if record is not None and record.get("parts_removed") and is_merged(plan):
        log.info("%s is merged and its parts were removed: nothing to do", plan.folder)
        return tally
    check_inputs(plan)
    body = load_body(plan)
    if shards is not None and stage is None:
        stage = current_stage(plan)
    for each in [stage] if stage else plan.stages:
        before = plan.stages.index(each) - 1
        if before >= 0:
            ensure_reduced(plan, plan.stages[before], body)
        chosen = parts.missing_shards(plan, each) if shards is None else shards
        _do_all(plan, each, chosen, body=body, device=device, tally=tally)
        if tally.failed:
            raise failure(plan, tally.failed)
    return tally


def failure(plan: Plan, failed: dict[int, Failed]) -> ShardsFailedError:
    """The one line for shards that failed."""
    first = min(failed)
    told = {True: "for good", False: f"on each of {TRIES} tries"}
    how = " or ".join(told[final] for final in sorted({each.final for each in failed.values()}))
    return ShardsFailedError(
        f"shards {parts.format_ids(list(failed))} failed {how}; shard {first}: {failed[first].message}",
        fix=f"details in {plan.folder / 'logs'}; finished shards are kept",
    )


def current_stage(plan: Plan) -> Stage:
    """The first stage with missing shards, or not yet reduced; the last one when all is done."""
    for stage in plan.stages[:-1]:
        if parts.missing_shards(plan, stage) or not is_reduced(plan, stage):
            return stage
    return plan.stages[-1]


def _do_all(plan: Plan, stage: Stage, shards: list[Shard], *, body: Body, device: str, tally: Tally) -> None:
    chooser = Chooser(plan, stage, shards, tries=TRIES)
    with Progress(sum(s.rows for s in shards), f"{plan.command} {stage.name}") as progress:
        while (shard := chooser.take()) is not None:
            check_stop()
            try:
                tally.counts[do_shard(plan, stage, shard, body=body, device=device)] += 1
            except Exception as error:
                if ends_run(error):
                    raise
                failed = Failed.of(describe_error(error))
                log.warning("shard %d of %s: %s", shard.id, stage.name, failed.message)
                if not failed.final and chooser.put_back(shard):
                    continue
                tally.failed[shard.id] = failed
            progress.add(shard.rows)
