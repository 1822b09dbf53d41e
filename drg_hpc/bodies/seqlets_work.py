"""Work of drg-seqlets: the stages of a method, then calls with windows and coordinates."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.bodies.seqlets_methods import Method
from drg_hpc.bodies.seqlets_recursive import Recursive
from drg_hpc.bodies.seqlets_shuffles import Shuffled
from drg_hpc.bodies.seqlets_tfmodisco import Tfmodisco
from drg_hpc.bodies.seqlets_zscore import Zscore
from drg_hpc.results import seqlets
from drg_hpc.results.seqlet_source import AttributionSource, Track, cut_windows
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.signals import check_stop
from drg_hpc.runs.spec import Attempt, Part, Shard

log = logging.getLogger(__name__)
_METHODS: dict[str, type[Method]] = {"recursive": Recursive, "tfmodisco": Tfmodisco, "zscore": Zscore}
_ADVICE = {
    "recursive": "no stretch of {rows} rows is significant; give a larger --threshold than {threshold:g}",
    "tfmodisco": "no window of {rows} rows has a sign; give a larger --fdr than {fdr:g} or a smaller --weak",
    "zscore": "no run of bases in {rows} rows; give a smaller --cut than {cut:g} or --min-size than {min_size}",
}


class Body:
    """What the method needs of all rows, then the calls. The number of shards changes nothing."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.path = Path(plan.inputs["attributions"]["path"])

    @cached_property
    def method(self) -> Method:
        """The plan's method."""
        return Shuffled(self.plan) if "null" in self.plan.inputs else _METHODS[self.plan.params["method"]](self.plan)

    def work(self, stage: str, shard: Shard, attempt: Attempt) -> None:
        """One shard of one stage."""
        with self._source() as source:
            tracks = self._tracks(source)
            if stage == "calls":
                self._call(source, tracks, shard, attempt.out / "seqlets.h5")
            else:
                self.method.work(stage, source, tracks, shard, attempt.out)

    def merge(self, stage: str, parts: list[Part], out: Path) -> dict[str, Any]:
        """What the method adds up; join the calls."""
        if stage == "calls":
            return self._merge_calls(parts, out)
        self.method.merge(stage, parts, out)
        return {}

    def _source(self) -> AttributionSource:
        return AttributionSource(self.path, self.plan.params.get("input"))

    def _tracks(self, source: AttributionSource) -> list[Track]:
        wanted = self.plan.params["track"]
        return [track for track in source.tracks if wanted in (None, track.name)]

    def _call(self, source: AttributionSource, tracks: list[Track], shard: Shard, path: Path) -> None:
        pieces: list[tuple[pd.DataFrame, NDArray[Any], NDArray[Any]]] = []
        self.method.begin(source, tracks, shard)
        for number, track in enumerate(tracks):
            for first, values in source.blocks(track, shard.start, shard.stop):
                check_stop()
                kept = source.kept(first, first + len(values))
                values[~kept] = 0.0
                table = self.method.call(source, number, track, first, values)
                table = table[kept[table["row"].to_numpy(np.int64)] & (table["sign"] != 0).to_numpy()]
                pieces.append(self._piece(source, track, table.reset_index(drop=True), first, len(values)))
        table = pd.concat([piece[0] for piece in pieces], ignore_index=True)
        order = table.sort_values(["row", "start", "end", "track", "sign"], kind="stable").index.to_numpy()
        table = table.iloc[order].reset_index(drop=True)
        contribution, sequence = (np.concatenate([piece[i] for piece in pieces])[order] for i in (1, 2))
        _add_coordinates(table, source, shard)
        seqlets.write_part(path, table, contribution=contribution, sequence=sequence)

    def _piece(
        self, source: AttributionSource, track: Track, table: pd.DataFrame, first: int, rows: int
    ) -> tuple[pd.DataFrame, NDArray[Any], NDArray[Any]]:
        """Calls in one row block, with their windows."""
        local = table["row"].to_numpy(np.int64)
        centres = (table["start"].to_numpy(np.int64) + table["end"].to_numpy(np.int64)) // 2
        width, last = int(self.plan.params["window"]), first + rows
        contribution = cut_windows(source.full(track, first, last), local, centres, width)
        table["track"] = track.index
        table["row"] = local + first
        return table, contribution, cut_windows(source.onehot(first, last), local, centres, width)

    def _merge_calls(self, parts: list[Part], out: Path) -> dict[str, Any]:
        with self._source() as source:
            names = [track.name for track in source.tracks]
            form = source.form(self._tracks(source)[0])
            kept = bool(source.kept(0, source.rows).any())
        attributes = {
            "params": self.plan.params,
            "form": form,
            "tracks": names,
            "attributions_sha256": self.plan.inputs["attributions"]["sha256"],
            **self.method.facts(),
        }
        target = out / "out.h5"
        count = seqlets.merge_parts([part.path / "seqlets.h5" for part in parts], target, attributes)
        seqlets.write_bed(target, out / "seqlets.bed", names)
        positive = seqlets.count_positive(target)
        used = [self.plan.params["track"]] if self.plan.params["track"] is not None else names
        rows = parts[-1].shard.stop
        summary = {
            "rows": count,
            "positive": positive,
            "negative": count - positive,
            "regions": rows,
            "tracks": used,
            "window": self.plan.params["window"],
            "form": form,
        }
        flat = [used[i] for i in self.method.constant()]
        if not kept:
            log.warning("no seqlets: no row is kept, see regions/reason in %s", self.path)
        elif flat:
            log.warning("no seqlets in %s: all attributions are equal", ", ".join(flat))
        elif count == 0:
            advice = _ADVICE[self.plan.params["method"]].format(**{**self.plan.params, "rows": rows})
            log.warning("no seqlets: %s and another -o", advice)
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
