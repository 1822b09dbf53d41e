"""What a run of drg-marginalize works on: backgrounds, designs, values and cost, settled in the plan. Light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from drg_hpc.attribution.cost import PASS_BYTES, Work
from drg_hpc.bodies.ism_cost import CPU_MACS, mutants_of_pass
from drg_hpc.bodies.marginalize_items import find_designs
from drg_hpc.bodies.marginalize_options import Options
from drg_hpc.bodies.model_values import plan_model_values, read_models
from drg_hpc.bodies.row_options import RowOptions, where_of
from drg_hpc.bodies.selection import select_input, worker_base
from drg_hpc.bodies.value_rows import batch_size
from drg_hpc.config import changed
from drg_hpc.digests import describe_input
from drg_hpc.errors import UsageError
from drg_hpc.experiments.background import fasta_of, read_background
from drg_hpc.experiments.marginal_designs import QUANTITIES, Designs
from drg_hpc.files import counted
from drg_hpc.runs.spec import BLOCK_ROWS, Estimate, RunSpec, Stage, block_shards

BEFORE, DESIGNS = "before", "designs"
"""Stages."""
RANDOM = "random"
"""Kind of input of backgrounds without one."""
MOTIFS = "motifs"
"""Keys of motif files among the inputs of the plan begin so."""
_BACKGROUND = "background"
_SHARD_S = 300.0
_GROUP_BYTES = 128 << 20
Header = Mapping[str, Any]


@dataclass(frozen=True)
class Backgrounds:
    """Where backgrounds come from.

    Attributes
    ----------
    count : of them at most
    """

    count: int
    params: dict[str, Any]
    inputs: dict[str, Any]
    notes: tuple[str, ...]
    aside: Mapping[str, Any] = field(default_factory=dict)
    memory: int = 0


def settle(options: Options) -> RunSpec:
    """See :func:`drg_hpc.bodies.marginalize_plan.plan_shards`."""
    batch = batch_size(options)
    models = read_models(options.model, why="motifs are put into one", fix="ask a model of one input")
    designs = find_designs(options, length=models.length)
    backgrounds = _backgrounds(options, models.header)
    values = plan_model_values(options, models, scale=options.scale)
    params = {
        **backgrounds.params,
        "length": models.length,
        "designs": designs.as_params(),
        "sites": options.sites,
        "motif_format": options.motif_format,
        "target": values.target,
        "rc_average": options.rc_average,
        "shifts": list(values.shifts),
        "engine": options.engine,
        "group": _group(designs, values.work, backgrounds.count),
        "keep_effects": options.keep_effects,
        "format": options.format,
        "seed": options.seed,
        "batch": batch,
    }
    databases = {f"{MOTIFS}{number}": describe_input(path) for number, path in enumerate(options.motif_db, start=1)}
    inputs = values.files | backgrounds.inputs | databases
    notes = (*backgrounds.notes, *values.notes)
    return _spec(options, params, inputs, backgrounds, models.headers, values.work, designs, notes=notes)


def _backgrounds(options: Options, header: Header) -> Backgrounds:
    """Rows that are shuffled, or random sequences.

    Raises
    ------
    UsageError : both, neither, or flags that do not go together
    InputError : as :func:`drg_hpc.bodies.selection.select_input`
    """
    if options.background_dist:
        return _random(options)
    if options.shuffle == "none" and options.shuffles > 1:
        raise UsageError(f"--shuffles {options.shuffles} with --shuffle none: all of them would be the same",
                         fix="leave one of them out")  # fmt: skip
    if options.input is None and options.regions is None:
        raise UsageError("no input for backgrounds", fix="give a dataset store, a FASTA, --regions BED --genome STORE, "
                         "or random ones by --background-dist 0.25 0.25 0.25 0.25")  # fmt: skip
    chosen = select_input(options, header)
    rows = min(chosen.rows, options.backgrounds)
    words = {"dinuc": "dinucleotide shuffles of", "mono": "shuffles of", "none": "as they are:"}[options.shuffle]
    drawn = "all" if rows == chosen.rows else f"{rows} drawn of"
    params = {
        **chosen.params, "backgrounds": options.backgrounds, "shuffle": options.shuffle, "shuffles": options.shuffles,
        "background": None,
    }  # fmt: skip
    note = f"{counted(rows * options.shuffles, 'background')}, {words} {drawn} {counted(chosen.rows, 'sequence')}"
    return Backgrounds(
        rows * options.shuffles, params, chosen.records, (*chosen.notes, note), chosen.aside, chosen.memory
    )


def _random(options: Options) -> Backgrounds:
    """Backgrounds without an input; errors as :func:`_backgrounds`."""
    rows_of = [name for name in RowOptions.__annotations__ if name != "input"]
    if options.input is not None or options.regions is not None:
        shown = options.input or f"--regions {options.regions}"
        raise UsageError(f"{shown} with --background-dist: backgrounds come from one of them",
                         fix="leave one of them out")  # fmt: skip
    where_of(options)
    if unused := changed(options, (*rows_of, "shuffle", "shuffles")):
        raise UsageError(f"--{unused[0].replace('_', '-')} with --background-dist: random sequences have no rows",
                         fix="leave it out")  # fmt: skip
    background, path = read_background(options.background_dist), fasta_of(options.background_dist)
    params = {
        "input": RANDOM, "split": None, "rows": options.backgrounds, "backgrounds": options.backgrounds,
        "shuffle": "none", "shuffles": 1, "background": background.as_params(),
    }  # fmt: skip
    inputs = {} if path is None else {_BACKGROUND: describe_input(path)}
    return Backgrounds(options.backgrounds, params, inputs, (f"{counted(options.backgrounds, 'random background')}",))


def _group(designs: Designs, work: Work, backgrounds: int) -> int:
    """Designs that are computed together: all of a block, and fewer where their values take much memory."""
    each = 3 * backgrounds * (designs.length + 16 * work.models * work.values)
    return max(1, min(BLOCK_ROWS, _GROUP_BYTES // each))


def _spec(
    options: Options, params: dict[str, Any], inputs: dict[str, Any], backgrounds: Backgrounds,
    headers: Sequence[Header], work: Work, designs: Designs, *, notes: tuple[str, ...],
) -> RunSpec:  # fmt: skip
    count, parts = backgrounds.count, len(QUANTITIES[designs.by])
    passes = 3 if designs.by == "spacing" else 1
    design_s = max(1e-6, passes * count * work.views * work.models * work.macs / CPU_MACS)
    default = max(BLOCK_ROWS, int(_SHARD_S / design_s) // BLOCK_ROWS * BLOCK_ROWS)
    shards = block_shards(
        len(designs), shards=options.shards, shard_size=options.shard_size, default_size=min(default, 1 << 16)
    )
    sizes = {kind: options.batch_size or mutants_of_pass(work, kind) for kind in PASS_BYTES}
    row = parts * work.values * (48 + (4 * count if options.keep_effects else 0)) + 100
    group = params["group"] * 3 * count * (designs.length + 16 * work.models * work.values)
    table = 0 if options.format == "h5" else 120 * work.values
    told = f"{counted(len(designs), 'design')} of {counted(len(designs.items), 'insert')}, by {designs.by}"
    return RunSpec(
        command="marginalize",
        params=params,
        inputs=inputs,
        stages=(Stage(BEFORE, block_shards(count, shards=options.shards)), Stage(DESIGNS, shards)),
        threads=options.threads,
        estimate=Estimate(
            bytes=len(designs) * (2 * row + table) + 2 * count * (designs.length + 8 * work.values) + (1 << 20),
            files=2 * len(shards) + 12,
            memory=worker_base(headers) + backgrounds.memory + sizes["cpu"] * work.row_bytes + 2 * group
            + BLOCK_ROWS * row + count * designs.length + 24 * len(designs) * (work.values + 8),
        ),
        notes=(*notes, told),
        aside={**backgrounds.aside, "pass_rows": sizes},
    )  # fmt: skip
