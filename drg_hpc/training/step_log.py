"""A log of the steps beside history.tsv, for those who watch: JSON lines, or TensorBoard's files."""

from __future__ import annotations

import importlib.util
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from drg_hpc.errors import InputError
from drg_hpc.files import write_atomic
from drg_hpc.training.config import LogTable, LogTo
from drg_hpc.training.distributed import Group
from drg_hpc.training.objective import Objective

Array = np.ndarray[Any, Any]
JSONL, TENSORBOARD = "log.jsonl", "tensorboard"


class _Writer(Protocol):
    def write(self, kind: str, step: int, values: Mapping[str, float | None]) -> None: ...


class _Jsonl:
    """One JSON object a line; those of steps that are done again are removed first."""

    def __init__(self, path: Path, step: int) -> None:
        kept = [line for line in path.read_text().splitlines() if _step(line) <= step] if path.is_file() else []
        write_atomic(path, "".join(f"{line}\n" for line in kept))
        self._path = path

    def write(self, kind: str, step: int, values: Mapping[str, float | None]) -> None:
        plain = {name: value if _finite(value) else None for name, value in values.items()}
        with open(self._path, "a", encoding="utf-8") as handle:
            handle.write(json.dumps({"kind": kind, "step": step, **plain}) + "\n")


def _step(line: str) -> float:
    """The step of a line; a line that was cut off belongs to none."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def require_writer(to: LogTo) -> None:
    """Refuse a log that cannot be written here.

    Raises
    ------
    InputError : TensorBoard is not installed
    """
    if to == "tensorboard" and importlib.util.find_spec("tensorboard") is None:
        raise InputError(
            "log.to = 'tensorboard' needs the package tensorboard, which is not installed",
            fix="pip install tensorboard, or log.to = 'jsonl'",
        )


class _TensorBoard:
    def __init__(self, path: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(path), purge_step=step + 1)

    def write(self, kind: str, step: int, values: Mapping[str, float | None]) -> None:
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(f"{kind}/{name}", value, step)
        self._writer.flush()


class StepLog:
    """Writes an entry every few steps, and one an epoch. Every rank makes one, and tells it of the same steps.

    Parameters
    ----------
    folder : MODEL
    """

    def __init__(self, table: LogTable, folder: Path, *, objective: Objective, group: Group) -> None:
        self._table, self._folder, self._objective, self._group = table, folder, objective, group
        self._writer: _Writer | None = None
        self._begin()

    def open(self, step: int) -> None:
        """Begin, or go on after ``step`` steps."""
        self._begin()
        if self._table.to == "none" or not self._group.main:
            return
        if self._table.to == "jsonl":
            self._writer = _Jsonl(self._folder / JSONL, step)
        else:
            self._writer = _TensorBoard(self._folder / TENSORBOARD, step)

    def _begin(self) -> None:
        self._sums = np.zeros(self._objective.count)
        self._units = np.zeros(self._objective.count)
        self._rows, self._started = 0, time.monotonic()

    def step(self, step: int, *, sums: Sequence[float], units: Array, rows: int, norm: float, rate: float) -> None:
        """Count a step in, and write the entry that is due.

        Parameters
        ----------
        step : steps done
        sums, units : of each term of the loss, of this rank and of all
        rows : samples of all ranks
        norm : of the gradient
        rate : learning rate
        """
        if self._table.to == "none":
            return
        self._sums += sums
        self._units += units
        self._rows += rows
        if step % self._table.every:
            return
        total = np.array(self._group.sum(list(self._sums)))
        loss = float((total * self._objective.factors(self._units)).sum())
        pace = self._rows / max(time.monotonic() - self._started, 1e-9)
        self._write("steps", step, {"loss": loss, "gradient_norm": norm, "lr": rate, "samples_per_s": pace})
        self._begin()

    def epoch(self, step: int, values: Mapping[str, float | None]) -> None:
        """Write the entry of an epoch."""
        self._write("epoch", step, values)
        self._started = time.monotonic()

    def _write(self, kind: str, step: int, values: Mapping[str, float | None]) -> None:
        if self._writer is not None:
            self._writer.write(kind, step, values)
