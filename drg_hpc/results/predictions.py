"""The HDF5 file of predictions: the part a shard writes, and the merged file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from drg_hpc.results import h5, layout

VALUES = "predictions"
DEVIATIONS = "sd"
TRACKS = "tracks"


def write_part(
    path: Path, *, regions: pd.DataFrame, values: NDArray[Any], deviations: NDArray[Any] | None = None
) -> None:
    """Write one shard: its regions, float32 predictions (n, tracks[, bins]), and their deviations over models."""
    with h5.create(path) as part:
        layout.write_regions(part, regions)
        for name, array in ((VALUES, values), (DEVIATIONS, deviations)):
            if array is not None:
                target = h5.dataset(part, name, shape=array.shape, dtype="float32")
                step = target.chunks[0]
                for at in range(0, len(array), step):
                    target[at : at + step] = array[at : at + step]


def merge(
    parts: Sequence[h5.PartFile],
    out: Path,
    *,
    tracks: Sequence[str],
    scale: str,
    attributes: Mapping[str, Any],
    deviations: bool = False,
) -> None:
    """Join the parts of all shards.

    Parameters
    ----------
    attributes : what determined the result
    deviations : the parts have them
    """
    names = [*layout.REGION_DATASETS, VALUES, *([DEVIATIONS] if deviations else [])]
    with h5.create(out) as merged:
        h5.set_attributes(merged, {**attributes, "format": layout.PREDICTIONS, "scale": scale})
        h5.merge_fixed(parts, names, merged)
        h5.write_text(merged, TRACKS, tracks)
