"""In-silico mutagenesis on a GPU, for bench/gpu: numbers, then mutants a second of both engines.

Both engines of the device are compared with whole passes of the CPU in double precision, on mutants spread over the
sequence, its first and last ones among them. Speed is that of all mutants of a sequence, whole passes at the fastest of
some batch sizes; their multiply-adds, and those that the incremental engine makes, are put next to the matrix products
that the card reaches.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from common import show
from gpu_train import median_seconds
from ism_nets import SECTIONS, Net

from drg_hpc.attribution.edits import Edits, sequence_codes, substitutions
from drg_hpc.attribution.full import Evaluator, FullEvaluator
from drg_hpc.attribution.incremental.evaluator import IncrementalEvaluator
from drg_hpc.models.compute import device_model, prepare_torch
from drg_hpc.models.operations import macs_per_row
from drg_hpc.training.throughput import peak_memory, product_rate

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}  # of the largest |prediction|
COMPARED = 40
"""Positions whose mutants are compared."""
BATCHES = (64, 256, 1024, 4096)


class Side:
    """One network on one device."""

    def __init__(self, net: Net, device: torch.device, dtype: torch.dtype) -> None:
        self.net = replace(net, module=copy.deepcopy(net.module).to(device, dtype))
        self.device, self.x = device, net.sequence(dtype).to(device)
        self.statistic = self.net.statistic()

    def edits(self, positions: int) -> Edits:
        """Substitutions at positions spread over the sequence."""
        length = self.net.length
        chosen = np.unique(np.linspace(0, length - 1, min(positions, length)).round().astype(np.int64))
        return substitutions(sequence_codes(self.net.sequence()[0].numpy()), chosen)

    def full(self, batch: int) -> Evaluator:
        """Whole passes."""
        return FullEvaluator(self.statistic, batch=batch)

    def incremental(self) -> IncrementalEvaluator:
        """Changed positions."""
        return IncrementalEvaluator(self.statistic, [self.x], [])

    def values(self, evaluator: Evaluator, edits: Edits) -> torch.Tensor:
        """Of mutants, on the CPU in double precision."""
        return evaluator.values([self.x], [], edits)[1].double().cpu()


def compare(net: Net, device: torch.device, *, positions: int) -> dict[str, dict[str, Any]]:
    """Largest differences of both engines and precisions from the CPU's whole passes in double precision, relative to
    the largest |prediction|. In single precision the incremental engine may be as far from them as whole passes are."""
    exact_side = Side(net, torch.device("cpu"), torch.float64)
    edits = exact_side.edits(positions)
    exact = exact_side.values(exact_side.full(32), edits)
    found = {}
    for dtype, bound in TOLERANCE.items():
        side = Side(net, device, dtype)
        values = {"full": side.values(side.full(64), edits), "incremental": side.values(side.incremental(), edits)}
        errors = {name: float((each - exact).abs().max() / exact.abs().max()) for name, each in values.items()}
        fault = not errors["incremental"] <= max(bound, 2 * errors["full"]) or not errors["full"] <= 100 * bound
        found[str(dtype).removeprefix("torch.")] = {**errors, "fault": fault}
    return found


def speed(net: Net, device: torch.device, *, ceiling: float, batches: Sequence[int], small: bool) -> dict[str, Any]:
    """Seconds per mutant of both engines, and their share of what products allow."""
    side = Side(net, device, torch.float32)
    edits = side.edits(20 if small else net.length)
    by_batch = {}
    for batch in batches:
        part = edits[: max(1, len(edits) // batch) * batch - 1] if not small else edits
        evaluator = side.full(batch)
        by_batch[batch] = median_seconds(lambda e=evaluator, p=part: side.values(e, p), device, small=small) / len(part)
    batch = min(by_batch, key=by_batch.__getitem__)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    incremental = side.incremental()
    seconds = median_seconds(lambda: side.values(incremental, edits), device, small=small) / len(edits)
    macs = macs_per_row(net.module, net.module.shape)
    operations = net.tally().operations()
    ratio = by_batch[batch] / seconds
    return {
        "mutants": len(edits), "batch": batch, "by_batch": {str(b): s for b, s in by_batch.items()},
        "full_s": by_batch[batch], "incremental_s": seconds, "ratio": ratio, "chunk": incremental.chunk,
        "shares": {kind: ratio * operations[kind] / operations["full"] for kind in ("window", "delta")},
        "share_of_products": {"full": 2 * macs / by_batch[batch] / ceiling,
                              "incremental": 2 * incremental.macs / seconds / ceiling},
        "memory_gib": peak_memory(device) / 2**30,
    }  # fmt: skip


def run(device: str, *, small: bool) -> dict[str, Any]:
    """Compare, then time."""
    chosen = torch.device(device)
    if chosen.type == "cuda" and not torch.cuda.is_available():
        sys.exit("bench/gpu: no GPU is visible (--device cpu tries the script out)")
    prepare_torch(torch.get_num_threads())
    nets = [net for section in SECTIONS.values() for net in section(small)]
    results: dict[str, Any] = {"device": device_model(chosen), "correctness": {}, "speed": {}, "faults": []}
    for net in nets:
        found = results["correctness"][net.name] = compare(net, chosen, positions=6 if small else COMPARED)
        results["faults"] += [f"{net.name} {key}" for key, each in found.items() if each["fault"]]
    show(f"{results['device']} against this CPU in double precision, largest difference of the largest prediction", [
        (name, key, f"full {each['full']:.1e}", f"incremental {each['incremental']:.1e}")
        for name, found in results["correctness"].items() for key, each in found.items()
    ])  # fmt: skip
    ceiling = results["ceiling_flops"] = product_rate(chosen, "fp32")
    rows = []
    for net in nets:
        found = speed(net, chosen, ceiling=ceiling, batches=BATCHES[:1] if small else BATCHES, small=small)
        results["speed"][net.name] = found
        rows.append((
            net.name, f"{1e6 * found['full_s']:.2f} ({found['batch']})", f"{1e6 * found['incremental_s']:.2f}",
            f"{found['ratio']:.2f}", *(f"{100 * found['shares'][k]:.0f} %" for k in ("window", "delta")),
            *(f"{100 * found['share_of_products'][k]:.0f} %" for k in ("full", "incremental")),
        ))  # fmt: skip
    head = ("network", "full, us a mutant (batch)", "incremental", "ratio", "of window bound", "of delta bound",
            "full of products", "incremental of products")  # fmt: skip
    show(f"speed in single precision (products {ceiling / 1e12:.3g} TFLOP/s)", [head, *rows])
    return results
