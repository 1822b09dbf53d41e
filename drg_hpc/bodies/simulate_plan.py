"""Plan of drg-simulate: sequences with a known grammar become a dataset store and a table of their sites."""

from __future__ import annotations

from typing import Any

from drg_hpc.bodies import simulate_options
from drg_hpc.bodies.datasets import Geometry, plain_track
from drg_hpc.bodies.simulate_options import Options as Options
from drg_hpc.experiments.background import read_background
from drg_hpc.experiments.labels import RULE_TRACK, Effects, effects_as_params
from drg_hpc.runs.spec import Estimate, RunSpec, Stage, block_shards
from drg_hpc.store import dataset_layout as layout
from drg_hpc.store.dataset_layout import Input, Modality
from drg_hpc.store.layout import FORMAT

SUMMARY = "Simulate sequences with a known grammar of motifs: a dataset store and a table of what was put where."

STAGE = "rows"
_SHARD_ROWS = 131_072
_SITE_BYTES = 24  # of a line of the table, before compression
_ROW_TEXT = 4


def _tracks(effects: list[Effects]) -> tuple[dict[str, Any], ...]:
    names = [item.track for item in effects] or [RULE_TRACK]
    return tuple(plain_track(name, layout.MODALITY, number) for number, name in enumerate(names))


def _header(options: Options, size: Geometry, inputs: list[Input], modalities: list[Modality]) -> dict[str, Any]:
    """Header of the store: all rows are kept, none is a negative of another or lies on a genome."""
    return {
        "format": FORMAT,
        "kind": "dataset",
        "rows": size.rows,
        "positives": size.rows,
        "negatives": "",
        "kept": size.rows,
        "splits": simulate_options.split_counts(options),
        "folds": [],
        **layout.contents(inputs, modalities),
        "labels": [{"kind": options.labels}],
        "seed": options.seed,
        "split": {"mode": "fractions"},
        "row_shard": size.shard,
        "row_chunk": size.chunk,
        "stranded": False,
        "spliced": False,
        "contigs": [],
        "assembly": "",
    }


def plan_shards(options: Options) -> RunSpec:
    """Read motifs, background and weights, see that they fit, and cut the sequences into shards."""
    grammar = simulate_options.make_grammar(options)
    simulate_options.warn_of_gaps(grammar)
    effects = simulate_options.make_effects(options, grammar)
    background = read_background(options.background_dist)
    inputs = [Input(layout.INPUT, grammar.length)]
    modalities = [Modality(layout.MODALITY, _tracks(effects))]
    size = Geometry.of(options.num_seqs, inputs, modalities)
    header = _header(options, size, inputs, modalities)
    sources = simulate_options.source_files(options)
    header["sources"] = {name: record["sha256"] for name, record in sorted(sources.items())}
    shards = block_shards(
        size.rows, shards=options.shards, shard_size=options.shard_size, block=size.shard, default_size=_SHARD_ROWS
    )
    return RunSpec(
        command="simulate",
        params={
            "header": header,
            "grammar": grammar.as_params(),
            "background": background.as_params(),
            "effects": effects_as_params(effects),
        },
        inputs=sources,
        stages=(Stage(STAGE, shards),),
        threads=options.threads,
        estimate=_estimate(size, header, len(grammar.words), len(shards)),
        notes=tuple(simulate_options.describe(grammar, effects, header["splits"])),
    )


def _estimate(size: Geometry, header: dict[str, Any], motifs: int, shards: int) -> Estimate:
    arrays = layout.dataset_arrays(header)
    sites = size.rows * (_ROW_TEXT + motifs * _SITE_BYTES)
    files = sum(spec.shard_count for spec in arrays) + len(arrays) + -(-size.rows // size.shard) + 2 * shards + 40
    length = layout.inputs_of(header)[0].length
    working = size.shard * (8 * length + 96 * (motifs + 4))
    return Estimate(bytes=size.rows * size.per_row + 2 * sites, files=files, memory=(256 << 20) + working)
