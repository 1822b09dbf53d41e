"""The plan of drg-kernels. Light."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drg_hpc.bodies.groups import GROUPS, read_groups
from drg_hpc.bodies.kernels_options import Options
from drg_hpc.bodies.selected import Selection
from drg_hpc.bodies.selection import describe_models, require_alike, select_input, select_tracks, worker_memory
from drg_hpc.config import changed
from drg_hpc.digests import describe_input
from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.motif_formats import read_raw
from drg_hpc.genome.text import columns, numbered_lines
from drg_hpc.interpretation.kernel_limits import require_countable
from drg_hpc.models.header import model_inputs, model_paths, read_model_header
from drg_hpc.runs.spec import BLOCK_ROWS, Estimate, RunSpec, Shard, Stage, block_shards

SCAN, EFFECTS = "scan", "effects"
REGION_CLASSES = "region_classes"
_GROUPS_OF_ROWS = 64
_SUMS = 5  # per kernel and track
_KERNELS = 512  # where a description does not tell
_WORDS = 64  # bytes a base: a word of 8 of each strand, while two sets are united
_DISTANCES = {"correlation": 0.3, "correlation_pvalue": 0.05}
_PARAMS = (
    "scale", "nullify", "nullify_on", "kmers", "n_kmers", "kmer_strands", "unique", "activated", "cutoff",
    "max_activation", "min_correlation", "per_row", "linkage", "metric", "split_distance", "max_q", "seed",
)  # fmt: skip


def read_region_classes(path: Path) -> dict[str, str]:
    """Class of each region, from lines of a region's name and its class.

    Raises
    ------
    InputError : with the line: not two columns, or a region of two classes; no line at all
    """
    found: dict[str, str] = {}
    for number, line in numbered_lines(path):
        if not line.strip() or line.startswith("#"):
            continue
        fields = columns(line)
        if len(fields) != 2 or not all(fields):
            raise InputError(f"{path}: line {number}: not two columns", fix="a line is a region's name and its class")
        if found.setdefault(fields[0], fields[1]) != fields[1]:
            raise InputError(f"{path}: line {number}: region {fields[0]!r} has a class already", fix="give it one")
    if not found:
        raise InputError(f"{path}: no region has a class", fix="a line is a region's name and its class")
    return found


def _track_classes(options: Options, model: Mapping[str, Any], tracks: list[tuple[int, str]]) -> list[Any]:
    """[name, positions among the chosen tracks] of each class that has two of them or more."""
    groups, _ = read_groups(options.classes, model)
    place = {index: position for position, (index, _) in enumerate(tracks)}
    named = groups or {"all": [index for index, _ in tracks]}
    found = [[name, [place[i] for i in members if i in place]] for name, members in named.items()]
    return [item for item in found if len(item[1]) > 1]


def _require_uses(options: Options, *, measured: bool) -> None:
    """Refuse flags without effect, and databases with faults, which would be met after all the work.

    Raises
    ------
    UsageError : which
    InputError : a file is no database, with the line
    """
    for path in options.database:
        read_raw(path, "meme")
    if options.max_activation is not None and changed(options, ["cutoff"]):
        raise UsageError("--cutoff and --max-activation both say which k-mers are chosen", fix="give one of them")
    if options.nullify == "zero" and options.nullify_on == "data":
        raise UsageError("--nullify-on data: zero is zero on any k-mers", fix="leave it out")
    random = options.kmers == "random" or (options.nullify_on == "random" and options.nullify != "zero")
    if not random and changed(options, ["n_kmers"]):
        raise UsageError("--n-kmers without random k-mers", fix="leave it out")
    if options.max_q != 0.05 and not options.database:
        raise UsageError("--max-q without --database", fix="give a database, or leave it out")
    if not measured and (options.classes is not None or changed(options, ["min_correlation", "per_row"])):
        raise UsageError("correlations by class need measured values, which only a dataset store has",
                         fix="leave --classes, --min-correlation and --per-row out, or give a store")  # fmt: skip


def _cut_of(options: Options) -> float:
    """Distance at which the tree of motifs is cut.

    Raises
    ------
    UsageError : none is given, and none is usual for the metric
    """
    found = _DISTANCES.get(options.metric) if options.distance is None else options.distance
    if found is None:
        raise UsageError(f"--metric {options.metric} without --distance: it has no usual one", fix="give one")
    return found


def _shards(options: Options, rows: int, group: int) -> tuple[tuple[Shard, ...], tuple[Shard, ...]]:
    shards = block_shards(
        rows, shards=options.shards, shard_size=options.shard_size, block=group, default_size=max(4096, group)
    )
    reads_rows = options.kmers == "data" or options.nullify_on == "data"
    return (shards if reads_rows else (Shard(0, 0, rows),)), shards


def _kernels(model: Mapping[str, Any]) -> int:
    found = model["config"].get("kernels") or model["config"].get("channels")
    return found if isinstance(found, int) else _KERNELS


def first_widths(model: Mapping[str, Any]) -> set[int]:
    """Bases of the first layer's kernels, as far as the description tells: not of a network of the user's own."""
    config = model["config"]
    if "trunk" in config:
        tables = [config["own"].get(name, config["trunk"]) for name in model_inputs(model)]
    else:
        tables = [config]
    found = set()
    for table in tables:
        width = table.get("stem_size") or (table.get("sizes") or [None])[0] or table.get("kernel_size")
        found |= {width} if isinstance(width, int) else set()
    return found


def settle(options: Options) -> RunSpec:
    """See :func:`drg_hpc.bodies.kernels_plan.plan_shards`."""
    paths = model_paths(options.model)
    models = [read_model_header(path) for path in paths]
    require_alike(paths, models)
    for width in sorted(set().union(*map(first_widths, models)) if options.unique else ()):
        require_countable(width)
    chosen = select_input(options, models[0])
    measured = chosen.kind == "store"
    _require_uses(options, measured=measured)
    tracks = select_tracks(options.tracks, models[0]["tracks"])
    classes = _track_classes(options, models[0], tracks) if measured else []
    if options.per_row and not classes:
        raise UsageError("--per-row is of correlations over tracks, and no class has two", fix="leave it out")
    regions = None if options.region_classes is None else read_region_classes(options.region_classes)
    group = BLOCK_ROWS * -(-chosen.rows // (BLOCK_ROWS * _GROUPS_OF_ROWS))
    scan, shards = _shards(options, chosen.rows, group)
    params = {
        **chosen.params,
        **{name: getattr(options, name) for name in _PARAMS},
        "inputs_of_model": [[name, length] for name, length in model_inputs(models[0]).items()],
        "tracks": [[index, name] for index, name in tracks],
        "measured": measured,
        "classes": classes,
        "distance": _cut_of(options),
        "region_classes": [] if regions is None else sorted(set(regions.values())),
        "group": group,
        "databases": len(options.database),
    }
    return RunSpec(
        command="kernels",
        params=params,
        inputs=describe_models(paths) | chosen.records | _tables(options),
        stages=(Stage(SCAN, scan), Stage(EFFECTS, shards)),
        threads=options.threads,
        estimate=_estimate(chosen, models, params, shards=len(scan) + len(shards)),
        notes=chosen.notes,
        aside=chosen.aside,
    )


def _tables(options: Options) -> dict[str, dict[str, Any]]:
    named = {GROUPS: options.classes, REGION_CLASSES: options.region_classes}
    named |= {f"database{number}": path for number, path in enumerate(options.database, start=1)}
    return {name: describe_input(path) for name, path in named.items() if path is not None}


def _estimate(chosen: Selection, models: list[dict[str, Any]], params: Mapping[str, Any], *, shards: int) -> Estimate:
    kernels = sum(_kernels(model) for model in models)
    sums = 8 * kernels * len(params["tracks"]) * (_SUMS + len(params["region_classes"]))
    groups = -(-chosen.rows // params["group"])
    kmers = 2 * params["n_kmers"] * 4 * 25 * 4
    if params["unique"] and params["kmers"] == "data":
        kmers += _WORDS * chosen.rows * sum(length for _, length in params["inputs_of_model"])
    by_row = 4 * chosen.rows * len(params["classes"]) * (kernels + len(models)) if params["per_row"] else 0
    return Estimate(
        bytes=(groups + 2) * sums + 2 * by_row + (1 << 20),
        files=2 * shards + 20,
        memory=chosen.memory + sum(worker_memory(model) for model in models) + kmers + 4 * sums,
    )
