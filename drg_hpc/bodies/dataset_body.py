"""Work and merge of dataset stores: whole zarr row-shards into parts, parts into one store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.bodies.split_options import splitter_of
from drg_hpc.files import read_json, write_json
from drg_hpc.genome.counts import load_matrix
from drg_hpc.genome.onehot import codes_to_onehot
from drg_hpc.genome.regions import Region
from drg_hpc.genome.shuffle import dinucleotide_shuffle, shuffle_keys
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.signals import check_stop
from drg_hpc.runs.spec import Attempt, Part, Shard
from drg_hpc.store.layout import MODALITY, STORE, dataset_arrays
from drg_hpc.store.writer import PartWriter, assemble

PART_FACTS = "part.json"
Targets = NDArray[np.float32]


class DatasetBody(ABC):
    """Rows ``0..n-1`` are the positives; row ``r >= n`` is shuffle ``(r - n) // n`` of positive ``(r - n) % n``."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.header: dict[str, Any] = plan.params["header"]
        self.length = int(self.header["inputs"]["seq"])
        self.positives = int(self.header["positives"])

    @cached_property
    @abstractmethod
    def regions(self) -> list[Region]:
        """The positives, as the plan saw them."""

    @abstractmethod
    def codes(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Base codes (n, length) of positives."""

    def targets(self, rows: NDArray[np.int64]) -> Targets:
        """Labels (n, tracks[, bins]) of positives, NaN where missing; here from the matrices of the plan."""
        if self.header["labels"]["labels"] == "bound":
            return np.ones((len(rows), 1), np.float32)
        return self._matrix[rows]

    @cached_property
    def _matrix(self) -> Targets:
        """Labels of all positives: the columns of all matrices side by side; NaN for rows that are not kept."""
        columns = []
        kept = [number for number, row in enumerate(self.regions) if row.kept]
        for number in range(sum(name.startswith("counts") for name in self.plan.inputs)):
            names, values = load_matrix(Path(self.plan.inputs[f"counts{number}"]["path"]))
            index = {name: i for i, name in enumerate(names)}
            joined = np.full((self.positives, *values.shape[1:]), np.nan, np.float32)
            joined[kept] = values[[index[self.regions[row].name] for row in kept]]
            columns.append(joined)
        return np.concatenate(columns, axis=1)

    @cached_property
    def _splits(self) -> list[tuple[str, int]]:
        splitter = splitter_of(self.plan.params["split"], self.plan.inputs)
        return [splitter.assign(row.name, row.chrom) if row.kept else ("excluded", -1) for row in self.regions]

    def work(self, stage: str, shard: Shard, attempt: Attempt) -> None:
        """Write the zarr row-shards that cover global rows ``shard.start`` to ``shard.stop``."""
        writer = PartWriter(attempt.out / STORE, dataset_arrays(self.header))
        facts = {"rows": shard.rows, "unshuffled": 0, "unknown_bases": 0}
        size = int(self.header["row_shard"])
        for start in range(shard.start, shard.stop, size):
            check_stop()
            self._write(writer, np.arange(start, min(start + size, shard.stop)), facts)
        writer.close()
        write_json(attempt.out / PART_FACTS, facts)

    def _write(self, writer: PartWriter, rows: NDArray[np.int64], facts: dict[str, int]) -> None:
        index = int(rows[0]) // int(self.header["row_shard"])
        copies = rows // self.positives - 1
        sources = rows % self.positives
        codes = self._shuffled(self.codes(sources), rows, copies, facts)
        facts["unknown_bases"] += int((codes > 3).sum())
        writer.write("inputs/seq", index, codes_to_onehot(codes))
        for name, values in self._columns(sources, copies).items():
            writer.write(f"regions/{name}", index, values)
        kept = np.array([self.regions[row].kept for row in sources])
        values = self._targets(sources, copies)
        mask = np.isfinite(values)
        mask[~kept] = False
        writer.write(f"targets/{MODALITY}", index, np.where(mask, values, np.float32(0)))
        writer.write(f"targets_mask/{MODALITY}", index, mask)

    def _shuffled(
        self, codes: NDArray[np.uint8], rows: NDArray[np.int64], copies: NDArray[np.int64], facts: dict[str, int]
    ) -> NDArray[np.uint8]:
        """Shuffle the rows that are negatives; each by a key of (seed, its own row, copy)."""
        for copy in np.unique(copies[copies >= 0]):
            here = np.flatnonzero(copies == copy)
            keys = shuffle_keys(int(self.header["seed"]), rows[here], int(copy))
            shuffled = dinucleotide_shuffle(codes[here], keys)
            facts["unshuffled"] += int((shuffled == codes[here]).all(axis=1).sum())
            codes[here] = shuffled
        return codes

    def _targets(self, sources: NDArray[np.int64], copies: NDArray[np.int64]) -> Targets:
        shape = (len(sources), len(self.header["tracks"]), *([self.header["bins"]] if self.header["bins"] else []))
        values = np.zeros(shape, np.float32)
        real = np.flatnonzero(copies < 0)
        if len(real):
            values[real] = self.targets(sources[real])
        return values

    def _columns(self, sources: NDArray[np.int64], copies: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        chosen = [self.regions[row] for row in sources]
        names = [r.name if c < 0 else f"{r.name}_dinuc{c}" for r, c in zip(chosen, copies, strict=True)]
        splits = [self._splits[row] for row in sources]

        def text(values: list[str]) -> NDArray[Any]:
            return np.array(values, dtype=np.dtypes.StringDType())

        return {
            "chrom": text([r.chrom for r in chosen]),
            "start": np.array([r.start for r in chosen], np.int64),
            "end": np.array([r.end for r in chosen], np.int64),
            "name": text(names),
            "strand": text([r.strand for r in chosen]),
            "split": text([s for s, _ in splits]),
            "fold": np.array([f for _, f in splits], np.int32),
            "kept": np.array([r.kept for r in chosen]),
            "reason": text([r.reason for r in chosen]),
        }

    def merge(self, stage: str, parts: list[Part], out: Path) -> dict[str, Any]:
        """Link the parts' shard files into ``out.zarr``, then metadata and manifest."""
        merge_store(self.header, parts, out)
        facts = [read_json(part.path / PART_FACTS) for part in parts]
        return {
            "rows": self.header["rows"],
            "kept": self.header["kept"],
            "splits": self.header["splits"],
            "length": self.length,
            "tracks": len(self.header["tracks"]),
            "bins": self.header["bins"],
            "unshuffled": sum(f["unshuffled"] for f in facts),
            "unknown_bases": sum(f["unknown_bases"] for f in facts),
        }


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
