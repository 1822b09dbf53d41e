"""The rows a run over a model works on, read in bounded pieces: the heavy half of ``selection``."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.bodies.bed_rows import planned_regions
from drg_hpc.bodies.region_codes import read_codes
from drg_hpc.bodies.selection import fasta_region, model_keys
from drg_hpc.bodies.where_rows import chosen_rows
from drg_hpc.errors import CorruptError, InputError
from drg_hpc.genome.fasta import read_records
from drg_hpc.genome.onehot import codes_to_onehot, encode
from drg_hpc.genome.regions import Region
from drg_hpc.models.base import SequenceModel
from drg_hpc.models.compute import prepare_torch
from drg_hpc.models.io import load_model
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.signals import check_stop
from drg_hpc.runs.spec import BLOCK_ROWS
from drg_hpc.store.dataset_layout import single_input
from drg_hpc.store.reader import open_dataset, open_genome

_READ_BYTES = 64 << 20


class RowSource(Protocol):
    """Rows of a run, numbered 0 to n - 1."""

    def regions(self, start: int, stop: int) -> pd.DataFrame:
        """Table of regions of some rows, with ``row``: the row's number in the input."""

    def sequences(self, start: int, stop: int) -> list[NDArray[Any]]:
        """One-hot (n, 4, L) of some rows, of each input."""

    def intervals(self, start: int, stop: int) -> dict[str, pd.DataFrame]:
        """Where the sequences of several inputs lie, by name: chrom, start, end, strand of some rows."""


class StoreRows:
    """The first rows of a split of a dataset store, or chosen ones; ``inputs`` names its sequences, () the only one."""

    def __init__(
        self, path: Path, *, split: str, rows: int, inputs: Sequence[str] = (), chosen: Sequence[int] | None = None
    ) -> None:
        self._store = open_dataset(path)
        self._inputs = list(inputs) or [single_input(self._store.header).name]
        if chosen is None:
            self._selected = self._store.split_rows(split)[:rows]
        else:
            self._selected = np.asarray(chosen, np.int64)
            kept = self._store.regions["kept"].to_numpy(dtype=bool)[self._selected]
            if not kept.all():
                raise InputError(f"{path}: row {self._selected[~kept][0]}, which was chosen by --where, has kept=false")
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

    def intervals(self, start: int, stop: int) -> dict[str, pd.DataFrame]:
        return {name: self._store.intervals(name).iloc[self._selected[start:stop]] for name in self._inputs}


class FastaRows:
    """The first sequences of a FASTA, or chosen ones; names of the form ``chrom:start-end`` become regions."""

    def __init__(self, path: Path, *, rows: int, chosen: Sequence[int] | None = None) -> None:
        numbers = np.arange(rows) if chosen is None else np.asarray(chosen, np.int64)
        wanted = set(numbers.tolist())
        read = itertools.islice(read_records(path), int(numbers[-1]) + 1)
        records = (record for number, record in enumerate(read) if number in wanted)
        regions: list[Region] = []
        for at, record in zip(range(rows), records, strict=True):
            if not at:  # into one array: no second copy of all sequences is ever held
                self._codes = np.empty((rows, len(record.sequence)), np.uint8)
            self._codes[at] = encode(record.sequence)
            regions.append(fasta_region(record.name, len(record.sequence)))
        self._regions = _region_table(regions, numbers)

    def regions(self, start: int, stop: int) -> pd.DataFrame:
        return self._regions.iloc[start:stop]

    def sequences(self, start: int, stop: int) -> list[NDArray[Any]]:
        return [_onehot(self._codes[start:stop])]

    def intervals(self, start: int, stop: int) -> dict[str, pd.DataFrame]:
        return {}


class GenomeRows:
    """Regions of a genome store; rows that are not kept have no known base.

    Parameters
    ----------
    params, files : ``params["regions"]`` and the inputs of a plan, see :func:`drg_hpc.bodies.bed_rows.planned_regions`
    """

    def __init__(
        self, path: Path, params: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]], *, rows: int,
        chosen: Sequence[int] | None = None,
    ) -> None:  # fmt: skip
        store = open_genome(path)
        self._store, found = store, planned_regions(params, files, store.contigs)
        self._numbers = np.arange(rows) if chosen is None else np.asarray(chosen, np.int64)
        self._items, self._intervals = found.inputs, [found.intervals[item.name] for item in found.inputs]
        self._rows = found.rows

    def regions(self, start: int, stop: int) -> pd.DataFrame:
        numbers = self._numbers[start:stop]
        return _region_table([self._rows[number] for number in numbers], numbers)

    def sequences(self, start: int, stop: int) -> list[NDArray[Any]]:
        numbers = self._numbers[start:stop]
        return [
            _onehot(read_codes(self._store.codes, [regions[number] for number in numbers], item))
            for item, regions in zip(self._items, self._intervals, strict=True)
        ]

    def intervals(self, start: int, stop: int) -> dict[str, pd.DataFrame]:
        numbers = self._numbers[start:stop]
        return {
            item.name: _region_table([regions[number] for number in numbers], numbers)
            for item, regions in zip(self._items, self._intervals, strict=True)
        }


def _onehot(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, 4, L) of base codes (n, L)."""
    return codes_to_onehot(codes).transpose(0, 2, 1).astype(np.float32)


def _region_table(regions: Sequence[Region], numbers: NDArray[np.int64]) -> pd.DataFrame:
    columns = ("chrom", "start", "end", "name", "strand", "kept", "reason")
    table = pd.DataFrame({name: [getattr(region, name) for region in regions] for name in columns})
    return table.assign(origin="given", row=numbers)


def open_rows(plan: Plan, *, name: str) -> RowSource:
    """The rows of a plan made by ``selection``; ``name`` is the input's key.

    Raises
    ------
    CorruptError : the rows are not those of the plan
    InputError : the input is not as the plan says
    """
    path, rows, params = Path(plan.inputs[name]["path"]), int(plan.params["rows"]), plan.params
    chosen = chosen_rows(params, plan.aside)
    if params["input"] == "fasta":
        return FastaRows(path, rows=rows, chosen=chosen)
    if params["input"] == "regions":
        return GenomeRows(path, params["regions"], plan.inputs, rows=rows, chosen=chosen)
    return StoreRows(path, split=params["split"], rows=rows, inputs=tuple(params.get("inputs", ())), chosen=chosen)


def blocks(
    source: RowSource, start: int, stop: int, *, bases: int, block: int = BLOCK_ROWS
) -> Iterator[tuple[int, list[NDArray[Any]]]]:
    """(first row, one-hot (n, 4, L) of each input) of blocks of rows aligned to row 0, read in larger pieces.

    Parameters
    ----------
    bases : of a row, over all inputs
    block : rows of a block
    """
    step = max(1, _READ_BYTES // (16 * bases * block)) * block
    assert start % block == 0
    for first in range(start, stop, step):
        pieces = source.sequences(first, min(first + step, stop))
        for at in range(0, len(pieces[0]), block):
            check_stop()
            yield first + at, [piece[at : at + block] for piece in pieces]


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
