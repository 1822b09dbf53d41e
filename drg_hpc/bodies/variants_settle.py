"""What a run of drg-variants works on: alleles, values, scores, sizes and cost, settled in the plan. Light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drg_hpc.attribution.cost import PASS_BYTES, Work
from drg_hpc.attribution.ism_recipe import RATIOS, IsmRecipe
from drg_hpc.bodies.ism_cost import CPU_MACS, mutants_of_pass
from drg_hpc.bodies.model_values import plan_model_values, read_models
from drg_hpc.bodies.selection import worker_base
from drg_hpc.bodies.value_rows import batch_size
from drg_hpc.bodies.variants_genes import plan_variant_genes
from drg_hpc.bodies.variants_options import Options
from drg_hpc.config import nearest
from drg_hpc.digests import describe_input
from drg_hpc.errors import UsageError
from drg_hpc.files import counted
from drg_hpc.genome.vcf import select_variants
from drg_hpc.models.header import track_links
from drg_hpc.runs.spec import BLOCK_ROWS, Estimate, RunSpec, Stage, block_shards
from drg_hpc.store.header import describe_store, genome_contigs

Header = Mapping[str, Any]
STATS = ("SAD", "logSAD", "D2")
_SHARD_S = 300.0
_ROW_BYTES = 160
"""Of an allele in the table of the result, and of a worker's list."""
_PAIR_BYTES = 28
"""Of an allele and a gene."""


def settle(options: Options) -> RunSpec:
    """See :func:`drg_hpc.bodies.variants_plan.plan_shards`."""
    recipe, batch = _recipe(options), batch_size(options)
    models = read_models(options.model, why="a variant has one window", fix="score a model of one input")
    header, length = models.header, models.length
    scale = options.scale if options.transform and recipe.compare not in RATIOS else recipe.scale(options.scale)
    values = plan_model_values(options, models, scale=scale)
    target, notes = values.target, values.notes
    contigs = genome_contigs(options.genome)
    variants, skipped = select_variants(options.vcf, contigs, length=length)
    rows = len(variants) if options.limit is None else min(len(variants), options.limit)
    stats = _stats(options, target, [track_links(header)[track] for track in values.used])
    params = {
        "rows": rows,
        "length": length,
        "bins": int(header["bins"]),
        "span": int(header["span"]),
        "target": target,
        "compare": recipe.compare,
        "pseudo": recipe.pseudo,
        "stats": list(stats),
        "backgrounds": options.backgrounds,
        "rc_average": options.rc_average,
        "shifts": list(values.shifts),
        "skipped": dict(sorted(skipped.items())),
        "format": options.format,
        "seed": options.seed,
        "batch": batch,
    }
    inputs = {"genome": describe_store(options.genome), "vcf": describe_input(options.vcf), **values.files}
    genes = plan_variant_genes(options, header, contigs=contigs, target=target, variants=variants[:rows])
    if genes is not None:
        params["genes"] = genes.params
        inputs |= {name: describe_input(path) for name, path in genes.files.items()}
        notes = (*notes, *genes.notes)
    given = len({(v.chrom, v.start, v.ref, v.alt) for v in variants[:rows]})
    if given < rows:
        notes = (*notes, f"{counted(rows - given, 'allele')} given before, and scored again")
    left = [f"{counted(count, 'allele')} left out: {reason}" for reason, count in sorted(skipped.items())]
    return _spec(options, params, inputs, models.headers, values.work, notes=(*notes, *left))


def _recipe(options: Options) -> IsmRecipe:
    """How values are compared.

    Raises
    ------
    UsageError : a pseudo count without a ratio, or a single background
    """
    if options.pseudo and options.compare not in RATIOS:
        raise UsageError(f"--pseudo {options.pseudo:g} has no effect with --compare {options.compare}",
                         fix="leave it out, or take --compare log2fc")  # fmt: skip
    if options.backgrounds == 1:
        raise UsageError("--backgrounds 1: one shuffle has no standard deviation", fix="--backgrounds 20")
    return IsmRecipe(compare=options.compare, pseudo=options.pseudo)


def _stats(options: Options, target: Mapping[str, Any], links: Sequence[str]) -> tuple[str, ...]:
    """Scores of the bins that are asked for; logSAD only of outputs that cannot be below 0.

    Raises
    ------
    UsageError : no such score, or one that these values do not have
    """
    plain, signed = target["kind"] == "tracks", "identity" in links
    if options.stats is None:
        return tuple(name for name in STATS if plain and not (signed and name == "logSAD"))
    if options.stats == "none":
        return ()
    asked = [name.strip() for name in options.stats.split(",")]
    for name in asked:
        if name not in STATS:
            raise UsageError(f"--stats: no score {name!r}", fix=nearest(name, (*STATS, "none")))
    if not plain:
        raise UsageError(f"--stats {options.stats} with groups or a transform: scores are of the bins of tracks",
                         fix="name tracks, or --stats none")  # fmt: skip
    if signed and "logSAD" in asked:
        raise UsageError("--stats logSAD: outputs of a track with the link identity may be negative",
                         fix="--stats SAD,D2")  # fmt: skip
    return tuple(name for name in STATS if name in asked)


def _spec(
    options: Options, params: dict[str, Any], inputs: dict[str, Any], headers: Sequence[Header], work: Work, *,
    notes: tuple[str, ...],
) -> RunSpec:  # fmt: skip
    rows, values = params["rows"], len(params["target"]["names"])
    passes = 2 * (1 + options.backgrounds) * work.views * work.models
    row_s = max(1e-6, passes * work.macs / CPU_MACS)
    default = max(BLOCK_ROWS, int(_SHARD_S / row_s) // BLOCK_ROWS * BLOCK_ROWS)
    shards = block_shards(
        rows, shards=options.shards, shard_size=options.shard_size, default_size=min(default, 1 << 16)
    )
    sizes = {kind: options.batch_size or max(1, min(BLOCK_ROWS, mutants_of_pass(work, kind))) for kind in PASS_BYTES}
    row = _ROW_BYTES + 4 * values * (3 + len(params["stats"]) + 4 * bool(options.backgrounds))
    genes = params.get("genes", {"rows": 0, "values": (), "scores": ()})
    pairs = genes["rows"] * (_PAIR_BYTES + 4 * len(genes["values"]) * (1 + len(genes["scores"])))
    profiles = 8 * 4 * len(headers[0]["tracks"]) * max(1, params["bins"]) * sizes["cpu"]
    return RunSpec(
        command="variants",
        params=params,
        inputs=inputs,
        stages=(Stage("variants", shards),),
        threads=options.threads,
        estimate=Estimate(
            bytes=(rows * row + pairs) * (4 if options.format == "both" else 2),
            files=2 * len(shards) + 9,
            memory=worker_base(headers) + 3 * rows * _ROW_BYTES + sizes["cpu"] * work.row_bytes + profiles
            + 2 * shards[0].rows * row + 3 * pairs // len(shards),
        ),
        notes=notes,
        aside={"pass_rows": sizes},
    )  # fmt: skip
