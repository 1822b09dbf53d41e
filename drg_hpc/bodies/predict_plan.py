"""Plan of drg-predict: one stage over the rows of a dataset store, a FASTA or regions of a genome."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from drg_hpc.bodies.row_options import RowOptions
from drg_hpc.config import flag, positional
from drg_hpc.models.header import model_inputs, model_paths, other_strand, read_model_header
from drg_hpc.runs.spec import Estimate, RunSpec, Stage, block_shards

SUMMARY = "Predict the tracks of sequences with a model, or with the mean of several."
STORE = "store"
"""Key of a dataset store among the inputs of a plan, by which drg-evaluate finds it."""


class Options(RowOptions):
    """Options of drg-predict."""

    model: Path = positional(
        help="model folder; of several separated by commas, or a run of drg-train with several, the mean and the "
        "standard deviation over models, taken on --scale",
        metavar="MODEL[,MODEL…]",
    )
    tracks: str = flag("all", help="all, or names separated by commas", metavar="A,B")
    scale: Literal["link", "output"] = flag("link", help="logits and log rates, or what they become")
    rc_average: bool = flag(
        False,
        help="mean over both strands, taken on --scale; stranded tracks by their partner, bins turned "
        "(drg-evaluate takes it on the output scale)",
    )


def plan_shards(options: Options) -> RunSpec:
    """Check models and store against each other, and cut the rows into shards.

    Raises
    ------
    UsageError : no such track
    InputError : no model, models that differ, no rows, or sequences that do not fit
    """
    # Here, since --help needs none of it.
    from drg_hpc.bodies.selection import (
        ROW_TABLE_BYTES,
        describe_models,
        require_alike,
        select_input,
        select_tracks,
        worker_memory,
    )

    paths = model_paths(options.model)
    models = [read_model_header(path) for path in paths]
    require_alike(paths, models)
    model = models[0]
    chosen = select_input(options, model, store=STORE)
    tracks = select_tracks(options.tracks, model["tracks"])
    if options.rc_average:
        other_strand(model["strand_partners"], [index for index, _ in tracks], model["tracks"])
    shards = block_shards(chosen.rows, shards=options.shards, shard_size=options.shard_size)
    values = 4 * len(tracks) * max(int(model["bins"]), 1) * (1 if len(models) == 1 else 2)
    size = chosen.rows * (ROW_TABLE_BYTES + values)
    shard_rows = max(shard.rows for shard in shards)
    params = {
        **chosen.params,
        "length": sum(model_inputs(model).values()),
        "bins": int(model["bins"]),
        "tracks": [[index, name] for index, name in tracks],
        "scale": options.scale,
        "rc_average": options.rc_average,
        "seed": options.seed,
    }
    more = 3 * sum(int(other["weights"]["bytes"]) for other in models[1:])
    return RunSpec(
        command="predict",
        params=params,
        inputs=describe_models(paths) | chosen.records,
        stages=(Stage("predict", shards),),
        threads=options.threads,
        estimate=Estimate(
            bytes=2 * size,
            files=2 * len(shards) + 8,
            memory=chosen.memory + worker_memory(model) + more + 2 * size * shard_rows // chosen.rows,
        ),
        notes=(*chosen.notes, *([f"mean and standard deviation of {len(models)} models"] if len(models) > 1 else [])),
        aside=chosen.aside,
    )
