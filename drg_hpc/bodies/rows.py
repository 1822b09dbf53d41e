"""The rows a run over a model works on, read in bounded pieces: the heavy half of ``selection``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.bodies.selection import model_keys
from drg_hpc.errors import CorruptError
from drg_hpc.genome.fasta import read_records
from drg_hpc.genome.onehot import codes_to_onehot, encode
from drg_hpc.genome.regions import Region, parse_region
from drg_hpc.models.base import SequenceModel
from drg_hpc.models.compute import prepare_torch
from drg_hpc.models.io import load_model
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.signals import check_stop
from drg_hpc.runs.spec import BLOCK_ROWS
from drg_hpc.store.dataset_layout import single_input
from drg_hpc.store.reader import open_dataset

_READ_BYTES = 64 << 20


class RowSource(Protocol):
    """Rows of a run, numbered 0 to n - 1."""

    def regions(self, start: int, stop: int) -> pd.DataFrame:
        """Table of regions of some rows, with ``row``: the row's number in the input."""

    def sequences(self, start: int, stop: int) -> list[NDArray[Any]]:
        """One-hot (n, 4, L) of some rows, of each input."""


class StoreRows:
    """The first rows of a split of a dataset store; ``inputs`` names its sequences, () the only one."""

    def __init__(self, path: Path, *, split: str, rows: int, inputs: Sequence[str] = ()) -> None:
        self._store = open_dataset(path)
        self._inputs = list(inputs) or [single_input(self._store.header).name]
        self._selected = self._store.split_rows(split)[:rows]
        if len(self._selected) != rows:
            raise CorruptError(
                f"{path} has {len(self._selected)} rows in split {split!r}, its header promised {rows}",
                fix="make the store again with drg-shard",
            )

    def regions(self, start: int, stop: int) -> pd.DataFrame:
        chosen = self._selected[start:stop]
        return self._store.regions.iloc[chosen].assign(row=chosen)

    def sequences(self, start: int, stop: int) -> list[NDArray[Any]]:
        return [self._store.input_sequences(name, self._selected[start:stop]) for name in self._inputs]


class FastaRows:
    """The first sequences of a FASTA; names of the form ``chrom:start-end`` become regions."""

    def __init__(self, path: Path, *, rows: int) -> None:
        records = [record for _, record in zip(range(rows), read_records(path), strict=False)]
        self._codes = np.stack([encode(record.sequence) for record in records])
        length = self._codes.shape[1]
        found = [parse_region(r.name, length) or Region(r.name, 0, length, r.name) for r in records]
        columns = ("chrom", "start", "end", "name", "strand", "kept", "reason")
        self._regions = pd.DataFrame({name: [getattr(region, name) for region in found] for name in columns})
        self._regions["origin"] = "given"
        self._regions["row"] = np.arange(len(found), dtype=np.int64)

    def regions(self, start: int, stop: int) -> pd.DataFrame:
        return self._regions.iloc[start:stop]

    def sequences(self, start: int, stop: int) -> list[NDArray[Any]]:
        return [codes_to_onehot(self._codes[start:stop]).transpose(0, 2, 1).astype(np.float32)]


def open_rows(plan: Plan, *, name: str) -> RowSource:
    """The rows of a plan made by ``selection``; ``name`` is the input's key."""
    path, rows = Path(plan.inputs[name]["path"]), int(plan.params["rows"])
    if plan.params["split"] is None:
        return FastaRows(path, rows=rows)
    return StoreRows(path, split=plan.params["split"], rows=rows, inputs=tuple(plan.params.get("inputs", ())))


def blocks(source: RowSource, start: int, stop: int, *, bases: int) -> Iterator[tuple[int, list[NDArray[Any]]]]:
    """(first row, one-hot (n, 4, L) of each input) of blocks of 64 rows aligned to row 0, read in larger pieces.

    Parameters
    ----------
    bases : of a row, over all inputs
    """
    step = max(1, _READ_BYTES // (16 * bases * BLOCK_ROWS)) * BLOCK_ROWS
    assert start % BLOCK_ROWS == 0
    for first in range(start, stop, step):
        pieces = source.sequences(first, min(first + step, stop))
        for at in range(0, len(pieces[0]), BLOCK_ROWS):
            check_stop()
            yield first + at, [piece[at : at + BLOCK_ROWS] for piece in pieces]


class ModelRun:
    """The models of a run (inputs ``model``, or ``model1``, ``model2``, …) and its rows, opened with the first shard.

    Parameters
    ----------
    rows : the key of the input that the rows are in
    """

    def __init__(self, plan: Plan, *, rows: str) -> None:
        self._plan, self._rows = plan, rows
        self._modules: dict[str, list[SequenceModel]] = {}

    @cached_property
    def source(self) -> RowSource:
        """The rows."""
        return open_rows(self._plan, name=self._rows)

    def modules(self, device: str) -> list[SequenceModel]:
        """The models on a device, in eval mode."""
        if device not in self._modules:
            prepare_torch(self._plan.threads)
            paths = [self._plan.inputs[key]["path"] for key in model_keys(self._plan.inputs)]
            self._modules[device] = [load_model(path, device=device) for path in paths]
        return self._modules[device]
