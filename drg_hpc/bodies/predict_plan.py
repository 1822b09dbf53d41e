"""Plan of drg-predict: one stage over the rows of a dataset store."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from drg_hpc.bodies.selection import ROW_TABLE_BYTES, select_store, select_tracks, worker_memory
from drg_hpc.config import FanoutOptions, flag, positional
from drg_hpc.digests import describe_input
from drg_hpc.models.header import MODEL_MEMBERS, model_length, other_strand, read_model_header
from drg_hpc.runs.spec import Estimate, RunSpec, Stage, block_shards

SUMMARY = "Predict the tracks of a dataset store's sequences with a model."


class Options(FanoutOptions):
    """Options of drg-predict."""

    model: Path = positional(help="model folder", metavar="MODEL")
    store: Path = positional(help="dataset store (RUN or store)", metavar="STORE")
    split: str = flag("test", help="rows: train, valid, test, excluded or all")
    limit: int | None = flag(None, help="only the first N of these rows", metavar="N", ge=1)
    tracks: str = flag("all", help="all, or names separated by commas", metavar="A,B")
    scale: Literal["link", "output"] = flag("link", help="logits and log rates, or what they become")
    rc_average: bool = flag(
        False,
        help="mean over both strands, taken on --scale; stranded tracks by their partner, bins turned "
        "(drg-evaluate takes it on the output scale)",
    )


def plan_shards(options: Options) -> RunSpec:
    """Check model and store against each other, and cut the rows into shards.

    Raises
    ------
    UsageError : no such track
    InputError : no model, no rows, or sequences of another length
    """
    model = read_model_header(options.model)
    chosen = select_store(options.store, model, split=options.split, limit=options.limit)
    tracks = select_tracks(options.tracks, model["tracks"])
    if options.rc_average:
        other_strand(model["strand_partners"], [index for index, _ in tracks], model["tracks"])
    shards = block_shards(chosen.rows, shards=options.shards, shard_size=options.shard_size)
    size = chosen.rows * (ROW_TABLE_BYTES + 4 * len(tracks) * max(int(model["bins"]), 1))
    shard_rows = max(shard.rows for shard in shards)
    params = {
        "split": chosen.split,
        "rows": chosen.rows,
        "length": model_length(model),
        "bins": int(model["bins"]),
        "tracks": [[index, name] for index, name in tracks],
        "scale": options.scale,
        "rc_average": options.rc_average,
        "seed": options.seed,
    }
    return RunSpec(
        command="predict",
        params=params,
        inputs={"model": describe_input(options.model, MODEL_MEMBERS), "store": chosen.record},
        stages=(Stage("predict", shards),),
        threads=options.threads,
        estimate=Estimate(
            bytes=2 * size,
            files=2 * len(shards) + 8,
            memory=worker_memory(model) + 2 * size * shard_rows // chosen.rows,
        ),
    )
