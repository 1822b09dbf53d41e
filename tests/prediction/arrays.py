"""Targets and predictions in memory, taken in as an evaluation takes in its blocks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from drg_hpc.prediction.classes import Group
from drg_hpc.prediction.predictors import Kind
from drg_hpc.prediction.streaming import Outputs, Truth
from drg_hpc.prediction.tables import Bootstrap, write_tables


def taken_in(
    target: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    *,
    block: int = 64,
    kinds: Mapping[str, Kind] | None = None,
) -> tuple[Truth, list[Outputs]]:
    """Both of (rows, tracks[, bins]), in blocks of rows and one track at a time."""
    rows, tracks = target.shape[:2]
    truth = Truth(rows, tracks, target.shape[2] if target.ndim == 3 else 0)
    found = {name: Outputs(truth, name=name, kind=(kinds or {}).get(name, "model")) for name in predictions}
    for first in range(0, rows, block):
        at = slice(first, min(first + block, rows))
        for track in range(tracks):
            here = slice(track, track + 1)
            truth.add(at, here, target[at, here])
            for name, outputs in found.items():
                part = predictions[name][at, here].astype(np.float64)
                outputs.add(at, here, prediction=part, target=target[at, here])
    return truth, list(found.values())


def write_folder(
    folder: Path,
    target: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    *,
    tracks: list[str],
    regions: pd.DataFrame | None = None,
    header: Mapping[str, object] | None = None,
    groups: tuple[Group, ...] = (),
    bootstrap: Bootstrap | None = None,
    kinds: Mapping[str, Kind] | None = None,
) -> Path:
    """The tables of an evaluation."""
    truth, outputs = taken_in(target, predictions, kinds=kinds)
    if regions is None:
        names = [f"r{row}" for row in range(len(target))]
        regions = pd.DataFrame({"row": range(len(target)), "name": names, "chrom": "chr9", "start": 0, "end": 60})
        regions["split"] = "test"
    write_tables(
        folder,
        header=header or {"split": "test", "rows": len(target)},
        regions=regions,
        tracks=tracks,
        groups=[Group("all", "all", tuple(range(len(tracks)))), *groups],
        truth=truth,
        outputs=outputs,
        bootstrap=bootstrap or Bootstrap(),
    )
    return folder
