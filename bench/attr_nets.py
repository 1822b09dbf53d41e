"""What the sections of bench/attr share: networks with random weights, sequences, sides timed in turn."""

from __future__ import annotations

import statistics
import time
import tomllib
from collections.abc import Callable, Mapping

import numpy as np
import torch
from common import ROOT
from numpy.typing import NDArray

from drg_hpc.models.base import ModelShape, SequenceModel
from drg_hpc.models.config import config_from_json
from drg_hpc.models.registry import build


def network(name: str, shape: ModelShape, **changes: object) -> SequenceModel:
    """The network of a file in configs/, in eval mode."""
    values = tomllib.loads((ROOT / f"configs/{name}.toml").read_text())["model"] | changes
    torch.manual_seed(0)
    return build(config_from_json(values, source=name), shape).eval().requires_grad_(False)


def sequences(rows: int, length: int) -> NDArray[np.float32]:
    """One-hot (rows, 4, length)."""
    codes = np.random.default_rng(0).integers(0, 4, (rows, length))
    return np.ascontiguousarray(np.eye(4, dtype=np.float32)[codes].transpose(0, 2, 1))


def in_turn(sides: Mapping[str, Callable[[], None]], *, repeats: int) -> dict[str, list[float]]:
    """Seconds of each side, one after the other, after one warm-up each."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(repeats + 1):
        for name, side in sides.items():
            started = time.perf_counter()
            side()
            if number:
                found[name].append(time.perf_counter() - started)
    return found


def ratio(found: Mapping[str, list[float]], above: str, below: str) -> float:
    """Median of the ratios of paired runs."""
    return statistics.median(a / b for a, b in zip(found[above], found[below], strict=True))
