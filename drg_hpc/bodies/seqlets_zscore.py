"""Stages of drg-seqlets --method zscore: the scale of the attributions, where all rows have a part in it."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.bodies.seqlets_methods import Float32, Method, require_finite
from drg_hpc.interpretation.zscore import ZscoreRule, block_sums, call_zscore, row_scales
from drg_hpc.results.seqlet_source import AttributionSource, Track
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.signals import check_stop
from drg_hpc.runs.spec import Part, Shard


class Zscore(Method):
    """Scales by block of rows, added exactly, then the calls."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        names = ("cut", "max_gap", "min_size", "norm", "std")
        self.rule = ZscoreRule(**{name: plan.params[name] for name in names if name in plan.params})
        self._begun = 0
        self._by_row: NDArray[np.float64] = np.zeros(0)

    def _scales(self, source: AttributionSource, track: Track, start: int, stop: int) -> NDArray[np.float64]:
        """Root mean square of every row, 0 for those that are not kept."""
        found = np.zeros(stop - start)
        for first, values in source.blocks(track, start, stop):
            check_stop()
            here = slice(first - start, first - start + len(values))
            kept = source.kept(first, first + len(values))
            rows = first + np.flatnonzero(kept)
            require_finite(values[kept], source, track, rows)
            full = source.full(track, first, first + len(values))
            require_finite(full[kept], source, track, rows)
            found[here] = np.where(kept, row_scales(full), 0.0)
        return found

    def work(self, stage: str, source: AttributionSource, tracks: list[Track], shard: Shard, out: Path) -> None:
        """Sums of scales over blocks of rows, which no shard cuts."""
        sums = [block_sums(self._scales(source, track, shard.start, shard.stop)) for track in tracks]
        np.savez(out / "scales.npz", sums=np.stack(sums), rows=int(source.kept(shard.start, shard.stop).sum()))

    def merge(self, stage: str, parts: list[Part], out: Path) -> None:
        """Mean scale of every track."""
        loaded = [np.load(part.path / "scales.npz") for part in parts]
        sums = np.concatenate([item["sums"] for item in loaded], axis=1)
        rows = sum(int(item["rows"]) for item in loaded)
        np.savez(out / "scales.npz", mean=[math.fsum(track.tolist()) / max(rows, 1) for track in sums])

    def begin(self, source: AttributionSource, tracks: list[Track], shard: Shard) -> None:
        """The scale of every row, where it is one of its own."""
        if self.rule.norm == "seq":
            found = [self._scales(source, track, shard.start, shard.stop) for track in tracks]
            self._begun, self._by_row = shard.start, np.mean(found, axis=0)

    @cached_property
    def _of_tracks(self) -> list[float]:
        return [float(value) for value in np.load(self.stages / "scales.npz")["mean"]]

    @cached_property
    def _means(self) -> list[float]:
        """The scale of every track."""
        means = self._of_tracks
        return means if self.rule.norm == "condition" else [math.fsum(means) / len(means)] * len(means)

    def call(self, source: AttributionSource, number: int, track: Track, first: int, values: Float32) -> pd.DataFrame:
        """Calls with the scale of the rows or of the track."""
        require_finite(values, source, track, range(first, first + len(values)))
        if self.rule.norm == "seq":
            scales = self._by_row[first - self._begun :][: len(values)]
        else:
            scales = np.full(len(values), self.rule.std if self.rule.norm == "std" else self._means[number])
        return call_zscore(self.rule, values, scales)

    def facts(self) -> dict[str, Any]:
        """The scales of the tracks, where they are not of the rows."""
        if self.rule.norm in ("seq", "std"):
            return {}
        return {"scales": self._means}

    def constant(self) -> list[int]:
        """Tracks whose attributions are all zero."""
        return [] if self.rule.norm in ("seq", "std") else [i for i, mean in enumerate(self._of_tracks) if mean == 0]
