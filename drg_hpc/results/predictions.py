"""The HDF5 file of predictions: the part a shard writes, and the merged file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from drg_hpc.results import h5, layout

VALUES = "predictions"
TRACKS = "tracks"


def write_part(path: Path, *, regions: pd.DataFrame, values: NDArray[Any]) -> None:
    """Write one shard: its regions and float32 predictions (n, tracks[, bins])."""
    with h5.create(path) as part:
        layout.write_regions(part, regions)
        target = h5.dataset(part, VALUES, shape=values.shape, dtype="float32")
        step = target.chunks[0]
        for at in range(0, len(values), step):
            target[at : at + step] = values[at : at + step]


def merge(
    parts: Sequence[h5.PartFile], out: Path, *, tracks: Sequence[str], scale: str, attributes: Mapping[str, Any]
) -> None:
    """Join the parts of all shards; ``attributes`` is what determined the result."""
    with h5.create(out) as merged:
        h5.set_attributes(merged, {**attributes, "format": layout.PREDICTIONS, "scale": scale})
        h5.merge_fixed(parts, [*layout.REGION_DATASETS, VALUES], merged)
        h5.write_text(merged, TRACKS, tracks)
