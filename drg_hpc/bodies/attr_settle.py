"""What a run of drg-attr works on: rows, values, method, sizes and cost, settled in the plan. Light."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from drg_hpc.attribution.catalogue import ATTENTION
from drg_hpc.attribution.cost import PASS_BYTES, Work
from drg_hpc.attribution.recipe import Recipe, make_recipe, parse_shifts
from drg_hpc.bodies.attr_attention import MAX_SIZE, plan_attention, require_size
from drg_hpc.bodies.attr_layout import layout_of
from drg_hpc.bodies.attr_options import Options
from drg_hpc.bodies.attr_references import count_of, input_of, recipe_params
from drg_hpc.bodies.selection import ROW_TABLE_BYTES, describe_models, require_alike, worker_base
from drg_hpc.bodies.value_rows import batch_size, choose_values, contigs_for, require_groups_named
from drg_hpc.config import changed
from drg_hpc.errors import UsageError
from drg_hpc.files import counted, human_bytes
from drg_hpc.models.header import model_inputs, model_paths, other_strand, read_model_header
from drg_hpc.results.attributions_layout import Layout
from drg_hpc.results.export_kinds import check_exports, export_bytes, parse_exports
from drg_hpc.runs.spec import Estimate, RunSpec, Stage, block_shards

Header = Mapping[str, Any]
_NOT_OF_ATTENTION = (
    "output", "references", "base_freqs", "samples", "sample_level", "tracks", "groups", "transform", "scale",
    "rc_average", "shifts", "keep", "top",
)  # fmt: skip


def settle(options: Options) -> RunSpec:
    """Check models, input and options against each other, and cut the rows into shards.

    Raises
    ------
    UsageError : method, form and options do not go together, or no such track
    InputError : no model, no rows, or sequences of another length
    """
    recipe = _recipe(options)
    paths = model_paths(options.model)
    headers = [read_model_header(path) for path in paths]
    require_alike(paths, headers)
    header = headers[0]
    chosen = choose_values(options, header, scale=options.scale)
    lengths = model_inputs(header)
    shifts = parse_shifts(options.shifts, length=min(lengths.values()))
    if options.rc_average:
        other_strand(header["strand_partners"], chosen.tracks, header["tracks"])
    shards = block_shards(chosen.rows, shards=options.shards, shard_size=options.shard_size)
    work = Work(
        header,
        values=len(chosen.names),
        tracks=chosen.plain,
        references=count_of(recipe, lengths, rows=chosen.rows),
        views=len(shifts) * (2 if options.rc_average else 1),
        models=len(paths),
    )
    params = chosen.params | {
        "rows": chosen.rows,
        "sequences": [[name, length] for name, length in lengths.items()],
        "tracks": [] if recipe is None else [[index, name] for index, name in chosen.names],
        "unkept": chosen.unkept,
        "rc_average": options.rc_average,
        "shifts": list(shifts),
        "store_dtype": options.store_dtype,
        "keep": options.keep,
        "top": options.top,
        "export": list(parse_exports(options.export)),
        "seed": options.seed,
        "batch": batch_size(options),
    }
    params |= plan_attention(options, header, paths) if recipe is None else recipe_params(recipe)
    layout = layout_of(params, models=len(paths))
    contigs = contigs_for(options, params["export"])
    check_exports(params["export"], layout, contigs=contigs is not None)
    if recipe is None:
        require_size(_bytes(params, layout), options.max_size or MAX_SIZE)
    notes = [*chosen.notes, *_notes(params, recipe, work, layout)]
    return RunSpec(
        command="attr",
        params=params,
        inputs=describe_models(paths) | dict(chosen.inputs) | input_of(recipe),
        stages=(Stage("attr", shards),),
        threads=options.threads,
        estimate=_estimate(params, headers, recipe, work, layout, shards=len(shards), memory=chosen.memory),
        notes=tuple(notes),
        aside={
            **chosen.aside,
            "pass_rows": _pass_rows(params, recipe, work),
            **({"contigs": list(contigs.items())} if contigs else {}),
        },
    )


def _recipe(options: Options) -> Recipe | None:
    """The method with its numbers; None for attention, which has none.

    Raises
    ------
    UsageError : options that have no effect
    """
    if options.method == ATTENTION:
        _refuse(options, _NOT_OF_ATTENTION, why="has no effect on --method attention")
        return None
    _refuse(options, ("block", "max_size"), why="belongs to --method attention")
    require_groups_named(options)
    return make_recipe(
        options.method,
        options.output,
        references=options.references,
        base_freqs=options.base_freqs,
        samples=options.samples,
        level=options.sample_level,
    )


def _refuse(options: Options, names: Iterable[str], *, why: str) -> None:
    if given := changed(options, names):
        raise UsageError(f"--{given[0].replace('_', '-')} {why}", fix="leave it out")


def _pass_rows(params: Mapping[str, Any], recipe: Recipe | None, work: Work) -> dict[str, int]:
    """Rows of a pass by kind of device, in workers."""
    given = params["batch"]
    return {kind: given or work.pass_rows(recipe, kind) for kind in PASS_BYTES}


def _bytes(params: Mapping[str, Any], layout: Layout) -> int:
    """Of all rows before compression."""
    return int(params["rows"]) * (layout.row_bytes() + ROW_TABLE_BYTES)


def _notes(params: Mapping[str, Any], recipe: Recipe | None, work: Work, layout: Layout) -> list[str]:
    """The plan in words: what is computed, its bytes, its cost."""
    rows = int(params["rows"])
    if recipe is None:
        size = human_bytes(_bytes(params, layout))
        layers = params["attention"]["layers"]
        return [f"attention: {rows} sequences, layers {', '.join(layers)}; {size} before compression"]
    sizes = [human_bytes(_bytes(params, replace(layout, keep_form=four))) for four in (False, True)]
    what = f"{recipe.method}, form {recipe.form}: {rows} sequences, {counted(work.values, 'value')}"
    if work.models > 1:
        what += f", mean over {work.models} models"
    return [
        f"{what}; before compression {sizes[0]} projected, {sizes[1]} with all four bases",
        *work.lines(recipe, rows=rows),
    ]


def _estimate(
    params: Mapping[str, Any], headers: Sequence[Header], recipe: Recipe | None, work: Work, layout: Layout, *,
    shards: int, memory: int,
) -> Estimate:  # fmt: skip
    """Disk and memory of the run: parts and their merge; a model at work on a pass."""
    size = _bytes(params, layout)
    exports = export_bytes(params["export"], layout, int(params["rows"]))
    return Estimate(
        bytes=2 * size + exports,
        files=2 * shards + 8 + len(params["export"]),
        memory=memory + worker_base(headers) + work.memory(recipe, batch=_pass_rows(params, recipe, work)["cpu"]),
    )
