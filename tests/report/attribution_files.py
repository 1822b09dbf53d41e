"""Files of attributions with what a test asks for, and the arrays that they hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.results import attributions, h5
from drg_hpc.results.attributions_blocks import InputBlock, TrackBlock
from drg_hpc.results.attributions_layout import Layout

CHROM, START = "chr9", 131_790_000


@dataclass
class Made:
    """What a file holds, as float64 arrays; of each input.

    Attributes
    ----------
    onehot : (rows, 4, length)
    form, projected : by track (rows, 4, length), (rows, length); the form is large where the peak of a row is
    """

    path: Path
    regions: pd.DataFrame
    onehot: list[NDArray[np.float64]]
    form: list[list[NDArray[np.float64]]]
    projected: list[list[NDArray[np.float64]]]
    prediction: list[NDArray[np.float64]]
    delta: list[NDArray[np.float64]]


def regions_of(rows: int, length: int, **columns: Any) -> pd.DataFrame:
    """Rows 10 kb apart, every other one on the reverse strand; ``columns`` replace or add."""
    starts = START + 10_000 * np.arange(rows)
    return pd.DataFrame({
        "chrom": CHROM, "start": starts, "end": starts + length, "name": [f"peak_{i}" for i in range(rows)],
        "strand": [("+", "-")[i % 2] for i in range(rows)], "kept": True, "reason": "", "origin": "given",
        "row": np.arange(rows), **columns,
    })  # fmt: skip


def peak_of(row: int) -> int:
    """First of the 12 positions where a row's attributions are large."""
    return 40 + 7 * (row % 6)


def make(
    path: Path,
    *,
    tracks: tuple[str, ...] = ("B cells", "T cells"),
    inputs: tuple[tuple[str, int], ...] = (("seq", 160),),
    rows: int = 6,
    keep: bool = True,
    form: str = "hypothetical",
    params: dict[str, Any] | None = None,
    attributes: dict[str, Any] | None = None,
    columns: tuple[str, ...] = (),
    regions: pd.DataFrame | None = None,
    **layout: Any,
) -> Made:
    """Write a file as drg-attr does; ``layout`` goes to :class:`Layout` (delta, deviations, top, unkept)."""
    rng = np.random.default_rng(5)
    table = regions_of(rows, inputs[0][1]) if regions is None else regions
    plan = Layout(
        inputs=inputs, tracks=tuple(enumerate(tracks)), form=form, keep_form=keep,
        form_is_contribution=form != "global", dtype="float32", columns=columns, **layout,
    )  # fmt: skip
    made = Made(path, table, [], [], [], [], [])
    made.onehot = [np.eye(4)[rng.integers(0, 4, (rows, length))].transpose(0, 2, 1) for _, length in inputs]
    part = path.with_suffix(".part")
    with attributions.PartWriter(part, plan, rows=rows) as writer:
        intervals = {name: table[["chrom", "start", "end", "strand"]].assign(end=table.start + n) for name, n in inputs}
        writer.regions(table, intervals=intervals if len(inputs) > 1 else None)
        writer.sequences(0, made.onehot)
        for number in range(len(tracks)):
            made.form.append([])
            made.projected.append([])
            for onehot in made.onehot:
                values = rng.normal(0, 0.01, onehot.shape)
                for row in range(rows):
                    values[row, :, peak_of(row) : peak_of(row) + 12] += rng.uniform(0.2, 0.5, (4, 12)) * (number + 1)
                made.form[-1].append(values)
                made.projected[-1].append((values * onehot).sum(axis=1))
            made.prediction.append(rng.normal(0, 2, rows))
            made.delta.append(rng.normal(0, 1e-4 * (number + 1), rows))
            blocks = tuple(
                InputBlock(p, f, f, np.abs(p) / 10) for p, f in zip(made.projected[-1], made.form[-1], strict=True)
            )
            deviation = np.full(rows, 0.25)
            block = TrackBlock(made.prediction[-1], deviation, made.delta[-1], blocks)
            writer.track(0, number, block, onehot=made.onehot)
    told = {"method": "deepshap", "output": form, "references": "dinuc:20", "base_freqs": None}
    told |= {"target": {"kind": "tracks", "scale": "link"}, **(params or {})}
    root = {"seed": 0, "stranded": True, "params": told, **(attributes or {})}
    attributions.merge([h5.PartFile(part, 0, rows)], path, plan=plan, attributes=root)
    part.unlink()
    return made
