"""Stages of drg-seqlets --method tfmodisco: which windows are drawn, sorted window sums of every shard, thresholds.

Window sums lie on disk, 8 bytes each, and are looked up where they lie; in memory are those of one shard and track.
"""

from __future__ import annotations

import mmap
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.bodies.seqlets_methods import Float32, Method, kept_blocks
from drg_hpc.interpretation.sorted_pieces import SortedPieces
from drg_hpc.interpretation.tfmodisco import (
    NONE,
    TfmodiscoRule,
    Thresholds,
    call_tfmodisco,
    drawn_places,
    find_thresholds,
    window_sums,
)
from drg_hpc.results.seqlet_source import AttributionSource, Track
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.signals import check_stop
from drg_hpc.runs.spec import Part, Shard

_SMALL = 1 << 16


class Tfmodisco(Method):
    """Thresholds from all window sums, then the calls."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        names = ("core", "flank", "fdr", "min_passing", "max_passing", "weak")
        self.rule = TfmodiscoRule(**{name: plan.params[name] for name in names})

    def work(self, stage: str, source: AttributionSource, tracks: list[Track], shard: Shard, out: Path) -> None:
        """The draw, which knows all rows, or the window sums of a shard."""
        width = source.length + 1 - self.rule.core
        if stage == "draw":
            kept = int(source.kept(shard.start, shard.stop).sum())
            np.savez(out / "draw.npz", places=drawn_places(kept * width))
            return
        rows = int(source.kept(shard.start, shard.stop).sum())
        before = int(source.kept(0, shard.start).sum()) * width if shard.start else 0
        places = np.load(self.stages / "draw.npz")["places"]
        here = places[slice(*np.searchsorted(places, [before, before + rows * width]))] - before
        drawn, sums = np.empty((len(tracks), len(here))), np.empty(rows * width)
        header = {"descr": "<f8", "fortran_order": False, "shape": (len(tracks), len(sums))}
        with open(out / "windows.npy", "xb") as target:
            np.lib.format.write_array_header_1_0(target, header)
            for i, track in enumerate(tracks):
                self._fill(source, track, shard, sums)
                drawn[i] = sums[here]
                sums.sort()
                target.write(sums.astype("<f8", copy=False).data)
        np.save(out / "drawn.npy", drawn)

    def _fill(self, source: AttributionSource, track: Track, shard: Shard, sums: NDArray[np.float64]) -> None:
        at = 0
        for _, values in kept_blocks(source, track, shard):
            found = window_sums(values, self.rule.core).reshape(-1)
            sums[at : at + len(found)] = found
            at += len(found)

    def merge(self, stage: str, parts: list[Part], out: Path) -> None:
        """The draw as it is; the thresholds of every track."""
        if stage == "draw":
            np.savez(out / "draw.npz", places=np.load(parts[0].path / "draw.npz")["places"])
            return
        sorted_sums = [_mapped(part.path / "windows.npy") for part in parts]
        drawn = [_mapped(part.path / "drawn.npy") for part in parts]
        found = []
        for i in range(len(drawn[0])):
            check_stop()
            pieces = SortedPieces([sums[i] for sums in sorted_sums], _release)
            found.append(find_thresholds(self.rule, pieces, np.concatenate([item[i] for item in drawn])))
        np.savez(
            out / "windows.npz",
            positive=np.array([item.positive for item in found]),
            negative=np.array([item.negative for item in found]),
            sign=np.array([item.sign for item in found]),
        )

    @cached_property
    def _thresholds(self) -> list[Thresholds]:
        stored = np.load(self.stages / "windows.npz")
        columns = [stored[name].tolist() for name in ("positive", "negative", "sign")]
        return [Thresholds(*item) for item in zip(*columns, strict=True)]

    def call(self, source: AttributionSource, number: int, track: Track, first: int, values: Float32) -> pd.DataFrame:
        """Calls with the track's thresholds."""
        return call_tfmodisco(self.rule, values, self._thresholds[number])

    def facts(self) -> dict[str, Any]:
        """Thresholds of window sums: positive, negative, and of the sign; null where a track has none."""
        found = [[item.positive, item.negative, item.sign] for item in self._thresholds]
        return {"thresholds": [[value if np.isfinite(value) else None for value in item] for item in found]}

    def constant(self) -> list[int]:
        """Tracks without thresholds."""
        return [i for i, item in enumerate(self._thresholds) if item == NONE]


def _mapped(path: Path) -> Any:
    return np.load(path, mmap_mode="r" if path.stat().st_size > _SMALL else None)


def _release(piece: NDArray[np.float64]) -> None:
    """Give back what is mapped of a file; the pages stay in the system's cache and are mapped again when asked for."""
    owner: Any = piece
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, mmap.mmap):
        owner.madvise(mmap.MADV_DONTNEED)
