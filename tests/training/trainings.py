"""Small trainings in this process."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from drg_hpc.errors import Stopped
from drg_hpc.training.config import TrainOptions
from drg_hpc.training.run import train

SMALL: dict[str, Any] = {
    "model": {"kernels": 6, "kernel_size": 7, "pool_size": 5, "hidden": [8], "dropout": 0.2},
    "data": {"reverse_complement": 0.5},
    "train": {"epochs": 2, "batch_size": 50},
    "optim": {"lr": 0.01, "schedule": "cosine", "warmup_steps": 2, "clip_norm": 1.0},
    "device": "cpu",
}


def options(store: Path, out: Path, **changes: Any) -> TrainOptions:
    return TrainOptions.model_validate({"store": store, "out": out, **SMALL, **changes})


def weights(model: Path) -> str:
    return hashlib.sha256((model / "weights.safetensors").read_bytes()).hexdigest()


def history(model: Path) -> list[list[str]]:
    """The cells of history.tsv."""
    return [line.split("\t") for line in (model / "history.tsv").read_text().splitlines()]


def drive(store: Path, out: Path, **changes: Any) -> int:
    """Run until done; how often it stopped on the way."""
    for stops in range(100):
        try:
            train(options(store, out, **changes))
        except Stopped:
            continue
        return stops
    raise AssertionError("does not end")
