"""Work of drg-kernels: responses to k-mers, then effects of each kernel, group of rows by group of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.bodies.kernels_effects import ModelEffects
from drg_hpc.bodies.kernels_result import write_result
from drg_hpc.bodies.kernels_scan import (
    Arrays,
    Kernels,
    RowScan,
    distinct_of,
    kernels_of,
    motifs_of_distinct,
    scan_random,
    uses_random,
    uses_rows,
)
from drg_hpc.bodies.kernels_settle import EFFECTS, REGION_CLASSES, SCAN, read_region_classes
from drg_hpc.bodies.row_options import ROWS
from drg_hpc.bodies.rows import ModelRun, blocks
from drg_hpc.bodies.selection import model_keys
from drg_hpc.errors import InputError
from drg_hpc.models.base import SequenceModel
from drg_hpc.models.compute import device_model
from drg_hpc.models.header import read_model_header
from drg_hpc.prediction.rows import Rows
from drg_hpc.results import h5
from drg_hpc.results.kernel_rows import RowsWriter
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.signals import check_stop
from drg_hpc.runs.spec import Attempt, Part, Shard
from drg_hpc.store.reader import open_dataset

_GROUP = "group_"
"""Arrays with a first axis of groups of rows, whose values are combined."""
LOSSES = "rows.h5"
Onehot = Sequence[NDArray[Any]]


class Body:
    """Kernels of the models of a run; models and rows are opened with the first shard.

    Sums are kept for each group of rows, whose size depends on the number of rows alone, and added up in the order of
    the groups: their bytes do not depend on the shards, which are whole groups.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan, self._params = plan, plan.params
        self._run = ModelRun(plan, rows=ROWS)

    def work(self, stage: str, shard: Shard, attempt: Attempt) -> None:
        """``scan.npz`` or ``effects.npz`` of a shard."""
        attempt.notes |= {"device": device_model(attempt.device), "torch": torch.__version__}
        modules = self._run.modules("cpu" if stage == SCAN else attempt.device)
        kernels = kernels_of(modules, self._params["activated"])
        made = self._scan(shard, kernels) if stage == SCAN else self._effects(shard, modules, kernels, attempt)
        np.savez(attempt.out / f"{stage}.npz", **made)  # type: ignore[arg-type]

    def merge(self, stage: str, parts: list[Part], out: Path) -> dict[str, Any]:
        """Add up groups in their order; then motifs, statistics, clusters and names."""
        if stage == SCAN:
            found = _added(parts, SCAN)
            if any(not value for name, value in found.items() if name.endswith("_kmers")):
                raise InputError("the rows have no k-mer of known bases", fix="take random k-mers")
            if self._counts_words:
                found = motifs_of_distinct(kernels_of(*self._of_models), found, self._params)
            np.savez(out / "scan.npz", **found)  # type: ignore[arg-type]
            return {}
        losses = [h5.PartFile(part.path / LOSSES, part.shard.start, part.shard.stop) for part in parts]
        return write_result(self._plan, kernels_of(*self._of_models), self._scanned, _added(parts, EFFECTS),
                            rows_parts=losses, out=out)  # fmt: skip

    @property
    def _of_models(self) -> tuple[list[SequenceModel], str]:
        return self._run.modules("cpu"), self._params["activated"]

    @property
    def _counts_words(self) -> bool:
        return bool(self._params["unique"] and self._params["kmers"] == "data")

    @cached_property
    def _scanned(self) -> Arrays:
        with np.load(self._plan.folder / "stages" / "scan.npz") as stored:
            return {name: stored[name] for name in stored.files}

    def _groups(self, shard: Shard) -> Iterator[Iterator[tuple[int, Onehot, NDArray[np.int64]]]]:
        """For each group of rows its blocks: number of the first row, one-hot inputs, which of them are kept."""
        bases = sum(length for _, length in self._params["inputs_of_model"])

        def group(first: int, last: int) -> Iterator[tuple[int, Onehot, NDArray[np.int64]]]:
            kept = self._run.source.regions(first, last)["kept"].to_numpy(dtype=bool)
            for at, onehot in blocks(self._run.source, first, last, bases=bases):
                here = np.flatnonzero(kept[at - first : at - first + len(onehot[0])])
                if len(here):
                    yield at, onehot, here

        for start in range(shard.start, shard.stop, self._params["group"]):
            yield group(start, min(start + self._params["group"], shard.stop))

    def _scan(self, shard: Shard, kernels: list[Kernels]) -> Arrays:
        found: Arrays = scan_random(kernels, self._params) if uses_random(self._params) and shard.start == 0 else {}
        if not uses_rows(self._params):
            return found
        groups: list[Arrays] = []
        histograms: dict[str, NDArray[np.int64]] = {}
        words: Arrays = {}
        for group in self._groups(shard):
            scans = {item.tag: RowScan(item, self._params) for item in kernels}
            for _, onehot, kept in group:
                onehot = [x[kept] for x in onehot]
                for scan in scans.values():
                    scan.add(onehot)
                if self._counts_words:
                    words = _united(words, distinct_of(kernels, onehot, self._params))
            groups.append({f"{tag}_{name}": v for tag, scan in scans.items() for name, v in scan.sums().items()})
            for tag, scan in scans.items():
                if scan.histogram is not None:
                    histograms[tag] = histograms.get(tag, 0) + scan.histogram
        found |= {f"{_GROUP}{name}": np.stack([group[name] for group in groups]) for name in groups[0]}
        return found | words | {f"{_GROUP}{tag}_histogram": values[None] for tag, values in histograms.items()}

    def _effects(
        self, shard: Shard, modules: Sequence[SequenceModel], kernels: list[Kernels], attempt: Attempt
    ) -> Arrays:  # fmt: skip
        with ExitStack() as stack:
            losses = None
            if self._params["per_row"]:
                losses = stack.enter_context(RowsWriter(
                    attempt.out / LOSSES, rows=shard.stop - shard.start, classes=len(self._params["classes"]),
                    kernels=sum(item.branch.kernels for item in kernels), models=len(modules),
                ))  # fmt: skip
                losses.regions(self._run.source.regions(shard.start, shard.stop))
            return self._grouped(shard, modules, kernels, device=attempt.device, losses=losses)

    def _grouped(
        self, shard: Shard, modules: Sequence[SequenceModel], kernels: list[Kernels], *, device: str,
        losses: RowsWriter | None,
    ) -> Arrays:  # fmt: skip
        groups: list[Arrays] = []
        runs = [
            ModelEffects(self._params, number, module, kernels=kernels, scanned=self._scanned)
            for number, module in enumerate(modules)
        ]
        for group in self._groups(shard):
            for run in runs:
                run.begin(device)
            for at, onehot, kept in group:
                regions = self._run.source.regions(at, at + len(onehot[0])).iloc[kept]
                measured, classes = self._measured(regions), self._classes(regions)
                found = []
                for run in runs:
                    check_stop()
                    found.append(run.add(onehot, kept, measured=measured, classes=classes))
                if losses is not None:
                    _write_losses(losses, at - shard.start, found)
            groups.append({name: value for run in runs for name, value in run.sums().items()})
        return {f"{_GROUP}{name}": np.stack([group[name] for group in groups]) for name in groups[0]}

    @cached_property
    def _targets(self) -> Rows:
        store = open_dataset(self._plan.inputs[ROWS]["path"])
        header = read_model_header(Path(self._plan.inputs[model_keys(self._plan.inputs)[0]]["path"]))
        return Rows.of_tracks(store, header, [index for index, _ in self._params["tracks"]])

    def _measured(self, regions: Any) -> NDArray[np.float64] | None:
        """Measured values (n, tracks); of bins their mean, NaN where one of them is missing."""
        if not self._params["measured"]:
            return None
        values = self._targets.targets(regions["row"].to_numpy(np.int64)).astype(np.float64)
        return values.mean(2) if values.ndim == 3 else values

    @cached_property
    def _class_numbers(self) -> dict[str, int]:
        classes = read_region_classes(Path(self._plan.inputs[REGION_CLASSES]["path"]))
        number = {name: i for i, name in enumerate(self._params["region_classes"])}
        return {region: number[name] for region, name in classes.items()}

    def _classes(self, regions: Any) -> NDArray[np.int64] | None:
        if not self._params["region_classes"]:
            return None
        return np.array([self._class_numbers.get(str(name), -1) for name in regions["name"]], np.int64)


def _united(words: Arrays, more: Mapping[str, NDArray[Any]]) -> Arrays:
    return {name: np.union1d(words[name], new) if name in words else new for name, new in more.items()}


def _write_losses(
    losses: RowsWriter, at: int, found: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]] | None]
) -> None:  # fmt: skip
    """Those of a block of rows, of all models; rows of a store are all kept."""
    made = [one for one in found if one is not None]
    losses.block(at, np.concatenate([loss for loss, _ in made], 2), np.stack([full for _, full in made], 1))


def _added(parts: list[Part], stage: str) -> Arrays:
    """All arrays of a stage: those of groups added up one by one, extremes taken, words united, others as they are."""
    found: Arrays = {}
    for part in parts:
        with np.load(part.path / f"{stage}.npz") as stored:
            for name in stored.files:
                if not name.startswith(_GROUP):
                    words = name.startswith("words_") and name in found
                    found[name] = np.union1d(found[name], stored[name]) if words else stored[name]
                    continue
                key = name.removeprefix(_GROUP)
                combine: Any = {"low": np.minimum, "high": np.maximum}.get(key.rpartition("_")[2], np.add)
                for value in stored[name]:
                    found[key] = combine(found[key], value) if key in found else value
    return found
