"""Planning a dataset store: all that is known before any work. Shared by shard-sequences and shard-regions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drg_hpc.bodies.split_options import SplitOptions, make_splitter, split_params
from drg_hpc.digests import describe_input
from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.counts import scan_matrix
from drg_hpc.genome.regions import Region
from drg_hpc.genome.splits import count_splits
from drg_hpc.runs.spec import Estimate, RunSpec, Stage, block_shards
from drg_hpc.store import layout

STAGE = "rows"
BOUND = "bound"
_ALL_TRAIN = (
    "no split flags, so all rows are train; drg-train needs rows to validate on: give --valid CONTIGS, "
    "--split-file FILE, or --folds K --fold I"
)


@dataclass
class Labels:
    """Tracks of a dataset.

    Attributes
    ----------
    tracks : {name, group, strand_partner (number of the track on the other strand, or its own), transform}
    bins : bins of a target, 0 when it is one value a track
    params : what else determines the labels
    inputs : the files they come from
    """

    tracks: list[dict[str, Any]]
    bins: int = 0
    params: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def parse_negatives(text: str | None) -> int:
    """Negatives per positive of ``dinuc:R``; 0 without.

    Raises
    ------
    UsageError : another form
    """
    if text is None:
        return 0
    match = re.fullmatch(r"dinuc:([1-9]\d*)", text)
    if match is None:
        raise UsageError(f"--negatives {text!r}: the form is dinuc:R, R shuffles for each row", fix="such as dinuc:1")
    return int(match[1])


def plain_track(name: str, group: str, number: int) -> dict[str, Any]:
    """A track without strand or transform."""
    return {"name": name, "group": group, "strand_partner": number, "transform": "identity"}


def bound_labels(negatives: int) -> Labels:
    """The single track ``bound``: 1 for the sequences given, 0 for their shuffles.

    Raises
    ------
    UsageError : there are no negatives either
    """
    if not negatives:
        raise UsageError("no labels: no counts, tracks or negatives", fix="give some, such as --negatives dinuc:1")
    return Labels([plain_track(BOUND, BOUND, 0)], params={"labels": BOUND})


def matrix_labels(paths: Sequence[Path], names: Sequence[str], *, allow_missing: bool) -> Labels:
    """Labels joined by row name from one or more matrices; each file is a group of tracks.

    Raises
    ------
    InputError : a row without labels, tracks twice, matrices with different bins
    """
    labels = Labels([], params={"labels": "counts", "allow_missing": allow_missing})
    for number, path in enumerate(paths):
        info = scan_matrix(path, allow_missing=allow_missing)
        known = set(info.names)
        missing = [name for name in names if name not in known]
        if missing:
            shown = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
            raise InputError(
                f"{path} has no labels for {len(missing)} of {len(names)} rows: {shown}",
                fix=f"its names look like {', '.join(info.names[:3])}",
            )
        if unused := len(known - set(names)):
            labels.notes.append(f"{unused} rows of {path} are not used")
        if number and info.bins != labels.bins:
            raise InputError(f"{path} has {info.bins} bins, {paths[0]} has {labels.bins}")
        labels.bins = info.bins
        group = path.name.split(".")[0]
        labels.tracks += [plain_track(t, group, len(labels.tracks) + i) for i, t in enumerate(info.tracks)]
        labels.inputs[f"counts{number}"] = describe_input(path)
    seen: set[str] = set()
    for track in labels.tracks:
        if track["name"] in seen:
            raise InputError(f"track {track['name']!r} is in more than one matrix")
        seen.add(track["name"])
    return labels


def plan_dataset(
    command: str,
    options: SplitOptions,
    rows: Sequence[Region],
    *,
    length: int,
    labels: Labels,
    negatives: int,
    inputs: Mapping[str, dict[str, Any]],
    header: Mapping[str, Any],
    params: Mapping[str, Any],
    memory: int,
    notes: Sequence[str] = (),
) -> RunSpec:
    """The run that writes ``rows`` (the positives; their negatives follow them) as a dataset store.

    Parameters
    ----------
    length : bases of every sequence
    header, params : what the command adds to the store's header and to the plan
    memory : bytes that a worker needs besides its shard

    Raises
    ------
    InputError : a requested split is empty
    """
    kept = [row for row in rows if row.kept]
    splitter = make_splitter(options, kept)
    counts = count_splits(splitter, ((row.name, row.chrom) for row in kept), copies=1 + negatives)
    per_row = layout.row_bytes(length=length, tracks=len(labels.tracks), bins=labels.bins)
    shard, chunk = layout.row_geometry(per_row)
    total = len(rows) * (1 + negatives)
    sources = dict(inputs) | labels.inputs
    if options.split_file is not None:
        sources["split_file"] = describe_input(options.split_file)
    split = split_params(options, splitter)
    full_header = {
        "format": layout.FORMAT,
        "kind": "dataset",
        "rows": total,
        "positives": len(rows),
        "negatives": f"dinuc:{negatives}" if negatives else "",
        "kept": len(kept) * (1 + negatives),
        "splits": counts,
        "inputs": {"seq": length},
        "tracks": [track["name"] for track in labels.tracks],
        "track_info": labels.tracks,
        "bins": labels.bins,
        "labels": labels.params,
        "seed": options.seed,
        "split": split,
        "row_shard": shard,
        "row_chunk": chunk,
        "sources": {name: record["sha256"] for name, record in sorted(sources.items())},
        **header,
    }
    shards = block_shards(total, shards=options.shards, shard_size=options.shard_size, block=shard, default_size=shard)
    described = ", ".join(f"{count} {name}" for name, count in counts.items())
    lost = [f"{len(rows) - len(kept)} rows have no sequence (kept=false)"] if len(kept) < len(rows) else []
    unsplit = [_ALL_TRAIN] if splitter.mode == "none" else []
    note = f"{total} rows of {length} bases, {len(labels.tracks)} tracks: {described}"
    return RunSpec(
        command=command,
        params={"header": full_header, "split": split, "labels": labels.params, "negatives": negatives, **params},
        inputs=sources,
        stages=(Stage(STAGE, shards),),
        threads=options.threads,
        estimate=Estimate(
            bytes=total * (per_row + 64),
            files=-(-total // shard) * 12 + 2 * len(shards) + 40,
            memory=(256 << 20) + memory + 12 * shard * (length + per_row),
        ),
        notes=(note, *unsplit, *lost, *labels.notes, *notes),
    )
