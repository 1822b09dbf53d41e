"""The networks, the comparison with the CPU and the timings of bench/gpu."""

from __future__ import annotations

import statistics
import sys
import time
import tomllib
from collections.abc import Callable
from typing import Any

import torch
from common import ROOT, show
from steps import make_stepper

from drg_hpc.models.base import ModelShape
from drg_hpc.models.compute import device_model, prepare_torch
from drg_hpc.models.config import AnyConfig, config_from_json
from drg_hpc.models.operations import macs_per_row
from drg_hpc.training.data import Batch
from drg_hpc.training.distributed import Group
from drg_hpc.training.loader import Piece, TrainBatch
from drg_hpc.training.step import Stepper
from drg_hpc.training.throughput import peak_memory, product_rate

TOLERANCE = 1e-3  # of the largest change of a weight: a few steps of fp32 in another order of sums
NETS: dict[str, tuple[ModelShape, str, int]] = {
    "calderon-deep": (ModelShape.single(401, 45), "mse", 1024),
    "bpnet": (ModelShape.single(2114, 1, bins=1000, link="log", span=1000), "multinomial", 256),
}
"""Shape, loss and batch of each; the networks are those of configs/."""


def _config(name: str) -> AnyConfig:
    values = tomllib.loads((ROOT / f"configs/{name}.toml").read_text())["model"]
    return config_from_json(values, source=name)


def _batch(shape: ModelShape, rows: int, device: torch.device) -> TrainBatch:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 4, (rows, shape.length), generator=generator)
    x = torch.nn.functional.one_hot(codes, 4).permute(0, 2, 1).float()
    size = (rows, shape.n_tracks, *([shape.bins] if shape.bins else []))
    y = torch.poisson(torch.full(size, 0.5), generator=generator)
    found = [tensor.to(device) for tensor in (x, y, torch.ones(size, dtype=torch.bool))]
    return TrainBatch(Piece(Batch(*found), torch.arange(rows, device=device)), largest=rows)


def _make(name: str, rows: int, device: torch.device, precision: str) -> tuple[Stepper, TrainBatch, Any]:
    shape, loss, _ = NETS[name]
    stepper, objective = make_stepper(
        _config(name), shape, group=Group(0, 1, device), loss=loss, optim={"name": "sgd", "momentum": 0.9},
        train={"batch_size": rows, "precision": precision},
    )  # fmt: skip
    part = _batch(shape, rows, device)
    return stepper, part, objective.units(part.whole.batch.valid.cpu().numpy()).sum(0)


def _trained(name: str, device: torch.device, *, rows: int, steps: int) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Losses of some steps, and how the weights have changed."""
    stepper, part, units = _make(name, rows, device, "fp32")
    before = {key: value.detach().cpu().clone() for key, value in stepper.model.named_parameters()}
    losses = [sum(stepper.step(part, units=units, number=i, rate=1e-4)[0]) for i in range(steps)]
    return losses, {key: value.detach().cpu() - before[key] for key, value in stepper.model.named_parameters()}


def compare(name: str, device: torch.device, *, rows: int, steps: int) -> dict[str, float]:
    """Largest differences between the device and the CPU, relative to the largest value."""
    losses, changes = _trained(name, device, rows=rows, steps=steps)
    theirs, other = _trained(name, torch.device("cpu"), rows=rows, steps=steps)
    scale = max(float(change.abs().max()) for change in other.values())
    return {
        "loss": max(abs(a - b) / abs(b) for a, b in zip(losses, theirs, strict=True)),
        "change_of_weights": max(float((changes[key] - other[key]).abs().max()) for key in changes) / scale,
    }


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def median_seconds(action: Callable[[], object], device: torch.device, *, small: bool) -> float:
    """Median of some runs, after one that prepares everything."""
    action()
    seconds: list[float] = []
    while not seconds or (not small and len(seconds) < 5 and sum(seconds) < 10):
        wait(device)
        started = time.perf_counter()
        action()
        wait(device)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def copy_rate(device: torch.device) -> float:
    """Bytes a second read and written by a copy within the device's memory."""
    source = torch.zeros(1 << (28 if device.type == "cuda" else 24), device=device)
    target = torch.empty_like(source)
    seconds = []
    for _ in range(6):
        wait(device)
        started = time.perf_counter()
        target.copy_(source)
        wait(device)
        seconds.append(time.perf_counter() - started)
    return 2 * 4 * source.numel() / min(seconds)


def speed(name: str, device: torch.device, precision: str, *, rows: int, steps: int) -> dict[str, float]:
    """Samples a second, arithmetic and its share of what matrix products reach."""
    stepper, part, units = _make(name, rows, device, precision)
    seconds = []
    for number in range(steps + 3):
        wait(device)
        started = time.perf_counter()
        stepper.step(part, units=units, number=number, rate=1e-5)
        wait(device)
        seconds.append(time.perf_counter() - started)
    step = statistics.median(seconds[3:])
    flops = 6 * macs_per_row(stepper.model, stepper.model.shape) * rows / step
    ceiling = product_rate(device, precision)  # type: ignore[arg-type]
    return {
        "batch": rows, "step_s": step, "samples_per_s": rows / step, "tflops": flops / 1e12,
        "ceiling_tflops": ceiling / 1e12, "share": flops / ceiling, "memory_gib": peak_memory(device) / 2**30,
    }  # fmt: skip


def run(device: str, *, small: bool) -> dict[str, Any]:
    """Compare, then time."""
    chosen = torch.device(device)
    if chosen.type == "cuda" and not torch.cuda.is_available():
        sys.exit("bench/gpu: no GPU is visible (--device cpu tries the script out)")
    prepare_torch(torch.get_num_threads())
    precisions = ["fp32", "tf32", "bf16"] if chosen.type == "cuda" else ["fp32", "bf16"]
    results: dict[str, Any] = {"device": device_model(chosen), "correctness": {}, "speed": {}, "faults": []}
    for name in NETS:
        found = compare(name, chosen, rows=4 if small else 64, steps=2 if small else 5)
        results["correctness"][name] = found
        results["faults"] += [f"{name} {key} {value:.1e}" for key, value in found.items() if not value < TOLERANCE]
    show(f"{results['device']} against this CPU, fp32", [
        (name, f"loss {found['loss']:.1e}", f"change of weights {found['change_of_weights']:.1e}")
        for name, found in results["correctness"].items()
    ])  # fmt: skip
    copy = results["copy_bytes_per_s"] = copy_rate(chosen)
    rows = []
    for name, (_, _, batch) in NETS.items():
        for precision in precisions:
            timed = speed(name, chosen, precision, rows=8 if small else batch, steps=2 if small else 20)
            results["speed"][f"{name}, {precision}"] = timed
            share = f"{100 * timed['share']:.0f} % of {timed['ceiling_tflops']:.3g}"
            rate, arithmetic = f"{timed['samples_per_s']:.0f} samples/s", f"{timed['tflops']:.3g} TFLOP/s"
            rows.append((f"{name}, {precision}", rate, arithmetic, share))
    show(f"speed (copies {copy / 1e9:.0f} GB/s)", rows)
    return results
