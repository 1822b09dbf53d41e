"""What a run of drg-ism works on: rows, values, edits, sizes and cost, settled in the plan. Light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from drg_hpc.attribution.cost import PASS_BYTES, Work
from drg_hpc.attribution.ism_recipe import IsmRecipe
from drg_hpc.attribution.recipe import parse_shifts
from drg_hpc.bodies.ism_checks import (
    mutated_inputs,
    positions_record,
    recipe_of,
    refuse_tsv,
    require_screening,
    scale_of,
    span_of,
)
from drg_hpc.bodies.ism_cost import IsmCost, mutants_of_pass
from drg_hpc.bodies.ism_layout import METHOD, layout_of
from drg_hpc.bodies.ism_notes import cost_notes
from drg_hpc.bodies.ism_options import Options
from drg_hpc.bodies.selection import ROW_TABLE_BYTES, describe_models, require_alike, worker_base
from drg_hpc.bodies.user_code import source_of
from drg_hpc.bodies.value_rows import ValueRows, choose_values, contigs_for, require_groups_named
from drg_hpc.digests import describe_input
from drg_hpc.models.header import model_inputs, model_paths, other_strand, read_model_header
from drg_hpc.results.attributions_layout import Layout
from drg_hpc.results.export_kinds import check_exports, export_bytes, parse_exports
from drg_hpc.runs.spec import Estimate, RunSpec, Stage, block_shards

Header = Mapping[str, Any]


def settle(options: Options) -> RunSpec:
    """Check models, input and options against each other, and cut the rows into shards.

    Raises
    ------
    UsageError : options that do not go together, or no such track or input
    InputError : no model, no rows, or sequences of another length
    """
    recipe = recipe_of(options)
    require_groups_named(options)
    paths = model_paths(options.model)
    headers = [read_model_header(path) for path in paths]
    require_alike(paths, headers)
    lengths = model_inputs(headers[0])
    chosen = _values(options, headers[0], recipe)
    mutated = mutated_inputs(options, lengths)
    recipe.check_lengths(mutated)
    shifts = parse_shifts(options.shifts, length=min(lengths.values()))
    if options.rc_average:
        other_strand(headers[0]["strand_partners"], chosen.tracks, headers[0]["tracks"])
    start, end = span_of(options, mutated)
    if options.format == "tsv":
        refuse_tsv(options, recipe, rows=chosen.rows, values=chosen.names, mutated=list(mutated))
    work = Work(
        headers[0],
        values=len(chosen.names),
        tracks=chosen.plain,
        references=0,
        views=len(shifts) * (2 if options.rc_average else 1),
        models=len(paths),
    )
    positions = [(end or n) - start for n in mutated.values()]
    require_screening(recipe, sum(positions))
    cost = IsmCost.of(work, recipe, rows=chosen.rows, positions=positions)
    params = _params(options, recipe, chosen, cost) | {
        "sequences": [[name, length] for name, length in lengths.items()],
        "mutated": list(mutated),
        "start": start,
        "end": end,
        "shifts": list(shifts),
    }
    spec = _spec(options, params, chosen, cost, models=describe_models(paths), headers=headers)
    return replace(spec, notes=(*spec.notes, *cost_notes(spec, options.out, cost, _layout(params, headers))))


def _values(options: Options, header: Header, recipe: IsmRecipe) -> ValueRows:
    """Rows and values; the pseudo count belongs to statistics of genes, or else to ratios."""
    if options.gtf is not None:
        return choose_values(options, header, scale=None)
    return choose_values(options.model_copy(update={"pseudo": 0.0}), header, scale=scale_of(options, recipe))


def _params(options: Options, recipe: IsmRecipe, chosen: ValueRows, cost: IsmCost) -> dict[str, Any]:
    """Parameters of the plan that do not depend on the model's inputs."""
    return {
        **chosen.params,
        **recipe.params(),
        "method": METHOD,
        "rows": chosen.rows,
        "tracks": [[index, name] for index, name in chosen.names],
        "unkept": chosen.unkept,
        "positions": positions_record(options),
        "rc_average": options.rc_average,
        "store_dtype": "float32" if options.format == "tsv" else options.store_dtype,
        "export": list(parse_exports(options.export)),
        "format": options.format,
        "block_rows": cost.block_rows,
        "seed": options.seed,
        "batch": options.batch_size,
    }


def _layout(params: Mapping[str, Any], headers: Sequence[Header]) -> Layout:
    return layout_of(params, models=len(headers))


def _spec(
    options: Options, params: dict[str, Any], chosen: ValueRows, cost: IsmCost, *, models: Mapping[str, Any],
    headers: Sequence[Header],
) -> RunSpec:  # fmt: skip
    """The run, without the notes on its cost."""
    contigs, layout = contigs_for(options, params["export"]), _layout(params, headers)
    check_exports(params["export"], layout, contigs=contigs is not None)
    shards = block_shards(
        chosen.rows, shards=options.shards, shard_size=options.shard_size, block=cost.block_rows,
        default_size=cost.shard_rows,
    )  # fmt: skip
    passes = {kind: options.batch_size or mutants_of_pass(cost.work, kind) for kind in PASS_BYTES}
    code, notes = _user_code(params["compare"])
    if options.positions is not None:
        code["positions"] = describe_input(options.positions)
    return RunSpec(
        command="ism",
        params=params,
        inputs={**models, **chosen.inputs, **code},
        stages=(Stage("ism", shards),),
        threads=options.threads,
        estimate=Estimate(
            bytes=2 * chosen.rows * (layout.row_bytes() + ROW_TABLE_BYTES)
            + export_bytes(params["export"], layout, chosen.rows),
            files=2 * len(shards) + 8 + len(params["export"]),
            memory=chosen.memory + worker_base(headers) + cost.memory(layout, mutants=passes["cpu"]),
        ),
        notes=(*chosen.notes, *notes),
        aside={**chosen.aside, "pass_rows": passes, **({"contigs": list(contigs.items())} if contigs else {})},
    )


def _user_code(compare: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The file of a user's compare function, as an input of the run."""
    if ":" not in compare:
        return {}, ()
    code = source_of(compare)
    if code is None:
        return {}, (f"the code of {compare} is not found here: workers take theirs unchecked",)
    return {"compare": describe_input(code)}, ()
