"""What a run of drg-ablate works on: rows, pieces, values, sizes and cost, settled in the plan. Light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drg_hpc.attribution.cost import PASS_BYTES
from drg_hpc.bodies.ablate_options import Options
from drg_hpc.bodies.ablate_pieces import PIECES, WINDOWS, PieceSource, find_pieces, parse_replace
from drg_hpc.bodies.ism_cost import IsmCost, mutants_of_pass
from drg_hpc.bodies.model_values import plan_model_values, read_models
from drg_hpc.bodies.selected import Selection
from drg_hpc.bodies.selection import ROW_TABLE_BYTES, select_input, worker_base
from drg_hpc.digests import describe_input
from drg_hpc.runs.outputs import check_recorded
from drg_hpc.runs.spec import Estimate, RunSpec, Stage, block_shards

Header = Mapping[str, Any]
_PIECE_BYTES, _LISTED_BYTES = 32, 700
"""Of a piece without its effects, in files, and in a worker's list of those that a file names."""


def settle(options: Options) -> RunSpec:
    """See :func:`drg_hpc.bodies.ablate_plan.plan_shards`."""
    models = read_models(options.model, why="pieces are of one", fix="take a model of one input")
    replace, background = parse_replace(options.replace)
    chosen = select_input(options, models.header)
    pieces = find_pieces(options, chosen, length=models.length)
    values = plan_model_values(options, models, scale=options.scale)
    copies = max(1, pieces.count) * options.shuffles
    cost = IsmCost(values.work, rows=chosen.rows, positions=0, substitutions=0, others=copies)
    params = {
        **chosen.params,
        "length": models.length,
        "pieces": pieces.kind,
        "windows": pieces.params if pieces.kind == WINDOWS else None,
        "replace": replace,
        "background": background,
        "shuffles": options.shuffles,
        "target": values.target,
        "rc_average": options.rc_average,
        "shifts": list(values.shifts),
        "engine": options.engine,
        "format": options.format,
        "block_rows": cost.block_rows,
        "seed": options.seed,
        "batch": options.batch_size,
    }
    files = {} if pieces.file is None else {PIECES: describe_input(pieces.file)}
    if pieces.file is not None:
        check_recorded(pieces.file, sha256=files[PIECES]["sha256"])
    inputs = values.files | chosen.records | files
    told = (*chosen.notes, *values.notes, *_words(options, pieces, cost))
    return _spec(options, params, inputs, chosen, models.headers, cost, pieces, notes=told)


def _words(options: Options, pieces: PieceSource, cost: IsmCost) -> list[str]:
    """What is replaced, and what it takes."""
    work = cost.work
    passes = cost.others * work.views * work.models
    return [
        f"{pieces.words}, {options.shuffles} copies of each ({options.replace})",
        f"{pieces.certainty} {passes:.3g} predictions; operations in full: {cost.full:.3g} multiply-adds, with the "
        "incremental engine fewer",
    ]


def _spec(
    options: Options, params: dict[str, Any], inputs: dict[str, Any], chosen: Selection, headers: Sequence[Header],
    cost: IsmCost, pieces: PieceSource, *, notes: tuple[str, ...],
) -> RunSpec:  # fmt: skip
    rows, values, length = params["rows"], cost.work.values, params["length"]
    shards = block_shards(
        rows, shards=options.shards, shard_size=options.shard_size, block=cost.block_rows, default_size=cost.shard_rows
    )
    passes = {kind: options.batch_size or mutants_of_pass(cost.work, kind) for kind in PASS_BYTES}
    piece = _PIECE_BYTES + 4 * values * (2 if cost.work.models == 1 else 3)
    positions = (4 * values + 1) * length if pieces.kind == WINDOWS else 0
    text = 0 if options.format == "h5" else pieces.count * (80 + 24 * values)
    of_row = positions + 4 * values + ROW_TABLE_BYTES + piece * -(-pieces.count // max(1, rows))
    return RunSpec(
        command="ablate",
        params=params,
        inputs=inputs,
        stages=(Stage("ablate", shards),),
        threads=options.threads,
        estimate=Estimate(
            bytes=2 * rows * of_row + text + (1 << 20),
            files=2 * len(shards) + 10,
            memory=worker_base(headers) + chosen.memory + passes["cpu"] * cost.work.row_bytes
            + 3 * cost.block_rows * of_row + _LISTED_BYTES * (pieces.count if pieces.file else 0) + (64 << 20),
        ),
        notes=notes,
        aside={**chosen.aside, "pass_rows": passes},
    )  # fmt: skip
