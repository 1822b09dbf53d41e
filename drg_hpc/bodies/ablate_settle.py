"""What a run of drg-ablate works on: rows, pieces, values, sizes and cost, settled in the plan. Light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drg_hpc.attribution.cost import PASS_BYTES, Work
from drg_hpc.attribution.recipe import parse_shifts
from drg_hpc.bodies.ablate_options import Options
from drg_hpc.bodies.ablate_pieces import PIECES, WINDOWS, PieceSource, find_pieces, parse_replace
from drg_hpc.bodies.ism_cost import IsmCost, mutants_of_pass
from drg_hpc.bodies.selected import Selection
from drg_hpc.bodies.selection import ROW_TABLE_BYTES, describe_models, require_alike, select_input, worker_base
from drg_hpc.bodies.value_rows import only_length, plan_values, require_groups_named, used_tracks
from drg_hpc.digests import describe_input
from drg_hpc.models.header import model_paths, other_strand, read_model_header
from drg_hpc.runs.spec import Estimate, RunSpec, Stage, block_shards

Header = Mapping[str, Any]
_PIECE_BYTES, _LISTED_BYTES = 32, 700
"""Of a piece without its effects, in files, and in a worker's list of those that a file names."""


def settle(options: Options) -> RunSpec:
    """See :func:`drg_hpc.bodies.ablate_plan.plan_shards`."""
    paths = model_paths(options.model)
    headers = [read_model_header(path) for path in paths]
    require_alike(paths, headers)
    header, length = headers[0], only_length(headers[0], why="pieces are of one", fix="take a model of one input")
    require_groups_named(options)
    replace, background = parse_replace(options.replace)
    chosen = select_input(options, header)
    pieces = find_pieces(options, rows=chosen.rows, length=length)
    values, files, notes = plan_values(options, header, scale=options.scale)
    target = dict(values.record())
    if options.rc_average:
        other_strand(header["strand_partners"], used_tracks(target, header), header["tracks"])
    shifts = parse_shifts(options.shifts, length=length)
    work = Work(
        header, values=len(target["names"]), tracks=False, references=0,
        views=len(shifts) * (2 if options.rc_average else 1), models=len(paths),
    )  # fmt: skip
    copies = max(1, pieces.count) * options.shuffles
    cost = IsmCost(work, rows=chosen.rows, positions=0, substitutions=0, others=copies)
    params = {
        **chosen.params,
        "length": length,
        "pieces": pieces.kind,
        "windows": pieces.params if pieces.kind == WINDOWS else None,
        "replace": replace,
        "background": background,
        "shuffles": options.shuffles,
        "target": target,
        "rc_average": options.rc_average,
        "shifts": list(shifts),
        "engine": options.engine,
        "format": options.format,
        "block_rows": cost.block_rows,
        "seed": options.seed,
        "batch": options.batch_size,
    }
    files |= {} if pieces.file is None else {PIECES: describe_input(pieces.file)}
    inputs = describe_models(paths) | chosen.records | files
    told = (*chosen.notes, *notes, *_words(options, pieces, cost))
    return _spec(options, params, inputs, chosen, headers, cost, pieces, notes=told)


def _words(options: Options, pieces: PieceSource, cost: IsmCost) -> list[str]:
    """What is replaced, and what it takes."""
    work = cost.work
    passes = cost.others * work.views * work.models
    return [
        f"{pieces.words}, {options.shuffles} copies of each ({options.replace})",
        f"about {passes:.3g} predictions; operations in full: {cost.full:.3g} multiply-adds, with the incremental "
        "engine fewer",
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
