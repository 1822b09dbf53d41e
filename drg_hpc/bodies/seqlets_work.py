"""Work of drg-seqlets. Shards only ever share integer counts and exact extremes, so their number changes nothing."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.interpretation.null import Edges, Survey, clipped_edges, empty_survey, histogram, survey
from drg_hpc.interpretation.recursive import Caller, RecursiveRule
from drg_hpc.results import seqlets
from drg_hpc.results.seqlet_source import AttributionSource, Track, cut_windows
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.signals import check_stop
from drg_hpc.runs.spec import Attempt, Part, Shard

log = logging.getLogger(__name__)


class Body:
    """Range and histogram of the projected tracks, then calls with the null that they give."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.path = Path(plan.inputs["attributions"]["path"])
        p = plan.params
        self.rule = RecursiveRule(p["threshold"], p["min_length"], p["max_length"], p["flank"], p["bins"], p["clip"])

    def work(self, stage: str, shard: Shard, attempt: Attempt) -> None:
        """One shard of one stage."""
        with self._source() as source:
            tracks = self._tracks(source)
            if stage == "range":
                found = [self._survey(source, track, shard) for track in tracks]
                np.savez(
                    attempt.out / "range.npz",
                    low=np.array([item.low for item in found]),
                    high=np.array([item.high for item in found]),
                    keys=np.stack([item.keys for item in found]),
                )
            elif stage == "histogram":
                counts = [self._histogram(source, track, shard, i) for i, track in enumerate(tracks)]
                np.savez(attempt.out / "histogram.npz", counts=np.stack(counts))
            else:
                self._call(source, tracks, shard, attempt.out / "seqlets.h5")

    def merge(self, stage: str, parts: list[Part], out: Path) -> dict[str, Any]:
        """Add up counts; join the calls."""
        if stage == "range":
            return self._merge_range(parts, out)
        if stage == "histogram":
            counts = sum(np.load(part.path / "histogram.npz")["counts"] for part in parts)
            edges = np.load(self.plan.folder / "stages" / "range.npz")
            np.savez(out / "histogram.npz", counts=counts, low=edges["low"], high=edges["high"])
            return {}
        return self._merge_calls(parts, out)

    def _source(self) -> AttributionSource:
        return AttributionSource(self.path, self.plan.params.get("input"))

    def _tracks(self, source: AttributionSource) -> list[Track]:
        wanted = self.plan.params["track"]
        return [track for track in source.tracks if wanted in (None, track.name)]

    def _survey(self, source: AttributionSource, track: Track, shard: Shard) -> Survey:
        total = empty_survey()
        for first, values in source.blocks(track, shard.start, shard.stop):
            check_stop()
            total = total + survey(values[source.kept(first, first + len(values))])
        return total

    def _histogram(self, source: AttributionSource, track: Track, shard: Shard, index: int) -> NDArray[np.int64]:
        edges = self._edges("range")[index]
        total = np.zeros((2, edges.bins), np.int64)
        for first, values in source.blocks(track, shard.start, shard.stop):
            check_stop()
            total += histogram(values[source.kept(first, first + len(values))], edges)
        return total

    def _merge_range(self, parts: list[Part], out: Path) -> dict[str, Any]:
        loaded = [dict(np.load(part.path / "range.npz")) for part in parts]
        low = np.min([item["low"] for item in loaded], axis=0)
        high = np.max([item["high"] for item in loaded], axis=0)
        keys = sum(item["keys"] for item in loaded)
        edges = [
            clipped_edges(Survey(float(low[i]), float(high[i]), keys[i]), clip=self.rule.clip, bins=self.rule.bins)
            for i in range(len(low))
        ]
        np.savez(out / "range.npz", low=[edge.low for edge in edges], high=[edge.high for edge in edges])
        return {}

    def _edges(self, stage: str) -> list[Edges]:
        stored = np.load(self.plan.folder / "stages" / f"{stage}.npz")
        return [Edges(float(a), float(b), self.rule.bins) for a, b in zip(stored["low"], stored["high"], strict=True)]

    @cached_property
    def _callers(self) -> list[Caller]:
        counts = np.load(self.plan.folder / "stages" / "histogram.npz")["counts"]
        return [Caller.build(self.rule, edges, counts[i]) for i, edges in enumerate(self._edges("histogram"))]

    def _call(self, source: AttributionSource, tracks: list[Track], shard: Shard, path: Path) -> None:
        pieces: list[tuple[pd.DataFrame, NDArray[Any], NDArray[Any]]] = []
        for track, caller in zip(tracks, self._callers, strict=True):
            for first, values in source.blocks(track, shard.start, shard.stop):
                check_stop()
                values[~source.kept(first, first + len(values))] = 0.0
                pieces.append(self._piece(source, track, caller, first, values))
        table = pd.concat([piece[0] for piece in pieces], ignore_index=True)
        order = table.sort_values(["row", "start", "end", "track", "sign"], kind="stable").index.to_numpy()
        table = table.iloc[order].reset_index(drop=True)
        contribution, sequence = (np.concatenate([piece[i] for piece in pieces])[order] for i in (1, 2))
        _add_coordinates(table, source, shard)
        seqlets.write_part(path, table, contribution=contribution, sequence=sequence)

    def _piece(
        self, source: AttributionSource, track: Track, caller: Caller, first: int, values: NDArray[np.float32]
    ) -> tuple[pd.DataFrame, NDArray[Any], NDArray[Any]]:
        """Calls in one row block, with their windows."""
        table = caller(values)
        local = table["row"].to_numpy(np.int64)
        centres = (table["start"].to_numpy(np.int64) + table["end"].to_numpy(np.int64)) // 2
        last = first + len(values)
        onehot = source.onehot(first, last)
        width = int(self.plan.params["window"])
        contribution = cut_windows(source.full(track, first, last), local, centres, width)
        table["sign"] = np.where(table["attribution"] > 0, 1, -1)
        table["track"] = track.index
        table["row"] = local + first
        return table, contribution, cut_windows(onehot, local, centres, width)

    def _merge_calls(self, parts: list[Part], out: Path) -> dict[str, Any]:
        with self._source() as source:
            names = [track.name for track in source.tracks]
            form = source.form(self._tracks(source)[0])
        edges = self._edges("histogram")
        attributes = {
            "params": self.plan.params,
            "form": form,
            "tracks": names,
            "attributions_sha256": self.plan.inputs["attributions"]["sha256"],
            "edges": [[edge.low, edge.high] for edge in edges],
        }
        target = out / "out.h5"
        count = seqlets.merge_parts([part.path / "seqlets.h5" for part in parts], target, attributes)
        seqlets.write_bed(target, out / "seqlets.bed", names)
        positive = seqlets.count_positive(target)
        used = [self.plan.params["track"]] if self.plan.params["track"] is not None else names
        summary = {
            "rows": count,
            "positive": positive,
            "negative": count - positive,
            "regions": parts[-1].shard.stop,
            "tracks": used,
            "window": self.plan.params["window"],
            "form": form,
        }
        if count == 0:
            advice = f"give a larger --threshold than {self.rule.threshold:g} and another -o"
            log.warning("no seqlets: no stretch of %d rows is significant; %s", parts[-1].shard.stop, advice)
        flat = [name for name, edge in zip(used, edges, strict=True) if edge.constant]
        if flat:
            log.warning("no seqlets in %s: all attributions are equal", ", ".join(flat))
        return summary | {"constant_tracks": flat}


def _add_coordinates(table: pd.DataFrame, source: AttributionSource, shard: Shard) -> None:
    """Columns chrom, name, origin, genome_start and genome_end from the rows' regions."""
    regions = source.regions(shard.start, shard.stop)
    local = table["row"].to_numpy(np.int64) - shard.start
    start, end = table["start"].to_numpy(np.int64), table["end"].to_numpy(np.int64)
    flipped = regions.flipped[local]
    table["chrom"] = [regions.chrom[i] for i in local]
    table["name"] = [regions.name[i] for i in local]
    table["origin"] = [regions.origin[i] for i in local]
    table["genome_start"] = np.where(flipped, regions.end[local] - end, regions.start[local] + start)
    table["genome_end"] = np.where(flipped, regions.end[local] - start, regions.start[local] + end)
