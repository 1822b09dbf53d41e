"""A linear head from an embedding of 64 to 512 tracks: propagated once per embedded number, or once per track."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from attr_nets import in_turn, network, ratio, sequences
from common import show

from drg_hpc.attribution.engine import Engine
from drg_hpc.attribution.recipe import make_recipe
from drg_hpc.attribution.targets import TrackStatistic
from drg_hpc.models.base import ModelShape

LENGTH, TRACKS, EMBEDDING, ROWS = 401, 512, 64, 8


class _PerTrack(Engine):
    """The same engine without the way over the embedding."""

    def _function(self, *arguments: Any) -> Any:
        function = super()._function(*arguments)
        function.__dict__["tail"] = None
        return function


def run(scratch: Path, *, small: bool) -> dict[str, Any]:
    """Time both ways, and compare their numbers."""
    torch.set_num_threads(1)
    rows = 2 if small else ROWS
    model = network("calderon-shallow", ModelShape.single(LENGTH, TRACKS), hidden=[EMBEDDING], fc_layers=0)
    x = sequences(rows, LENGTH)
    statistic = TrackStatistic(model, range(TRACKS), "link")
    results: dict[str, list[Any]] = {}

    def side(name: str, kind: type[Engine]) -> Any:
        engine = kind([statistic], make_recipe("gradient"), batch=min(rows, 8))

        def take() -> None:
            results[name] = [result.inputs[0].projected for result in engine.block([x], range(rows))]

        return take

    sides = {"embedding": side("embedding", Engine), "per track": side("per track", _PerTrack)}
    found = in_turn(sides, repeats=1 if small else 2)
    gain = ratio(found, "per track", "embedding")
    pairs = list(zip(results["embedding"], results["per track"], strict=True))
    scale = max(float(np.abs(b).max()) for _, b in pairs)
    difference = max(float(np.abs(a - b).max()) for a, b in pairs) / scale
    bound = TRACKS / EMBEDDING
    show(
        f"gradients of {TRACKS} tracks over an embedding of {EMBEDDING}, {rows} regions",
        [
            ("", "seconds", ""),
            ("per track", f"{min(found['per track']):.2f}", "1.0x"),
            ("over the embedding", f"{min(found['embedding']):.2f}", f"{gain:.1f}x (asked: 5x; bound {bound:g}x)"),
            ("largest difference", f"{difference:.1e}", "of the largest value"),
        ],
    )  # fmt: skip
    return {"regions": rows, "tracks": TRACKS, "embedding": EMBEDDING, "seconds": found, "ratio": gain,
            "bound": bound, "difference": difference}  # fmt: skip
