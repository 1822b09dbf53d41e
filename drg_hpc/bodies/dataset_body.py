"""Work and merge of dataset stores: whole zarr row-shards into parts, parts into one store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.bodies.datasets import BOUND, without_labels
from drg_hpc.bodies.split_options import splitter_of
from drg_hpc.files import read_json, write_json
from drg_hpc.genome.counts import load_rows, read_names
from drg_hpc.genome.negatives import parse_negatives
from drg_hpc.genome.regions import Region
from drg_hpc.genome.shuffle import dinucleotide_shuffle, dinucleotide_shuffle_compat, shuffle_keys
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.signals import check_stop
from drg_hpc.runs.spec import Attempt, Part, Shard
from drg_hpc.store.dataset_layout import Modality, dataset_arrays, inputs_of, modalities_of
from drg_hpc.store.layout import STORE
from drg_hpc.store.writer import PartWriter, assemble

PART_FACTS = "part.json"
KEPT = "kept.tsv"
_NO_FOLD = -1
Rows = NDArray[np.int64]
Codes = NDArray[np.uint8]
Values = NDArray[np.float32]


class DatasetBody(ABC):
    """Rows ``0..n-1`` are the positives; row ``r >= n`` is negative ``(r - n) // n`` of positive ``(r - n) % n``."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.header: dict[str, Any] = plan.params["header"]
        self.inputs = inputs_of(self.header)
        self.modalities = modalities_of(self.header)
        self.positives = int(self.header["positives"])
        self.negatives = parse_negatives(self.header["negatives"] or None)

    @abstractmethod
    def read_rows(self) -> dict[str, list[Region]]:
        """Per input the interval of every positive; names, kept and reasons are those of the first input."""

    @abstractmethod
    def codes(self, name: str, rows: Rows, regions: Sequence[Region]) -> Codes:
        """Base codes (n, stored length) of an input.

        Parameters
        ----------
        rows : the positives that the rows are, or come from
        regions : the intervals to read, with their flanks besides; those of the positives but for genomic negatives
        """

    @abstractmethod
    def kept_table(self) -> Iterable[Sequence[object]]:
        """Header and lines of ``kept.tsv``: what became of every row of the files that were read."""

    @cached_property
    def intervals(self) -> dict[str, list[Region]]:
        """Per input the interval of every positive; rows without labels are not kept."""
        found = self.read_rows()
        first = next(iter(found))
        return found | {first: without_labels(found[first], {str(path): read_names(path) for path in self._paths})}

    @property
    def regions(self) -> list[Region]:
        """The first input's intervals of the positives."""
        return next(iter(self.intervals.values()))

    @property
    def _paths(self) -> list[Path]:
        """Matrices of labels."""
        return [Path(self.plan.inputs[s["input"]]["path"]) for s in self.header["labels"] if s["kind"] == "matrix"]

    @cached_property
    def _matrices(self) -> dict[str, Values]:
        """Labels of the positives that are kept, by the path of each matrix."""
        names = [row.name for row in self.regions if row.kept]
        return {str(path): load_rows(path, names) for path in self._paths}

    @cached_property
    def _places(self) -> Rows:
        """Where a positive's labels are among those of the ones that are kept; -1, the last, for the others."""
        kept = np.array([row.kept for row in self.regions])
        return np.where(kept, np.cumsum(kept) - 1, -1)

    def labels(self, modality: int, regions: Sequence[Region], rows: Rows, origin: str) -> Values:
        """Targets (n, tracks[, bins]) of rows of one origin, NaN where missing.

        Parameters
        ----------
        regions : their intervals
        rows : the positives they are, or come from
        """
        source = self.header["labels"][modality]
        if origin != "given":
            return np.zeros(self.modalities[modality].shape(len(rows)), np.float32)
        if source["kind"] == BOUND:
            return np.ones((len(rows), 1), np.float32)
        path = self.plan.inputs[source["input"]]["path"]
        return self._matrices[path][self._places[rows]]

    @cached_property
    def _splits(self) -> list[tuple[str, int]]:
        splitter = splitter_of(self.plan.params["split"], self.plan.inputs)
        return [splitter.assign(row.name, row.chrom) if row.kept else ("excluded", _NO_FOLD) for row in self.regions]

    def work(self, stage: str, shard: Shard, attempt: Attempt) -> None:
        """Write the zarr row-shards that cover global rows ``shard.start`` to ``shard.stop``."""
        writer = PartWriter(attempt.out / STORE, dataset_arrays(self.header))
        facts: dict[str, Any] = {"rows": shard.rows, "unshuffled": 0, "unknown_bases": 0, "splits": {}}
        facts["folds"] = [0] * len(self.header["folds"])
        size = int(self.header["row_shard"])
        for start in range(shard.start, shard.stop, size):
            check_stop()
            self._write(writer, np.arange(start, min(start + size, shard.stop)), facts)
        writer.close()
        write_json(attempt.out / PART_FACTS, facts)

    def _write(self, writer: PartWriter, rows: Rows, facts: dict[str, Any]) -> None:
        index = int(rows[0]) // int(self.header["row_shard"])
        sources = rows % self.positives
        table = self.row_table(rows, sources)
        for number, item in enumerate(self.inputs):
            regions = [self.intervals[item.name][s] for s in sources] if number else [region for region, _ in table]
            codes = self._shuffled(self.codes(item.name, sources, regions), rows, facts)
            facts["unknown_bases"] += int((codes > 3).sum())
            writer.write_codes(f"inputs/{item.name}", index, codes)
            if number:
                self._write_intervals(writer, index, item.name, sources)
        for number, modality in enumerate(self.modalities):
            values = self._targets(number, rows, sources, table)
            values[[not region.kept for region, _ in table]] = np.nan
            self._write_targets(writer, index, modality, values)
        for name, values in self._columns(rows, sources, table).items():
            writer.write(f"regions/{name}", index, values)
        splits = Counter(split for region, (split, _) in table if region.kept)
        facts["splits"] = dict(Counter(facts["splits"]) + splits)
        folds = Counter(fold for region, (_, fold) in table if region.kept)
        facts["folds"] = [count + folds[fold] for fold, count in enumerate(facts["folds"])]

    def row_table(self, rows: Rows, sources: Rows) -> list[tuple[Region, tuple[str, int]]]:
        """(interval, (split, fold)) of every row; shuffles lie where their positive does."""
        return [(self.regions[source], self._splits[source]) for source in sources]

    def _shuffled(self, codes: Codes, rows: Rows, facts: dict[str, Any]) -> Codes:
        """Shuffle the rows that are shuffled negatives, each by a key of (seed, its own row)."""
        if self.negatives is None or self.negatives.kind == "gc":
            return codes
        seed = int(self.header["seed"])
        for copy in np.unique(rows // self.positives - 1):
            if copy < 0:
                continue
            here = np.flatnonzero(rows // self.positives - 1 == copy)
            if self.negatives.kind == "dinuc-compat":
                shuffled = dinucleotide_shuffle_compat(codes[here], seed=seed, copy=int(copy))
            else:
                shuffled = dinucleotide_shuffle(codes[here], shuffle_keys(seed, rows[here], int(copy)))
            facts["unshuffled"] += int((shuffled == codes[here]).all(axis=1).sum())
            codes[here] = shuffled
        return codes

    def _origins(self, rows: Rows) -> NDArray[np.object_]:
        kind = self.negatives.kind if self.negatives else ""
        return np.where(rows < self.positives, "given", kind).astype(object)

    def _targets(self, number: int, rows: Rows, sources: Rows, table: Sequence[tuple[Region, Any]]) -> Values:
        values = np.zeros(self.modalities[number].shape(len(rows)), np.float32)
        origins = self._origins(rows)
        for origin in set(origins):
            here = np.flatnonzero(origins == origin)
            values[here] = self.labels(number, [table[int(i)][0] for i in here], sources[here], str(origin))
        return values

    @staticmethod
    def _write_targets(writer: PartWriter, index: int, modality: Modality, values: Values) -> None:
        present = np.isfinite(values)
        stored = np.where(present, values, np.float32(0)).astype(modality.dtype)
        writer.write(f"targets/{modality.name}", index, stored)
        writer.write(f"targets_mask/{modality.name}", index, present)

    def _write_intervals(self, writer: PartWriter, index: int, name: str, sources: Rows) -> None:
        chosen = [self.intervals[name][source] for source in sources]
        for column in ("chrom", "strand"):
            writer.write(f"intervals/{name}/{column}", index, _text(getattr(r, column) for r in chosen))
        for column in ("start", "end"):
            writer.write(f"intervals/{name}/{column}", index, np.array([getattr(r, column) for r in chosen], np.int64))

    def _columns(self, rows: Rows, sources: Rows, table: Sequence[tuple[Region, Any]]) -> dict[str, NDArray[Any]]:
        regions = [region for region, _ in table]
        copies = rows // self.positives - 1
        kind = self.negatives.kind if self.negatives else ""
        names = [r.name if c < 0 else f"{r.name}_{kind}{c}" for r, c in zip(regions, copies, strict=True)]
        return {
            "chrom": _text(r.chrom for r in regions),
            "start": np.array([r.start for r in regions], np.int64),
            "end": np.array([r.end for r in regions], np.int64),
            "name": _text(names),
            "strand": _text(r.strand for r in regions),
            "split": _text(split if region.kept else "excluded" for region, (split, _) in table),
            "fold": np.array([fold if region.kept else _NO_FOLD for region, (_, fold) in table], np.int32),
            "kept": np.array([r.kept for r in regions]),
            "reason": _text(r.reason for r in regions),
            "origin": _text(self._origins(rows)),
            "parent": sources,
        }

    def merge(self, stage: str, parts: list[Part], out: Path) -> dict[str, Any]:
        """Link the parts' shard files into ``out.zarr``, then metadata and manifest; and write ``kept.tsv``."""
        facts = [read_json(part.path / PART_FACTS) for part in parts]
        found: Counter[str] = sum((Counter(f["splits"]) for f in facts), Counter())
        splits = {name: found[name] for name in self.header["splits"]}
        folds = [sum(counts) for counts in zip(*(f["folds"] for f in facts), strict=True)]
        header = self.header | {"splits": splits, "folds": folds, "kept": sum(splits.values())}
        merge_store(header, parts, out)
        with open(out / KEPT, "w") as handle:
            handle.writelines("\t".join(map(str, line)) + "\n" for line in self.kept_table())
        return {
            "rows": header["rows"],
            "kept": header["kept"],
            "splits": splits,
            "inputs": {item.name: item.length for item in self.inputs},
            "tracks": sum(len(modality.tracks) for modality in self.modalities),
            "unshuffled": sum(f["unshuffled"] for f in facts),
            "unknown_bases": sum(f["unknown_bases"] for f in facts),
        }


def _text(values: Iterable[str]) -> NDArray[Any]:
    return np.array(list(values), dtype=np.dtypes.StringDType())


def merge_store(header: dict[str, Any], parts: list[Part], out: Path) -> None:
    """Assemble ``out/out.zarr`` from verified parts; the receipts' sha256 go into its manifest."""
    prefix = f"{STORE}/"
    assemble(
        out / STORE,
        header,
        [
            (
                part.path / STORE,
                {name.removeprefix(prefix): r for name, r in part.receipt["files"].items() if name.startswith(prefix)},
            )
            for part in parts
        ],
    )
