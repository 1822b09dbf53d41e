"""drg-seqlets --null: every row has its own cut-offs, from attributions of its shuffles."""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.bodies.seqlets_methods import Float32, Method, require_finite
from drg_hpc.bodies.seqlets_recursive import recursive_rule
from drg_hpc.errors import InputError
from drg_hpc.interpretation.shuffle_null import call_against_shuffles
from drg_hpc.results import layout
from drg_hpc.results.seqlet_source import AttributionSource, Track
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.spec import Shard

_NAMES = 16_384
_SUFFIX = re.compile(f"(.*)_(?:{'|'.join(layout.SHUFFLES)})[0-9]+")


class Shuffled(Method):
    """Calls of the recursive rule against the shuffles of the same row, found by their names."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.rule = recursive_rule(plan.params)
        self.path = Path(plan.inputs["null"]["path"])
        self.same_file = plan.inputs["null"]["sha256"] == plan.inputs["attributions"]["sha256"]
        self._names: list[str] = []
        self._rows: dict[str, list[int]] = {}
        self._first = 0

    def _open(self) -> AttributionSource:
        return AttributionSource(self.path, self.plan.params.get("input"))

    def begin(self, source: AttributionSource, tracks: list[Track], shard: Shard) -> None:
        """Find the shuffles of the shard's rows."""
        self._first = shard.start
        self._names = source.regions(shard.start, shard.stop).name
        wanted, found = set(self._names), defaultdict(list)
        with self._open() as null:
            for start in range(0, null.rows, _NAMES):
                stop = min(start + _NAMES, null.rows)
                kept = null.kept(start, stop)
                for i, name in enumerate(null.regions(start, stop).name):
                    match = _SUFFIX.fullmatch(name)
                    parent = match[1] if match else name
                    if not match and self.same_file:
                        continue
                    if kept[i] and parent in wanted:
                        found[parent].append(start + i)
        self._rows = dict(found)

    def call(self, source: AttributionSource, number: int, track: Track, first: int, values: Float32) -> pd.DataFrame:
        """Calls of a block; a shuffle among the rows of ATTR is no row to call in."""
        require_finite(values, source, track, range(first, first + len(values)))
        names = self._names[first - self._first :][: len(values)]
        origin = source.regions(first, first + len(values)).origin
        kept = source.kept(first, first + len(values))
        used = [i for i in range(len(values)) if kept[i] and origin[i] not in layout.SHUFFLES]
        for i in used:
            if names[i] not in self._rows:
                raise InputError(
                    f"row {first + i}, {names[i]}, has no shuffles in --null {self.path}",
                    fix="name shuffles as their sequence, or as drg-shard --negatives dinuc:R does",
                )
        rows = [self._rows[names[i]] for i in used]
        with self._open() as null:
            of = next(item for item in null.tracks if item.name == track.name)
            shuffles = _read(null, of, sorted({row for item in rows for row in item}))
            for row, item in shuffles.items():
                require_finite(item[None], null, of, range(row, row + 1))
        stacks = [np.stack([shuffles[row] for row in item]) for item in rows]
        table = call_against_shuffles(self.rule, values[used], stacks, [names[i] for i in used])
        table["row"] = np.array(used, np.int64)[table["row"].to_numpy(np.int64)]
        return table

    def facts(self) -> dict[str, Any]:
        """Which shuffles."""
        return {"null_sha256": self.plan.inputs["null"]["sha256"]}


def _read(source: AttributionSource, track: Track, rows: list[int]) -> dict[int, NDArray[np.float32]]:
    """Projected attributions of some rows, read in runs of neighbours."""
    found: dict[int, NDArray[np.float32]] = {}
    edges = [0, *(np.flatnonzero(np.diff(rows) > 1) + 1).tolist(), len(rows)]
    for a, b in pairwise(edges):
        if a < b:
            for first, values in source.blocks(track, rows[a], rows[b - 1] + 1):
                found |= {first + i: value for i, value in enumerate(values)}
    return found
