"""Small dataset stores, written directly, and trainings on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_stores import write_store

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


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRG_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def make_store(tmp_path: Path) -> StoreMaker:
    """Makes a store: ``make_store(rows, valid=…, kind="binary"|"real"|"counts", tracks=…, nan=…)``."""

    def make(
        rows: int = 300, *, valid: int = 60, kind: str = "binary", tracks: int = 1, bins: int = 0, nan: float = 0.0,
        partners: list[int] | None = None, name: str = "store.zarr", seed: int = 5, flank: int = 0,
        **more: Any,
    ) -> Path:  # fmt: skip
        codes, labels = _planted(rows, seed)
        sides = np.random.default_rng(seed + 2).integers(0, 4, (2, rows, flank))
        codes = np.concatenate([sides[0], codes, sides[1]], axis=1)
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
        return write_store(tmp_path / name, codes, targets, valid=valid, partners=partners, flank=flank, **more)

    return make
