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
from drg_hpc.runs.spec import BLOCK_ROWS, Attempt, Part, Shard

log = logging.getLogger(__name__)
_METHODS: dict[str, type[Method]] = {"recursive": Recursive, "tfmodisco": Tfmodisco, "zscore": Zscore}
_WINDOW_VALUES = 2 << 20  # of all tracks, in the rows that windows are cut from at a time
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
        """All calls of a shard, then windows and coordinates block by block."""
        self.method.begin(source, tracks, shard)
        pieces = [
            self._calls(source, number, track, first, values)
            for number, track in enumerate(tracks)
            for first, values in source.blocks(track, shard.start, shard.stop)
        ]
        table = pd.concat(pieces, ignore_index=True)
        order = np.lexsort([table[name].to_numpy() for name in ("sign", "track", "end", "start", "row")])
        table = table.take(order)
        rows = table["row"].to_numpy()
        step = max(BLOCK_ROWS, _WINDOW_VALUES // (source.length * len(tracks)) // BLOCK_ROWS * BLOCK_ROWS)
        with seqlets.PartWriter(path, window=self.plan.params["window"]) as out:
            for first in range(shard.start, shard.stop, step):
                check_stop()
                last = min(first + step, shard.stop)
                part = table.iloc[slice(*np.searchsorted(rows, [first, last]))].reset_index(drop=True)
                contribution, sequence = self._windows(source, tracks, part, first, last)
                _add_coordinates(part, source, first, last)
                out.add(part, contribution=contribution, sequence=sequence)

    def _calls(
        self, source: AttributionSource, number: int, track: Track, first: int, values: NDArray[np.float32]
    ) -> pd.DataFrame:
        """Calls of one track in a block of rows."""
        check_stop()
        kept = source.kept(first, first + len(values))
        values[~kept] = 0.0
        table = self.method.call(source, number, track, first, values)
        used = kept[table["row"].to_numpy(np.int64)] & (table["sign"] != 0).to_numpy()
        rows = table["row"] + first
        found: pd.DataFrame = table.assign(row=rows, track=np.int32(track.index)).loc[used]
        return found

    def _windows(
        self, source: AttributionSource, tracks: list[Track], table: pd.DataFrame, first: int, last: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
        """Contributions and bases (n, 4, W) around the seqlets of rows ``first`` to ``last``."""
        width = int(self.plan.params["window"])
        rows = table["row"].to_numpy(np.int64) - first
        centres = (table["start"].to_numpy(np.int64) + table["end"].to_numpy(np.int64)) // 2
        contribution = np.empty((len(table), 4, width), np.float32)
        if len(table) == 0:
            return contribution, np.empty(contribution.shape, np.int8)
        for track in tracks:
            own = np.flatnonzero(table["track"].to_numpy() == track.index)
            if len(own):
                full = source.full(track, first, last)
                contribution[own] = cut_windows(full, rows[own], centres[own], width)
        return contribution, cut_windows(source.onehot(first, last), rows, centres, width)

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


def _add_coordinates(table: pd.DataFrame, source: AttributionSource, first: int, last: int) -> None:
    """Columns chrom, name, origin, genome_start and genome_end from the regions of rows ``first`` to ``last``."""
    regions = source.regions(first, last)
    local = table["row"].to_numpy(np.int64) - first
    start, end = table["start"].to_numpy(np.int64), table["end"].to_numpy(np.int64)
    flipped = regions.flipped[local]
    table["chrom"] = [regions.chrom[i] for i in local]
    table["name"] = [regions.name[i] for i in local]
    table["origin"] = [regions.origin[i] for i in local]
    table["genome_start"] = np.where(flipped, regions.end[local] - end, regions.start[local] + start)
    table["genome_end"] = np.where(flipped, regions.end[local] - start, regions.start[local] + end)
