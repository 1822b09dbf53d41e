"""Small stores in folds, and sweeps over them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from small_stores import write_store

from drg_hpc.bodies import train_plan
from drg_hpc.runs.plan import Plan, write_plan
from drg_hpc.training.config import TrainOptions
from drg_hpc.training.run import train

SMALL: dict[str, Any] = {
    "model": {"kernels": 6, "kernel_size": 7, "pool_size": 5, "hidden": [8], "dropout": 0.2},
    "data": {"reverse_complement": 0.5},
    "train": {"epochs": 2, "batch_size": 50},
    "optim": {"lr": 0.01},
    "log": {"measure": False},
    "device": "cpu",
    "threads": 1,
}
FILES = ("history.tsv", "metrics.json", "model.json", "tracks.tsv", "weights.safetensors")
LENGTH = 40


def make_store(path: Path, *, rows: int = 300, folds: int = 4, real: bool = False, valid: int = 60) -> Path:
    """A motif planted in half of the rows, which are dealt into folds one after the other."""
    generator = np.random.default_rng(5)
    codes, labels = generator.integers(0, 4, (rows, LENGTH)), generator.random(rows) < 0.5
    codes[labels, 10:16] = [2, 0, 3, 0, 0, 1]
    targets = labels + generator.normal(0, 0.3, rows) if real else labels
    return write_store(path, codes, targets.astype(np.float32)[:, None], valid=valid, folds=folds)


def options(store: Path, out: Path, **changes: Any) -> train_plan.Options:
    """Of a sweep."""
    return train_plan.Options.model_validate({"store": store, "out": out, **SMALL, **changes})


def planned(store: Path, out: Path, **changes: Any) -> Plan:
    """A sweep that has not begun."""
    return write_plan(train_plan.plan_shards(options(store, out, **changes)), out)


def alone(store: Path, out: Path, **changes: Any) -> Path:
    """What drg-train makes of the same options by itself."""
    return train(TrainOptions.model_validate({"store": store, "out": out, **SMALL, **changes}))


def digests(folder: Path) -> dict[str, str]:
    """sha256 of the files below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def table(run: Path) -> list[dict[str, str]]:
    """Lines of summary.tsv."""
    header, *lines = [line.split("\t") for line in (run / "summary.tsv").read_text().splitlines()]
    return [dict(zip(header, line, strict=True)) for line in lines]
