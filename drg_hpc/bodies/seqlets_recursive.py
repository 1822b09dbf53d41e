"""Stages of drg-seqlets --method recursive: range, histogram. Shards share integer counts and exact extremes only."""

from __future__ import annotations

from collections.abc import Callable
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
        self._callers: dict[int, Callable[[Float32], pd.DataFrame]] = {}  # one at a time: a null can be large

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
        total = np.zeros(edges.bins, np.int64)
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
        total: list[Survey] = []
        for part in parts:
            with np.load(part.path / "range.npz") as stored:
                low, high, keys = (stored[name] for name in ("low", "high", "keys"))
            found = [Survey(float(low[i]), float(high[i]), keys[i]) for i in range(len(low))]
            total = [one + other for one, other in zip(total, found, strict=True)] if total else found
        edges = [self._range(item) for item in total]
        np.savez(out / "range.npz", low=[edge.low for edge in edges], high=[edge.high for edge in edges])

    def _range(self, found: Survey) -> Edges:
        if self.rule.compat:
            return compat_edges(found.low, found.high, self.rule.bins)
        return clipped_edges(found, clip=self.rule.clip, bins=self.rule.bins)

    def _edges(self, stage: str) -> list[Edges]:
        stored = np.load(self.stages / f"{stage}.npz")
        return [Edges(float(a), float(b), self.rule.bins) for a, b in zip(stored["low"], stored["high"], strict=True)]

    def call(self, source: AttributionSource, number: int, track: Track, first: int, values: Float32) -> pd.DataFrame:
        """Calls with the track's null."""
        if number not in self._callers:
            build = CompatCaller.build if self.rule.compat else Caller.build
            edges, counts = self._edges("histogram")[number], np.load(self.stages / "histogram.npz")["counts"][number]
            self._callers = {number: build(self.rule, edges, counts, length=source.length)}
        return self._callers[number](values)

    def facts(self) -> dict[str, Any]:
        """The binned ranges."""
        return {"edges": [[edge.low, edge.high] for edge in self._edges("histogram")]}

    def constant(self) -> list[int]:
        """Tracks without a range."""
        return [i for i, edge in enumerate(self._edges("histogram")) if edge.constant]
