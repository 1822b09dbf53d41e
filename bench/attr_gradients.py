"""Corrected gradients of 45 tracks x 64 regions of a Calderon-like net, against the least that they can cost.

The floor is one forward pass and 45 backward passes of the same block; ours adds the forms, and what is stored of them.
The original's way, one backward pass per region and track at batch 1, runs on the first regions.
"""

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
from drg_hpc.models.operations import macs_per_row
from drg_hpc.training.throughput import product_rate

LENGTH, TRACKS, ROWS = 401, 45, 64
BATCH = 16  # what drg-attr takes for this network on a CPU


def run(scratch: Path, *, small: bool) -> dict[str, Any]:
    """Time both sides and the original's way."""
    torch.set_num_threads(1)
    rows, alone = (64, 2) if small else (ROWS, 8)
    shape = ModelShape.single(LENGTH, TRACKS)
    model = network("calderon-shallow", shape)
    x = sequences(rows, LENGTH)
    statistic = TrackStatistic(model, range(TRACKS), "link")
    engine = Engine([statistic], make_recipe("gradient"), batch=BATCH)
    given = torch.from_numpy(x)

    def ours() -> None:
        for result in engine.block([x], range(rows)):
            result.inputs[0].projected.astype(np.float16)

    def floor() -> None:
        at = given.clone().requires_grad_()
        values = model(at)
        for track in range(TRACKS):
            torch.autograd.grad(values[:, track].sum(), at, retain_graph=track + 1 < TRACKS)

    def original() -> None:
        for row in range(alone):
            at = given[row : row + 1].clone().requires_grad_()
            values = model(at)
            for track in range(TRACKS):
                torch.autograd.grad(values[0, track], at, retain_graph=True)

    found = in_turn({"floor": floor, "ours": ours, "original": original}, repeats=1 if small else 5)
    share = ratio(found, "floor", "ours")
    against = ratio(found, "original", "ours") * rows / alone
    macs = rows * macs_per_row(model, shape) * (1 + TRACKS)
    rate = product_rate(torch.device("cpu"), "fp32")
    bound = 2 * macs / rate
    show(
        f"corrected gradients, {rows} regions x {TRACKS} tracks",
        [
            ("", "seconds", "of the floor's speed"),
            ("floor: 1 forward, 45 backward", f"{min(found['floor']):.3f}", "1.00"),
            ("ours", f"{min(found['ours']):.3f}", f"{share:.2f} (asked: 0.80)"),
            (f"one region at a time ({alone} regions, scaled)", f"{min(found['original']) * rows / alone:.3f}",
             f"ours is {against:.1f}x"),
            ("operations alone, at the rate of matrix products", f"{bound:.3f}", ""),
        ],
    )  # fmt: skip
    return {"regions": rows, "tracks": TRACKS, "seconds": found, "share_of_floor": share, "over_batch_1": against,
            "multiply_adds": macs, "bound_seconds": bound}  # fmt: skip
