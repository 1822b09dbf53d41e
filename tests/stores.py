"""Helpers for tests that need a store: runs in this process, through the same plan, work and merge as the commands."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from support import EXAMPLES

from drg_hpc.bodies import shard_genome_plan, shard_regions_plan, shard_sequences_plan, simulate_plan
from drg_hpc.genome.counts import load_rows, read_names
from drg_hpc.runs.merge import ensure_reduced, merge_run
from drg_hpc.runs.plan import write_plan
from drg_hpc.runs.spec import RunSpec
from drg_hpc.runs.work import work_run

PLANNERS = {
    "genome": shard_genome_plan, "regions": shard_regions_plan, "sequences": shard_sequences_plan,
    "simulate": simulate_plan,
}  # fmt: skip
TINY = EXAMPLES / "hg38_tiny"
WINDOWS = EXAMPLES / "hg38_windows"
PEAKS = EXAMPLES / "ctcf" / "peaks.fa.gz"


def plan(kind: str, out: Path, **options: Any) -> RunSpec:
    """The planned run of ``drg-shard KIND``, or of ``drg-simulate``."""
    module: Any = PLANNERS[kind]
    spec: RunSpec = module.plan_shards(module.Options(out=out, **options))
    return spec


def shard(kind: str, out: Path, **options: Any) -> Path:
    """A merged run of ``drg-shard KIND``; its shards are done in an order that depends on their number only."""
    written = write_plan(plan(kind, out, **options), out)
    for stage in written.stages:
        shards = list(stage.shards)
        random.Random(len(shards)).shuffle(shards)
        work_run(written, device="cpu", shards=shards, stage=stage)
        if stage is not written.stages[-1]:
            ensure_reduced(written, stage)
    merge_run(written)
    return out


def fasta(path: Path, records: dict[str, str]) -> Path:
    """A FASTA file of a few sequences."""
    path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in records.items()))
    return path


def load_matrix(path: Path) -> tuple[list[str], Any]:
    """Names and values of a whole matrix of labels."""
    names = read_names(path)
    return names, load_rows(path, names)
