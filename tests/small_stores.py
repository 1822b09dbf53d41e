"""Small dataset stores written directly, without the commands: any arrays, inputs and modalities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from drg_hpc.store.dataset_layout import (
    INTERVAL_TYPES,
    Input,
    Modality,
    contents,
    dataset_arrays,
    row_bytes,
    row_geometry,
)
from drg_hpc.store.layout import FORMAT
from drg_hpc.store.writer import PartWriter, assemble


def write_store(
    path: Path, codes: np.ndarray, targets: np.ndarray, *, valid: int, partners: list[int] | None = None,
    flank: int = 0, dtype: str = "float32", second_input: int = 0, second_modality: int = -1,
    shard_rows: int = 0, folds: int = 0,
) -> Path:  # fmt: skip
    """A dataset store of one part; NaN targets become missing values.

    Parameters
    ----------
    codes : (rows, length + 2 * flank)
    second_input : length of an input besides; 0: none
    second_modality : bins of a modality of one track besides; -1: none
    shard_rows : rows of a zarr shard, where not as usual
    folds : number of folds that the rows are dealt into, one after the other; 0: none
    """
    rows, tracks = targets.shape[:2]
    bins = targets.shape[2] if targets.ndim == 3 else 0
    names = ["bound"] if tracks == 1 else [f"t{i}" for i in range(tracks)]
    info = [{"name": n, "strand_partner": p} for n, p in zip(names, partners or range(tracks), strict=True)]
    inputs = [Input("seq", codes.shape[1] - 2 * flank, flank)]
    modalities = [Modality("main", tuple(info), bins, dtype)]
    generator = np.random.default_rng(rows)
    text = np.dtypes.StringDType()
    columns: dict[str, np.ndarray] = {
        "regions/chrom": np.array(["chr1"] * rows, dtype=text),
        "regions/start": np.arange(rows), "regions/end": np.arange(rows) + inputs[0].length,
        "regions/name": np.array([f"r{i}" for i in range(rows)], dtype=text),
        "regions/strand": np.array(["."] * rows, dtype=text),
        "regions/split": np.array(["train"] * (rows - valid) + ["valid"] * valid, dtype=text),
        "regions/fold": (np.arange(rows) % folds if folds else np.full(rows, -1)).astype(np.int32),
        "regions/kept": np.ones(rows, bool), "regions/reason": np.array([""] * rows, dtype=text),
        "regions/origin": np.array(["given"] * rows, dtype=text), "regions/parent": np.arange(rows),
        "inputs/seq": codes[:, :, None] == np.arange(4),
        "targets/main": np.nan_to_num(targets).astype(dtype), "targets_mask/main": ~np.isnan(targets),
    }  # fmt: skip
    if second_input:
        inputs.append(Input("rna", second_input))
        other = generator.integers(0, 5, (rows, second_input))
        columns |= {"inputs/rna": other[:, :, None] == np.arange(4)}
        columns |= {f"intervals/rna/{name}": columns[f"regions/{name}"] for name in INTERVAL_TYPES}
    if second_modality >= 0:
        modalities.append(Modality("more", ({"name": "extra", "strand_partner": 0},), second_modality, "float16"))
        shape = modalities[1].shape(rows)
        columns |= {
            "targets/more": generator.random(shape).astype(np.float16),
            "targets_mask/more": np.ones(shape, bool),
        }
    shard, chunk = (shard_rows, shard_rows) if shard_rows else row_geometry(row_bytes(inputs, modalities))
    header: dict[str, Any] = {
        "format": FORMAT, "kind": "dataset", "rows": rows, "positives": rows, "kept": rows, "seed": 0,
        "splits": {"train": rows - valid, "valid": valid, "test": 0, "excluded": 0},
        "folds": [len(range(fold, rows, folds)) for fold in range(folds)],
        "row_shard": shard, "row_chunk": chunk, **contents(inputs, modalities),
    }  # fmt: skip
    writer = PartWriter(path.parent / f"{path.name}.part", dataset_arrays(header))
    for name, values in columns.items():
        for index in range(writer.specs[name].shard_count):
            writer.write(name, index, values[writer.specs[name].shard_slice(index)])
    writer.close()
    assemble(path, header, [(writer.folder, {})])
    return path
