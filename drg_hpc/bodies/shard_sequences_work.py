"""Work of ``drg-shard sequences``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drg_hpc.bodies.dataset_body import Codes, DatasetBody, Rows
from drg_hpc.bodies.shard_sequences_plan import kept_table, rows_of
from drg_hpc.genome.fasta import read_records
from drg_hpc.genome.npz import load_codes
from drg_hpc.genome.onehot import UNKNOWN, encode
from drg_hpc.genome.regions import Region


class Body(DatasetBody):
    """Reads the sequences once per worker and keeps their codes in memory (a byte a base)."""

    @cached_property
    def _sequences(self) -> tuple[list[tuple[str, int]], NDArray[np.uint8]]:
        """(name, length) of each sequence, and codes (rows, length) cropped or padded around the middle."""
        path = Path(self.plan.inputs["sequences"]["path"])
        length = self.inputs[0].length
        out = np.full((self.positives, length), UNKNOWN, np.uint8)
        names: list[tuple[str, int]] = []
        if path.suffix == ".npz":
            pairs: Iterable[tuple[str, NDArray[np.uint8]]] = zip(*load_codes(path), strict=True)
        else:
            pairs = ((record.name, encode(record.sequence)) for record in read_records(path))
        for row, (name, codes) in enumerate(pairs):
            names.append((name, len(codes)))
            shift = len(codes) // 2 - length // 2
            first, last = max(shift, 0), min(shift + length, len(codes))
            out[row, first - shift : last - shift] = codes[first:last]
        return names, out

    def read_rows(self) -> dict[str, list[Region]]:
        """One row per sequence."""
        return {self.inputs[0].name: rows_of(self._sequences[0], self.inputs[0].length)}

    def codes(self, name: str, rows: Rows, regions: Sequence[Region]) -> Codes:
        """Base codes (n, length)."""
        return self._sequences[1][rows]

    def kept_table(self) -> Iterable[Sequence[object]]:
        """A line per sequence."""
        return kept_table(self.regions)
