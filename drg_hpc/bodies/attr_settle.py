"""What a run of drg-attr works on: rows, values, method, sizes and cost, settled in the plan. Light."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from drg_hpc.attribution.catalogue import ATTENTION
from drg_hpc.attribution.cost import PASS_BYTES, PASS_SIZES, Work
from drg_hpc.attribution.recipe import Recipe, make_recipe, parse_shifts
from drg_hpc.attribution.transform_spec import plan_target
from drg_hpc.attribution.transform_tracks import GROUP
from drg_hpc.bodies.attr_attention import MAX_SIZE, plan_attention, require_size
from drg_hpc.bodies.attr_layout import layout_of
from drg_hpc.bodies.attr_options import Options
from drg_hpc.bodies.attr_references import count_of, input_of, recipe_params
from drg_hpc.bodies.gene_options import uses_genes
from drg_hpc.bodies.gene_plan import plan_genes
from drg_hpc.bodies.groups import read_groups
from drg_hpc.bodies.selection import ROW_TABLE_BYTES, describe_models, require_alike, select_input, worker_base
from drg_hpc.bodies.user_code import source_of
from drg_hpc.config import changed
from drg_hpc.digests import describe_input
from drg_hpc.errors import UsageError
from drg_hpc.files import counted, human_bytes
from drg_hpc.models.header import model_inputs, model_paths, other_strand, read_model_header
from drg_hpc.results.attributions_layout import Layout
from drg_hpc.results.export_kinds import check_exports, export_bytes, parse_exports
from drg_hpc.runs.spec import BLOCK_ROWS, Estimate, RunSpec, Stage, block_shards
from drg_hpc.store.header import describe_store, genome_contigs, known_contigs

Header = Mapping[str, Any]
_NOT_OF_ATTENTION = (
    "output", "references", "base_freqs", "samples", "sample_level", "tracks", "groups", "transform", "scale",
    "rc_average", "shifts", "keep", "top",
)  # fmt: skip

_NOT_OF_GENES = ("input", "regions", "split", "where", "evaluation", "stranded", "transform", "scale")


@dataclass(frozen=True)
class _Rows:
    """What a run attributes.

    Attributes
    ----------
    names : of the values, with the number that names their group
    tracks : of the model that they are made of
    plain : the values are these tracks as they are
    unkept : there are rows with kept=false
    aside : see :class:`drg_hpc.runs.spec.RunSpec`
    memory : bytes that a worker needs for the list of rows
    """

    rows: int
    params: dict[str, Any]
    inputs: dict[str, Any]
    names: list[tuple[int, str]]
    tracks: Sequence[int]
    plain: bool
    unkept: bool
    notes: tuple[str, ...] = ()
    aside: Mapping[str, Any] = field(default_factory=dict)
    memory: int = 0


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
    chosen = _genes(options, header) if uses_genes(options) else _tracks(options, header)
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
        "batch": _batch(options),
    }
    params |= plan_attention(options, header, paths) if recipe is None else recipe_params(recipe)
    layout = layout_of(params, models=len(paths))
    store = options.genome or options.input
    contigs = known_contigs(store) if "bigwig" in params["export"] and store and store.is_dir() else None
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
    if options.groups is not None and GROUP not in f"{options.tracks}{options.transform}":
        raise UsageError(f"--groups {options.groups} has no effect: no group is named", fix=f"--tracks {GROUP}NAME")
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


def _tracks(options: Options, header: Header) -> _Rows:
    """Tracks, groups or a transform, of the rows of an input."""
    chosen = select_input(options, header)
    groups, files = read_groups(options.groups, header)
    target = plan_target(
        header, tracks=options.tracks, transform=options.transform, groups=groups, scale=options.scale
    )  # fmt: skip
    record = target.record()
    plain = target.kind == "tracks"
    notes = chosen.notes
    if target.kind == "user":
        code = source_of(record["factory"])
        files |= {} if code is None else {"transform": code}
        if code is None:
            notes = (*notes, f"the code of {record['factory']} is not found here: workers take theirs unchecked")
    numbers = record["tracks"] if plain else range(len(target.names))
    return _Rows(
        rows=chosen.rows,
        params=chosen.params | {"target": record},
        inputs=dict(chosen.records) | {name: describe_input(path) for name, path in files.items()},
        names=list(zip(numbers, target.names, strict=True)),
        tracks=used_tracks(record, header),
        plain=plain,
        unkept=chosen.unkept,
        aside=chosen.aside,
        memory=chosen.memory,
        notes=notes,
    )


def used_tracks(record: Mapping[str, Any], header: Header) -> list[int]:
    """Numbers of the model's tracks that a statistic is made of."""
    found = {track for key in ("tracks", "on", "off") for track in record.get(key, ())}
    found |= {track for group in record.get("groups", ()) for track in group}
    return sorted(found) or list(range(len(header["tracks"])))


def _genes(options: Options, header: Header) -> _Rows:
    """Statistics of genes, a row each.

    Raises
    ------
    UsageError : options of rows of an input
    """
    if options.genome is None:
        raise UsageError("--gtf needs --genome: the store that windows of genes are cut from")
    for name in changed(options, _NOT_OF_GENES):
        shown = f"{getattr(options, name)}" if name == "input" else f"--{name}"
        raise UsageError(f"{shown} with --gtf: rows are the genes, values their statistic", fix="leave it out")
    groups, files = read_groups(options.groups, header)
    target = plan_target(header, tracks=options.tracks, groups=groups, scale="output")
    tracks = used_tracks(target.record(), header)
    found = plan_genes(
        options,
        header,
        contigs=genome_contigs(options.genome),
        tracks=tracks,
        limit=options.limit,
        shifts=parse_shifts(options.shifts, length=min(model_inputs(header).values())),
    )
    files |= found.files
    return _Rows(
        rows=len(found.rows),
        params={"genes": found.params},
        inputs={"genome": describe_store(options.genome)} | {name: describe_input(p) for name, p in files.items()},
        names=list(enumerate(found.names)),
        tracks=tracks,
        plain=False,
        unkept=not all(row.kept for row in found.rows),
        notes=found.notes,
    )


def _batch(options: Options) -> int | None:
    """Rows of a pass, None for what a worker's device is good for.

    Raises
    ------
    UsageError : no power of two up to 64
    """
    if options.batch_size not in (None, *PASS_SIZES):
        raise UsageError(
            f"--batch-size {options.batch_size} is no power of two up to {BLOCK_ROWS}",
            fix=f"blocks of {BLOCK_ROWS} rows are cut into equal passes: {', '.join(map(str, PASS_SIZES))}",
        )
    return options.batch_size


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
