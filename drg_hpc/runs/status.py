"""drg-status: what is done, missing and damaged, from one directory listing per stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from drg_hpc.errors import EXIT_CORRUPT, EXIT_DONE, EXIT_INCOMPLETE
from drg_hpc.runs import parts, state
from drg_hpc.runs.merge import find_faults, output_fault
from drg_hpc.runs.outputs import committed
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.spec import Stage


@dataclass(frozen=True)
class StageStatus:
    """Counts and ids of one stage. ``slowest`` and hash checks only when receipts were read; ``begun``: how far the
    missing shards of a resumable command are."""

    name: str
    shards: int
    done: int
    missing: list[int]
    damaged: dict[int, str]
    attempts: int
    slowest: tuple[int, float] | None
    begun: dict[int, state.ShardState] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        return {
            "name": self.name,
            "shards": self.shards,
            "done": self.done,
            "missing": parts.format_ids(self.missing),
            "missing_count": len(self.missing),
            "damaged": {str(key): why for key, why in self.damaged.items()},
            "attempts": self.attempts,
            "slowest": self.slowest,
            "begun": {str(key): vars(found) for key, found in self.begun.items()},
        }


@dataclass(frozen=True)
class RunStatus:
    """State of a run; ``fault`` says why a committed output is not what it should be."""

    stages: list[StageStatus]
    set_aside: int
    merged: bool
    fault: str | None

    @property
    def exit_code(self) -> int:
        """0 complete (every part is there, merged or not), 4 incomplete, 5 damaged."""
        if self.fault or any(stage.damaged for stage in self.stages):
            return EXIT_CORRUPT
        if not self.merged and any(stage.missing for stage in self.stages):
            return EXIT_INCOMPLETE
        return EXIT_DONE


def _stage_status(plan: Plan, stage: Stage, *, full: bool) -> StageStatus:
    listing = parts.list_parts(plan, stage)
    slowest: tuple[int, float] | None = None
    if full:
        missing, faults = find_faults(plan, stage)
        damaged = {number: str(fault) for number, fault in faults.items()}
        for shard in stage.shards:
            if shard.id in listing.done and shard.id not in damaged:
                seconds = float(parts.load_part(plan, stage, shard).receipt["seconds"])
                slowest = max(slowest or (shard.id, seconds), (shard.id, seconds), key=lambda pair: pair[1])
    else:
        missing = [s.id for s in stage.shards if s.id not in listing.done and s.id not in listing.links]
        damaged = dict.fromkeys(sorted(listing.links), "it is a symbolic link")
    return StageStatus(
        name=stage.name,
        shards=len(stage.shards),
        done=len(stage.shards) - len(missing) - len(damaged),
        missing=missing,
        damaged=damaged,
        attempts=sum(len(folders) for folders in listing.attempts.values()),
        slowest=slowest,
        begun={number: found for number, found in state.begun(plan).items() if number in missing},
    )


def run_status(plan: Plan, *, full: bool = False) -> RunStatus:
    """Look at a run; nothing is changed.

    Parameters
    ----------
    full : read every receipt and byte (slow), instead of listing folders
    """
    record = committed(plan.folder)
    fault = output_fault(plan, record, hashes=full) if record else None
    if record and record.get("parts_removed"):
        stages = [StageStatus(s.name, len(s.shards), len(s.shards), [], {}, 0, None) for s in plan.stages]
    else:
        stages = [_stage_status(plan, stage, full=full) for stage in plan.stages]
    folder = plan.folder / "damaged"
    complete = not any(stage.missing or stage.damaged for stage in stages)
    return RunStatus(
        stages=stages,
        set_aside=sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0,
        merged=record is not None and fault is None and complete,
        fault=fault,
    )
