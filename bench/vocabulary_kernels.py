"""Kernel effects: the ablation engine against one whole pass for each kernel, on a shallow and a deep network.

Both sides predict the same block of rows without each kernel of the first layer. The whole passes are of some kernels,
the engine stops after some seconds on networks where it is slow; their predictions are compared. The bound is the
multiply-adds of a whole pass over those of what follows the first layer's mixer: an engine that computes only that
again, at the same speed. A share of it above 1 is time that the engine saves besides multiply-adds, such as strands,
activation and pooling of the first layer. Times are seconds of CPU in one thread, so that other work on the machine
counts little; medians of the rounds, sides in turn.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attr_nets import network, sequences
from common import show
from models.drg_files import files
from torch import nn

from drg_hpc.bodies.kernels_layers import find_branches
from drg_hpc.interpretation.kernel_ablation import Ablation
from drg_hpc.interpretation.kernel_effects import Collector, Shape
from drg_hpc.models.base import ModelShape, SequenceModel
from drg_hpc.models.compute import prepare_torch
from drg_hpc.models.importers.drg import import_drg

ASKED = {"calderon": 10.0}
ROWS, WHOLE, ROUNDS, LONGEST = 64, 6, 5, 5.0


def _networks() -> dict[str, SequenceModel]:
    calderon = import_drg(*files("calderon")).module
    deep = network("calderon-deep", ModelShape.single(401, 45))
    return {"calderon": calderon.eval().requires_grad_(False), "deep": deep}


def _macs(module: SequenceModel, x: torch.Tensor) -> tuple[int, int]:
    """Multiply-adds of a row: whole, and after the first layer and its mixer."""
    (branch,), _ = find_branches(module)
    counted: dict[nn.Module, int] = {}

    def count(layer: Any, given: Any, output: torch.Tensor) -> None:
        if hasattr(layer, "macs"):
            counted[layer] = layer.macs(output)
        elif isinstance(layer, nn.Linear):
            counted[layer] = layer.weight.numel()
        elif isinstance(layer, nn.Conv1d):
            counted[layer] = layer.weight.numel() * output.shape[-1]

    handles = [layer.register_forward_hook(count) for layer in module.modules()]
    with torch.inference_mode():
        module(x[:1])
    for handle in handles:
        handle.remove()
    first = counted.get(branch.scan, 0) + (counted.get(branch.mixer, 0) if branch.mixer is not None else 0)
    return sum(counted.values()), sum(counted.values()) - first


def _whole(module: SequenceModel, x: torch.Tensor, kernels: list[int], constants: torch.Tensor) -> list[torch.Tensor]:
    (branch,), _ = find_branches(module)
    found = []
    for kernel in kernels:

        def replace(_: Any, __: Any, output: torch.Tensor, kernel: int = kernel) -> torch.Tensor:
            output[..., kernel, :] = constants[kernel]
            return output

        handle = branch.scan.register_forward_hook(replace)
        with torch.inference_mode():
            found.append(module(x))
        handle.remove()
    return found


def _measure(name: str, module: SequenceModel, *, rows: int) -> dict[str, Any]:
    x = torch.from_numpy(sequences(rows, module.length))
    branches, closed = find_branches(module)
    kernels = branches[0].kernels
    constants = torch.linspace(-0.2, 0.2, kernels)
    ablation = Ablation(branches, [constants], predict=lambda parts: module(parts[0]), closed=closed)
    tracks = module.shape.n_tracks
    y = torch.from_numpy(np.random.default_rng(0).normal(size=(rows, tracks)))
    times: dict[str, list[float]] = {"whole": [], "engine": [], "with statistics": []}
    worst = largest = 0.0
    for _ in range(ROUNDS + 1):
        for side in ("engine", "with statistics"):
            collector = Collector(Shape(kernels, tracks, (tuple(range(tracks)),)))
            start = time.process_time()
            prediction = ablation.block([x])
            if side != "engine":
                collector.rows(prediction, y, None)
            shared, done = time.process_time() - start, 0
            start = time.process_time()
            for chosen, values in ablation.without(0):
                if side != "engine":
                    collector.without(chosen, values)
                done, last = chosen.stop, values
                if time.process_time() - start > LONGEST:
                    break
            times[side].append(shared / kernels + (time.process_time() - start) / done)
        some = sorted({int(k) for k in np.linspace(chosen.start, chosen.stop - 1, WHOLE)})
        start = time.process_time()
        expected = _whole(module, x, some, constants)
        times["whole"].append((time.process_time() - start) / len(some))
        for kernel, value in zip(some, expected, strict=True):
            worst = max(worst, float((last[kernel - chosen.start] - value).abs().max()))
            largest = max(largest, float(value.abs().max()))
    median = {side: statistics.median(seconds[1:]) for side, seconds in times.items()}
    total, after = _macs(module, x)
    ratios = {side: median["whole"] / median[side] for side in ("engine", "with statistics")}
    return {
        "kernels": kernels, "rows": rows, "seconds_per_kernel": median, "times_whole": ratios,
        "bound": total / after if after else None,
        "share_of_bound": ratios["with statistics"] * after / total if after else None, "asked": ASKED.get(name),
        "largest_difference": worst, "largest_prediction": largest,
    }  # fmt: skip


def run(_: Path, *, small: bool) -> dict[str, Any]:
    """All networks."""
    rows = 8 if small else ROWS
    prepare_torch(1)
    found = {name: _measure(name, module, rows=rows) for name, module in _networks().items()}
    table = [("network", "kernels", "ms a kernel, whole", "engine", "with statistics", "times", "bound", "share",
              "difference")]  # fmt: skip
    for name, one in found.items():
        ms = {side: f"{1000 * value:.2f}" for side, value in one["seconds_per_kernel"].items()}
        bound = ("none", "") if one["bound"] is None else (f"{one['bound']:.2f}", f"{one['share_of_bound']:.2f}")
        table.append((name, str(one["kernels"]), *ms.values(), f"{one['times_whole']['with statistics']:.1f}", *bound,
                      f"{one['largest_difference']:.1e}"))  # fmt: skip
    show(f"{rows} rows, 1 thread, CPU time", table)
    return found
