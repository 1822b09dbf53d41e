"""The smallest body: deterministic bytes, so that the protocol itself can be tested and timed."""

from __future__ import annotations

from drg_hpc.config import FanoutOptions, flag
from drg_hpc.runs.spec import Estimate, RunSpec, Stage, block_shards

SUMMARY = "Exercise the fan-out protocol on this machine with deterministic dummy data."


class Options(FanoutOptions):
    """Options of drg-selftest."""

    rows: int = flag(640, help="rows of dummy data", ge=1, metavar="N")
    row_bytes: int = flag(64, help="bytes a row", ge=8, metavar="N")
    seconds: float = flag(0.0, help="seconds to spend in each shard", ge=0, metavar="S")


def plan_shards(options: Options) -> RunSpec:
    """Two stages: a sum over all blocks, then the rows, which use it."""
    shards = block_shards(options.rows, shards=options.shards, shard_size=options.shard_size, default_size=64)
    params = {name: getattr(options, name) for name in ("rows", "row_bytes", "seconds", "seed")}
    size = options.rows * options.row_bytes
    return RunSpec(
        command="selftest",
        params=params,
        inputs={},
        stages=(Stage("total", block_shards(options.rows, shards=1)), Stage("rows", shards)),
        threads=options.threads,
        estimate=Estimate(bytes=2 * size, files=3 * len(shards) + 10, memory=64 << 20),
    )
