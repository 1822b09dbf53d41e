"""Stages of drg-seqlets --method recursive: range, histogram. Shards share integer counts and exact extremes only."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.bodies.seqlets_methods import Float32, Method, kept_blocks
from drg_hpc.interpretation.null import Edges, Survey, clipped_edges, empty_survey, histogram, survey
from drg_hpc.interpretation.recursive import Caller, RecursiveRule
from drg_hpc.interpretation.recursive_compat import CompatCaller, compat_edges, compat_histogram
from drg_hpc.results.seqlet_source import AttributionSource, Track
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.spec import Part, Shard


def recursive_rule(params: dict[str, Any]) -> RecursiveRule:
    """The rule of a plan's parameters."""
    names = ("threshold", "min_length", "max_length", "flank", "bins", "clip", "compat")
    return RecursiveRule(**{name: params[name] for name in names if name in params})


class Recursive(Method):
    """Range and histogram of the projected tracks, then calls with the null that they give."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.rule = recursive_rule(plan.params)

    def work(self, stage: str, source: AttributionSource, tracks: list[Track], shard: Shard, out: Path) -> None:
        """Extremes and a coarse histogram, or the histogram itself."""
        if stage == "range":
            found = [self._survey(source, track, shard) for track in tracks]
            np.savez(
                out / "range.npz",
                low=np.array([item.low for item in found]),
                high=np.array([item.high for item in found]),
                keys=np.stack([item.keys for item in found]),
            )
        else:
            counts = [self._histogram(source, track, shard, i) for i, track in enumerate(tracks)]
            np.savez(out / "histogram.npz", counts=np.stack(counts))

    def _survey(self, source: AttributionSource, track: Track, shard: Shard) -> Survey:
        total = empty_survey()
        for _, values in kept_blocks(source, track, shard):
            total = total + survey(values)
        return total

    def _histogram(self, source: AttributionSource, track: Track, shard: Shard, index: int) -> NDArray[np.int64]:
        edges = self._edges("range")[index]
        count = compat_histogram if self.rule.compat else histogram
        total = np.zeros(edges.bins if self.rule.compat else (2, edges.bins), np.int64)
        for _, values in kept_blocks(source, track, shard):
            total += count(values, edges)
        return total

    def merge(self, stage: str, parts: list[Part], out: Path) -> None:
        """Widest extremes, added counts."""
        if stage == "range":
            self._merge_range(parts, out)
            return
        counts = sum(np.load(part.path / "histogram.npz")["counts"] for part in parts)
        edges = np.load(self.stages / "range.npz")
        np.savez(out / "histogram.npz", counts=counts, low=edges["low"], high=edges["high"])

    def _merge_range(self, parts: list[Part], out: Path) -> None:
        loaded = [dict(np.load(part.path / "range.npz")) for part in parts]
        low = np.min([item["low"] for item in loaded], axis=0)
        high = np.max([item["high"] for item in loaded], axis=0)
        keys = sum(item["keys"] for item in loaded)
        found = [self._range(Survey(float(low[i]), float(high[i]), keys[i])) for i in range(len(low))]
        np.savez(out / "range.npz", low=[edge.low for edge in found], high=[edge.high for edge in found])

    def _range(self, found: Survey) -> Edges:
        if self.rule.compat:
            return compat_edges(found.low, found.high, self.rule.bins)
        return clipped_edges(found, clip=self.rule.clip, bins=self.rule.bins)

    def _edges(self, stage: str) -> list[Edges]:
        stored = np.load(self.stages / f"{stage}.npz")
        return [Edges(float(a), float(b), self.rule.bins) for a, b in zip(stored["low"], stored["high"], strict=True)]

    @cached_property
    def _callers(self) -> list[Callable[[Float32], pd.DataFrame]]:
        counts = np.load(self.stages / "histogram.npz")["counts"]
        build = CompatCaller.build if self.rule.compat else Caller.build
        return [build(self.rule, edges, counts[i]) for i, edges in enumerate(self._edges("histogram"))]

    def call(self, source: AttributionSource, number: int, track: Track, first: int, values: Float32) -> pd.DataFrame:
        """Calls with the track's null."""
        return self._callers[number](values)

    def facts(self) -> dict[str, Any]:
        """The binned ranges."""
        return {"edges": [[edge.low, edge.high] for edge in self._edges("histogram")]}

    def constant(self) -> list[int]:
        """Tracks without a range."""
        return [i for i, edge in enumerate(self._edges("histogram")) if edge.constant]
