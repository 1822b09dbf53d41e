"""Attribution files and seqlet runs, made in this process for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from interpretation.planted import named, plant

from drg_hpc.bodies.seqlets_plan import Options, plan_shards
from drg_hpc.bodies.seqlets_work import Body
from drg_hpc.files import sha256_file, write_json
from drg_hpc.results import attributions, h5
from drg_hpc.runs.plan import Plan, write_plan
from drg_hpc.runs.spec import BLOCK_ROWS, Attempt, Part


def write_attributions(
    path: Path,
    projected: np.ndarray,
    onehot: np.ndarray,
    *,
    tracks: int,
    keep: bool,
    attributes: dict[str, Any] | None = None,
    form: np.ndarray | None = None,
    **columns: Any,
) -> None:
    """An attribution file as drg-attr writes it; track i is the projection scaled by i + 1.

    ``form`` (rows, 4, length) has the values of all bases (default: 0 at those that are not there), ``columns`` replace
    columns of the table of regions, ``attributes`` are added to the root's.
    """
    rows, length = projected.shape
    layout = attributions.Layout(
        inputs=(("sequence", length),),
        tracks=tuple((i, f"track {i}") for i in range(tracks)),
        form="hypothetical",
        keep_form=keep,
        form_is_contribution=True,
        dtype="float32",
        unkept=True,
    )
    regions = pd.DataFrame(
        {
            "chrom": "chr9",
            "start": np.arange(rows) * 1000 + 7,
            "end": np.arange(rows) * 1000 + 7 + length,
            "name": [f"r{i}" for i in range(rows)],
            "strand": ["+", "-"] * (rows // 2) + ["."] * (rows % 2),
            "kept": np.arange(rows) != 3,
            "reason": "",
            "origin": "given",
            "row": np.arange(rows),
            **columns,
        }
    )
    part = path.with_suffix(".part")
    with attributions.PartWriter(part, layout, rows=rows) as writer:
        writer.regions(regions)
        for at in range(0, rows, BLOCK_ROWS):
            block = slice(at, min(at + BLOCK_ROWS, rows))
            writer.sequences(at, [onehot[block]])
            for i in range(tracks):
                values = projected[block] * (i + 1)
                given = onehot[block] * values[:, None, :] if form is None else form[block] * (i + 1)
                whole = given.astype(np.float32)
                found = attributions.InputBlock(projected=values, form=whole, contribution=whole)
                made = attributions.TrackBlock(prediction=values.sum(axis=1), inputs=(found,))
                writer.track(at, i, made, onehot=[onehot[block]])
    attributions.merge([h5.PartFile(part, 0, rows)], path, plan=layout, attributes={"seed": 0} | (attributes or {}))
    part.unlink()


def damaged_copy(attributions: Path, path: Path, *, track: int) -> Path:
    """A copy whose third block of a track's projection is all zero bytes, which is no compressed data."""
    raw = bytearray(attributions.read_bytes())
    with h5py.File(attributions) as handle:
        chunk = handle[f"tracks/{track:05d}/projected"].id.get_chunk_info(2)
    raw[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(raw)
    return path


def do_run(options: Options) -> tuple[Plan, dict[str, Any]]:
    """Plan, work and merge in this process, without the machinery of runs."""
    plan = write_plan(plan_shards(options), options.out)
    body = Body(plan)
    summary: dict[str, Any] = {}
    for stage in plan.stages:
        parts = []
        for shard in reversed(stage.shards):
            folder = plan.folder / "parts" / stage.name / f"{shard.id:05d}"
            folder.mkdir(parents=True)
            body.work(stage.name, shard, Attempt(folder, "cpu"))
            parts.insert(0, Part(shard, folder, {}))
        last = stage is plan.stages[-1]
        summary = body.merge(stage.name, parts, plan.folder if last else plan.folder / "stages")
    return plan, summary


def write_done(folder: Path, command: str, summary: dict[str, Any]) -> None:
    """The done.json (and a plan.json, where there is none) that the machinery of runs would have written."""
    outputs = {"out.h5": {"sha256": sha256_file(folder / "out.h5"), "bytes": (folder / "out.h5").stat().st_size}}
    by = {"command_line": [f"drg-{command}", "<in> & out"], "host": "node1", "user": "me", "job": None}
    record = {"command": command, "plan": "0", "summary": summary, "outputs": outputs, "by": by}
    record["time"] = "2026-01-02T03:04:05Z"
    write_json(folder / "done.json", record | {"seconds": {"work": 1.5}, "versions": {"drg_hpc": "0"}, "params": {}})
    if not (folder / "plan.json").is_file():
        write_json(folder / "plan.json", {})


def two_motifs(folder: Path) -> Path:
    """The out.h5 of seqlets of two planted motifs, one of either sign."""
    planted = plant(named("CTCF", "GATA1"), [1, -1], rows=600, length=80, noise=0.15, seed=0)
    write_attributions(folder / "attr.h5", planted.projected, planted.onehot, tracks=1, keep=False)
    do_run(Options(attributions=folder / "attr.h5", out=folder / "run"))
    return folder / "run" / "out.h5"
