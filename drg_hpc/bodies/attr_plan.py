"""Plan of drg-attr: one stage over the rows of a dataset store or a FASTA."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from drg_hpc.attribution.catalogue import Output, Recipe, make_recipe
from drg_hpc.bodies.selection import ROW_TABLE_BYTES, select_rows, select_tracks, worker_memory
from drg_hpc.config import FanoutOptions, flag, positional
from drg_hpc.digests import describe_input
from drg_hpc.errors import InputError
from drg_hpc.files import human_bytes
from drg_hpc.models.header import MODEL_MEMBERS, model_inputs, model_length, other_strand, read_model_header
from drg_hpc.runs.spec import BLOCK_ROWS, Estimate, RunSpec, Stage, block_shards

SUMMARY = "Attribute a model's predictions to the bases of its input sequences."


class Options(FanoutOptions):
    """Options of drg-attr."""

    model: Path = positional(help="model folder", metavar="MODEL")
    input: Path = positional(help="dataset store (RUN or store), or FASTA with sequences of the model's length")
    split: str | None = flag(None, help="rows of a store: train, valid, test, excluded or all (default: test)")
    limit: int | None = flag(None, help="only the first N of these rows", metavar="N", ge=1)
    method: Literal["gradient", "inputxgradient", "tism", "integrated-gradients"] = flag(
        "gradient", help="how importance is computed"
    )
    output: Output | None = flag(
        None, help="form (default: corrected for gradient, raw for tism, global for the other two)"
    )
    tracks: str = flag("all", help="all, or names separated by commas", metavar="A,B")
    scale: Literal["link", "output"] = flag("link", help="attribute logits and log rates, or what they become")
    references: str | None = flag(
        None, help="reference of integrated-gradients (default: zero) and of the global form (default: uniform)",
        metavar="zero|uniform|freq:a,c,g,t",
    )  # fmt: skip
    base_freqs: str | None = flag(
        None, help="base frequencies of the hypothetical form (default: uniform)", metavar="a,c,g,t"
    )
    rc_average: bool = flag(False, help="mean over both strands; stranded tracks by their partner, bins turned")
    store_dtype: Literal["float16", "float32"] = flag("float16", help="precision of stored attributions")
    keep: Literal["projected", "hypothetical"] = flag(
        "projected", help="store the attribution of the bases that are there, or also the form of all four bases"
    )


def plan_shards(options: Options) -> RunSpec:
    """Check model, input and options against each other, and cut the rows into shards.

    Raises
    ------
    UsageError : method and form do not go together, or no such track
    InputError : no model, no rows, or sequences of another length
    """
    recipe = make_recipe(options.method, options.output, references=options.references, base_freqs=options.base_freqs)
    model = read_model_header(options.model)
    if len(inputs := model_inputs(model)) > 1:
        raise InputError(
            f"{options.model} takes {len(inputs)} sequences a row ({', '.join(inputs)}), drg-attr models of one only",
            fix="drg-predict and drg-evaluate take such a model",
        )
    chosen = select_rows(options.input, model, split=options.split, limit=options.limit)
    tracks = select_tracks(options.tracks, model["tracks"])
    if options.rc_average:
        other_strand(model["strand_partners"], [index for index, _ in tracks], model["tracks"])
    shards = block_shards(chosen.rows, shards=options.shards, shard_size=options.shard_size)
    params = _params(options, recipe) | {
        "input": chosen.kind,
        "split": chosen.split,
        "rows": chosen.rows,
        "length": model_length(model),
        "tracks": [[index, name] for index, name in tracks],
        **({"inputs": list(chosen.inputs)} if chosen.inputs else {}),
    }
    sizes = {keep: chosen.rows * _row_bytes(params, keep) for keep in ("projected", "hypothetical")}
    return RunSpec(
        command="attr",
        params=params,
        inputs={"model": describe_input(options.model, MODEL_MEMBERS), "sequences": chosen.record},
        stages=(Stage("attr", shards),),
        threads=options.threads,
        estimate=Estimate(bytes=2 * sizes[options.keep], files=2 * len(shards) + 8, memory=_memory(model)),
        notes=(
            f"{recipe.method}, form {recipe.form}: {chosen.rows} sequences, {len(tracks)} tracks; before compression "
            f"{human_bytes(sizes['projected'])} projected, {human_bytes(sizes['hypothetical'])} with all four bases",
        ),
    )


def _params(options: Options, recipe: Recipe) -> dict[str, Any]:
    kept = ("scale", "rc_average", "store_dtype", "keep", "seed")
    return {name: getattr(options, name) for name in kept} | {
        "method": recipe.method,
        "output": recipe.output,
        "references": None if recipe.references is None else list(recipe.references),
        "base_freqs": None if recipe.base_freqs is None else list(recipe.base_freqs),
    }


def _memory(model: dict[str, Any]) -> int:
    """Of one worker: the model at work, and some sixteen copies of the forms of one track of one block."""
    return worker_memory(model) + 16 * BLOCK_ROWS * 4 * model_length(model) * 4


def _row_bytes(params: dict[str, Any], keep: str) -> int:
    """Bytes of a row before compression: sequence, region, and per track projection, prediction, perhaps all bases."""
    size, length, tracks = (2 if params["store_dtype"] == "float16" else 4), params["length"], len(params["tracks"])
    per_track = size * length * (5 if keep == "hypothetical" else 1) + 4
    motif_finders = 8 * size * length if tracks == 1 else 0
    return int(4 * length + ROW_TABLE_BYTES + tracks * per_track + motif_finders)
