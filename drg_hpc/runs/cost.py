"""What a run will cost before it is submitted: tasks, memory, bytes and files, and hours from a measured shard."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from drg_hpc.config import ClusterFlags
from drg_hpc.errors import ShardsFailedError
from drg_hpc.files import counted, human_bytes
from drg_hpc.runs import parts
from drg_hpc.runs.image import Inside, merge_inside
from drg_hpc.runs.launch.chain import complete_settings, pack_size
from drg_hpc.runs.launch.local import work_local
from drg_hpc.runs.merge import ensure_reduced
from drg_hpc.runs.plan import Plan, write_plan
from drg_hpc.runs.spec import Estimate, RunSpec


@dataclass(frozen=True)
class StageCost:
    """One stage. ``hours``: of one worker, all shards together; None where no shard was measured."""

    name: str
    shards: int
    tasks: int
    shard_s: float | None
    hours: float | None


@dataclass(frozen=True)
class Cost:
    """A run's cost as jobs: CPUs, GPUs and memory are of one task."""

    stages: tuple[StageCost, ...]
    cpus: int
    gpus: int
    mem: str
    time: str
    bytes: int
    files: int

    def lines(self) -> list[str]:
        """In words."""
        lines = []
        for stage in self.stages:
            each = -(-stage.shards // max(1, stage.tasks))
            text = f"as jobs, stage {stage.name}: {counted(stage.tasks, 'task')} of {counted(each, 'shard')}"
            if stage.shard_s is not None and stage.hours is not None:
                text += f"; {stage.shard_s:.2g} s a shard, {stage.hours:.3g} worker hours in all"
            lines.append(text)
        gpus = f", {counted(self.gpus, 'GPU')}" if self.gpus else ""
        lines.append(f"a task: {counted(self.cpus, 'CPU')}{gpus}, {self.mem} memory, time limit {self.time}")
        lines.append(f"out: about {human_bytes(self.bytes)} in {self.files} files")
        if all(stage.shard_s is None for stage in self.stages):
            lines.append("hours: not measured; --calibrate runs one shard here")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        return asdict(self)


def estimate(plan: Plan, *, settings: ClusterFlags, workers: int | None, shard_s: Mapping[str, float]) -> Cost:
    """Cost of a whole plan, nothing of it done.

    Parameters
    ----------
    shard_s : measured seconds of a shard of full size, by stage
    """
    settings, workers = complete_settings(settings, plan, workers=workers)
    stages = []
    for stage in plan.stages:
        seconds = shard_s.get(stage.name)
        size = pack_size(len(stage.shards), settings=settings, workers=workers, shard_s=seconds)
        hours = None if seconds is None else seconds * len(stage.shards) / 3600
        stages.append(StageCost(stage.name, len(stage.shards), -(-len(stage.shards) // size), seconds, hours))
    return Cost(
        stages=tuple(stages), cpus=settings.cpus or 1, gpus=settings.gpus or 0, mem=settings.mem or "",
        time=settings.time or "", bytes=plan.estimate.bytes, files=plan.estimate.files,
    )  # fmt: skip


def calibrate(
    spec: RunSpec, *, device: str, inside: Callable[[Plan], Inside | None] = lambda plan: None
) -> dict[str, float]:
    """Seconds of a shard by stage, measured on this machine in a scratch folder that is removed.

    One shard of each stage is run, up to the first stage with several: later ones need all of it.

    Parameters
    ----------
    inside : the image that the plan's workers run in

    Raises
    ------
    ShardsFailedError : the shard fails here
    """
    seconds: dict[str, float] = {}
    small = replace(spec, estimate=Estimate(0, 0, spec.estimate.memory))
    with tempfile.TemporaryDirectory(prefix="drg-calibrate-") as scratch:
        plan = write_plan(small, Path(scratch) / "run")
        for stage in plan.stages:
            failed = work_local(plan, stage, [stage.shards[0]], workers=1, device=device, inside=inside(plan))
            if failed:
                raise ShardsFailedError(
                    f"shard 0 of {stage.name} failed: {failed[0].message}", fix="leave --calibrate out"
                )
            seconds[stage.name] = float(parts.load_part(plan, stage, stage.shards[0]).receipt["seconds"])
            if len(stage.shards) > 1 or stage is plan.stages[-1]:
                break
            if (place := inside(plan)) is None:
                ensure_reduced(plan, stage)
            else:
                merge_inside(plan, place, stage)
    return seconds
