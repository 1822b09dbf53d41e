"""Small dataset stores, written directly, and trainings on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drg_hpc.store.layout import dataset_arrays, row_bytes, row_geometry
from drg_hpc.store.writer import PartWriter, assemble

LENGTH = 40
MOTIF = np.array([2, 0, 3, 0, 0, 1])  # GATAAC
StoreMaker = Callable[..., Path]


def _planted(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes, and 1 where the motif was planted on either strand."""
    generator = np.random.default_rng(seed)
    codes = generator.integers(0, 4, (rows, LENGTH))
    labels = generator.random(rows) < 0.5
    for row in np.flatnonzero(labels):
        start = generator.integers(0, LENGTH - len(MOTIF))
        codes[row, start : start + len(MOTIF)] = MOTIF if generator.random() < 0.5 else 3 - MOTIF[::-1]
    return codes, labels.astype(np.float32)


def write_store(
    path: Path, codes: np.ndarray, targets: np.ndarray, *, valid: int, partners: list[int] | None = None
) -> Path:
    """A dataset store of one part; NaN targets become missing values."""
    rows, tracks = targets.shape[:2]
    bins = targets.shape[2] if targets.ndim == 3 else 0
    names = ["bound"] if tracks == 1 else [f"t{i}" for i in range(tracks)]
    partners = partners or list(range(tracks))
    shard, chunk = row_geometry(row_bytes(length=LENGTH, tracks=tracks, bins=bins))
    header: dict[str, Any] = {
        "format": "drg-store/1", "kind": "dataset", "rows": rows, "kept": rows, "inputs": {"seq": LENGTH},
        "splits": {"train": rows - valid, "valid": valid, "test": 0, "excluded": 0},
        "tracks": names, "bins": bins, "seed": 0, "row_shard": shard, "row_chunk": chunk,
        "track_info": [{"name": n, "strand_partner": p} for n, p in zip(names, partners, strict=True)],
    }  # fmt: skip
    text = np.dtypes.StringDType()
    columns: dict[str, np.ndarray] = {
        "regions/chrom": np.array(["chr1"] * rows, dtype=text),
        "regions/start": np.arange(rows), "regions/end": np.arange(rows) + LENGTH,
        "regions/name": np.array([f"r{i}" for i in range(rows)], dtype=text),
        "regions/strand": np.array(["."] * rows, dtype=text),
        "regions/split": np.array(["train"] * (rows - valid) + ["valid"] * valid, dtype=text),
        "regions/fold": np.full(rows, -1, np.int32),
        "regions/kept": np.ones(rows, bool), "regions/reason": np.array([""] * rows, dtype=text),
        "inputs/seq": codes[:, :, None] == np.arange(4),
        "targets/main": np.nan_to_num(targets).astype(np.float32), "targets_mask/main": ~np.isnan(targets),
    }  # fmt: skip
    writer = PartWriter(path.parent / f"{path.name}.part", dataset_arrays(header))
    for name, values in columns.items():
        for index in range(writer.specs[name].shard_count):
            writer.write(name, index, values[writer.specs[name].shard_slice(index)])
    writer.close()
    assemble(path, header, [(writer.folder, {})])
    return path


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRG_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def make_store(tmp_path: Path) -> StoreMaker:
    """Makes a store: ``make_store(rows, valid=…, kind="binary"|"real"|"counts", tracks=…, nan=…)``."""

    def make(
        rows: int = 300, *, valid: int = 60, kind: str = "binary", tracks: int = 1, bins: int = 0, nan: float = 0.0,
        partners: list[int] | None = None, name: str = "store.zarr", seed: int = 5,
    ) -> Path:  # fmt: skip
        codes, labels = _planted(rows, seed)
        generator = np.random.default_rng(seed + 1)
        shape = (rows, tracks, bins) if bins else (rows, tracks)
        signal = labels.reshape((rows,) + (1,) * (len(shape) - 1))
        if kind == "binary":
            targets = np.broadcast_to(signal, shape).copy()
        elif kind == "counts":
            targets = generator.poisson(2 + 5 * signal, shape).astype(np.float32)
        else:
            targets = (signal + generator.normal(0, 0.3, shape)).astype(np.float32)
        targets[generator.random(shape) < nan] = np.nan
        return write_store(tmp_path / name, codes, targets, valid=valid, partners=partners)

    return make
