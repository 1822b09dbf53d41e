"""Attribution files of every shape, written as drg-attr writes them, from arrays that the tests know."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.results import attributions, h5
from drg_hpc.results.attributions_layout import Attention
from drg_hpc.runs.spec import block_shards

TWO = (("promoter", 30), ("enhancer", 20))


@dataclass(frozen=True)
class Truth:
    """What is written. Arrays by input, then (tracks, rows, …)."""

    layout: attributions.Layout
    rows: int
    onehot: list[NDArray[np.float32]]
    multipliers: list[NDArray[np.float32]]
    regions: pd.DataFrame
    intervals: dict[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def kept(self) -> NDArray[np.bool_]:
        return self.regions["kept"].to_numpy(bool)

    def projected(self, track: int, number: int = 0) -> NDArray[np.float32]:
        """(rows, L), of kept rows."""
        return (self.multipliers[number][track] * self.onehot[number]).sum(axis=1)


def make_truth(
    layout: attributions.Layout, *, rows: int = 150, seed: int = 0, unkept: tuple[int, ...] = (), **columns: Any
) -> Truth:
    """Random sequences (some bases unknown) and multipliers."""
    rng = np.random.default_rng(seed)
    layout = replace(layout, unkept=bool(unkept))
    onehot, multipliers = [], []
    for _, length in layout.inputs:
        codes = rng.integers(0, 5, (rows, length)) if seed % 2 else rng.integers(0, 4, (rows, length))
        onehot.append((codes[:, None] == np.arange(4)[None, :, None]).astype(np.float32))
        multipliers.append(rng.normal(size=(len(layout.tracks), rows, 4, length)).astype(np.float32))
    first = layout.inputs[0][1]
    start = 100 * np.arange(rows)
    table = pd.DataFrame({"chrom": "chr1", "start": start, "end": start + first})
    table = table.assign(name=[f"r{i}" for i in range(rows)], strand=np.where(np.arange(rows) % 2, "-", "+"))
    kept = ~np.isin(np.arange(rows), unkept)
    table = table.assign(kept=kept, reason=np.where(kept, "", "outside"), origin="given", row=np.arange(rows))
    table = table.assign(gene_id=[f"G{i}" for i in range(rows)], covered=np.linspace(0, 1, rows))
    intervals = {name: pd.DataFrame({"chrom": f"chr{n}", "start": start + n, "end": start + n + length, "strand": "+"})
                 for n, (name, length) in enumerate(layout.inputs)}  # fmt: skip
    return Truth(layout, rows, onehot, multipliers, table.assign(**columns), intervals)


def track_block(truth: Truth, position: int, rows: slice) -> attributions.TrackBlock:
    """A block of a track: what is not kept is not computed, and may hold anything."""
    found = []
    for number, multipliers in enumerate(truth.multipliers):
        own = multipliers[position, rows].copy()
        projected = (own * truth.onehot[number][rows]).sum(axis=1)
        own[~truth.kept[rows]], projected[~truth.kept[rows]] = np.nan, np.nan
        form = own if truth.layout.form_is_contribution else own * (truth.onehot[number][rows] - 0.25)
        found.append(attributions.InputBlock(projected, form, own, projected_sd=np.abs(projected) / 10))
    at = np.arange(truth.rows, dtype=np.float32)[rows]
    values = np.where(truth.kept[rows], at + 1000 * position, np.inf)
    return attributions.TrackBlock(values, prediction_sd=values / 7, delta=-values / 1024, inputs=tuple(found))


def scores(attention: Attention, rows: slice) -> NDArray[np.float64]:
    """Attention that names its row, layer and head."""
    at = np.arange(rows.start, rows.stop)
    layer, head = np.arange(len(attention.layers)), np.arange(attention.heads)
    base = at[:, None, None] + layer[None, :, None] / 8 + head / 64
    width = attention.positions
    return np.broadcast_to(base[..., None, None], (*base.shape, width, width)).copy()


def write_part(path: Path, truth: Truth, rows: slice) -> None:
    """One shard. A block of 64 rows none of which is kept is skipped."""
    layout = truth.layout
    intervals = {name: table.iloc[rows] for name, table in truth.intervals.items()}
    with attributions.PartWriter(path, layout, rows=rows.stop - rows.start) as part:
        part.regions(truth.regions.iloc[rows], intervals=intervals)
        for first in range(rows.start, rows.stop, 64):
            block = slice(first, min(first + 64, rows.stop))
            at, onehot = first - rows.start, [values[block] for values in truth.onehot]
            if not truth.kept[block].any():
                part.skip(at, block.stop - block.start, onehot)
                continue
            part.sequences(at, onehot)
            for position in range(len(layout.tracks)):
                part.track(at, position, track_block(truth, position, block), onehot=onehot)
            if layout.attention is not None:
                for start in range(block.start, block.stop, 5):
                    some = slice(start, min(start + 5, block.stop))
                    part.attention(some.start - rows.start, scores(layout.attention, some))


def write_file(folder: Path, truth: Truth, *, shards: int = 1, attributes: dict[str, Any] | None = None) -> Path:
    """The merged file ``out.h5`` in a new folder."""
    folder.mkdir(parents=True)
    parts = []
    for shard in block_shards(truth.rows, shards=shards):
        parts.append(h5.PartFile(folder / f"{shard.id}.part", shard.start, shard.stop))
        write_part(parts[-1].path, truth, slice(shard.start, shard.stop))
    given = {"stranded": True} | (attributes or {})
    attributions.merge(parts, folder / "out.h5", plan=truth.layout, attributes=given)
    for part in parts:
        part.path.unlink()
    return folder / "out.h5"


def plain(**changes: Any) -> attributions.Layout:
    """Two tracks of one input, projections in float32."""
    layout = attributions.Layout(
        inputs=(("sequence", 30),),
        tracks=((0, "a"), (7, "b/c d")),
        form="corrected",
        keep_form=False,
        form_is_contribution=True,
        dtype="float32",
    )
    return replace(layout, **changes)
