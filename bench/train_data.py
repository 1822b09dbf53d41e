"""A training from a real store against the same steps on batches that lie in memory: what the data cost.

A genome store and a dataset of windows with targets are made first, and the node's cache. Then, in turn: some steps as
drg-train takes them (shuffled, moved, half of the rows turned, gathered ahead by its thread) and as many on a batch
that is there. The model's threads and the gathering share the cores given.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import show, timed
from steps import make_stepper
from stores_windows import write_inputs

from drg_hpc.models.base import ModelShape
from drg_hpc.models.config import DrgCnnConfig
from drg_hpc.models.operations import macs_per_row
from drg_hpc.store.cache import open_cache
from drg_hpc.store.mixture import Mixture
from drg_hpc.training.augment import Augmentation
from drg_hpc.training.data import TrainingData
from drg_hpc.training.distributed import Group
from drg_hpc.training.loader import Loader, Samples

CONFIG = DrgCnnConfig(kernels=64, kernel_size=19, pool_size=8, conv_channels=(64, 64), conv_pool_size=4, hidden=(64,))
CPU = torch.device("cpu")


def run(scratch: Path, *, small: bool) -> dict[str, Any]:
    """Make the store, and compare."""
    windows, genome, batch, steps, pairs = (400, 2_000_000, 32, 2, 3) if small else (10_000, 8_000_000, 64, 4, 12)
    write_inputs(scratch, genome=genome, regions=windows)
    timed("drg-shard", "genome", scratch / "genome.fa", "-o", scratch / "genome")
    options = ["--regions", scratch / "regions.bed", "--counts", scratch / "counts.tsv", "--flank", 16]
    timed("drg-shard", "regions", "--genome", scratch / "genome", *options, "-o", scratch / "store")
    source = Mixture([open_cache(scratch / "store" / "out.zarr", scratch / "cache")])
    torch.set_num_threads(1)
    data = TrainingData(source, tracks=[0], partners=[0], device=CPU)
    group = Group(0, 1, CPU)
    length = next(iter(source.inputs.values())).length
    stepper, _ = make_stepper(
        CONFIG, ModelShape.single(length, 1), group=group, loss="mse", train={"batch_size": batch}
    )
    model = stepper.model
    loader = Loader(data, augmentation=Augmentation(0, 0.5, 16), group=group)
    units = np.array([batch])
    order = np.random.default_rng(0).permutation(windows)
    plan = (Samples(order[np.arange(i * batch, (i + 1) * batch) % windows]) for i in range((pairs + 1) * steps + 1))
    stored, kept, waited = [], [], 0.0
    with loader.batches(plan, epoch=0) as batches:
        ready = next(batches)
        stepper.step(ready, units=units, number=0, rate=1e-3)
        for pair in range(pairs + 1):
            loader.wait_s = 0.0
            started = time.perf_counter()
            for number in range(steps):
                stepper.step(next(batches), units=units, number=number, rate=1e-3)
            middle = time.perf_counter()
            wait = loader.wait_s
            for number in range(steps):
                stepper.step(ready, units=units, number=number, rate=1e-3)
            if pair:  # the first warms up
                stored.append(middle - started)
                kept.append(time.perf_counter() - middle)
                waited += wait
    ratio = statistics.median(a / b for a, b in zip(stored, kept, strict=True))
    macs = macs_per_row(model, model.shape)
    step = statistics.median(stored) / steps
    results = {
        "windows": windows, "length": length, "batch": batch, "pairs": pairs, "step_s": step, "ratio": ratio,
        "wait_share": waited / sum(stored), "samples_per_s": batch / step, "gflops": 6 * macs * batch / step / 1e9,
    }  # fmt: skip
    show("steps from a store : steps on a batch in memory", [
        ("step time", f"{ratio:.3f} (asked at most 1.05)"),
        ("waiting for data", f"{100 * results['wait_share']:.2f} % (asked less than 2)"),
        ("step", f"{1000 * step:.0f} ms, {results['samples_per_s']:.0f} samples/s, {results['gflops']:.0f} GFLOP/s"),
    ])  # fmt: skip
    return results
