"""Two ranks of one training against two trainings that know nothing of each other, on two cores, one thread each.

Both processes hold both: a model under DistributedDataParallel over gloo, and the same one alone. In turn they take
some steps together and some apart, started at the same time; a pair gives one ratio of samples a second. What is left
between the ratio and 1 is the sum of gradients (bytes below) and waiting for the slower rank.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from common import show
from steps import make_stepper

from drg_hpc.models.base import ModelShape
from drg_hpc.models.config import DrgCnnConfig
from drg_hpc.models.operations import macs_per_row
from drg_hpc.training.data import Batch
from drg_hpc.training.distributed import Group, join
from drg_hpc.training.loader import Piece, TrainBatch
from drg_hpc.training.objective import Objective
from drg_hpc.training.step import Stepper

LENGTH, TRACKS = 401, 45
CONFIG = DrgCnnConfig(
    kernels=128, kernel_size=15, pooling="max", pool_size=3, conv_channels=(128, 128), conv_size=7, conv_pool_size=3,
    hidden=(256,),
)  # fmt: skip


def stepper(group: Group, batch: int) -> tuple[Stepper, Objective]:
    """A model under way, and its objective."""
    return make_stepper(CONFIG, ModelShape.single(LENGTH, TRACKS), group=group, loss="mse", train={"batch_size": batch})


def one_rank(batch: int, steps: int, pairs: int) -> dict[str, Any]:
    """What one process does; seconds of each pair, the slower rank's."""
    torch.set_num_threads(1)
    with join("cpu") as group:
        generator = torch.Generator().manual_seed(group.rank)
        x = torch.randn(batch, 4, LENGTH, generator=generator)
        y = torch.randn(batch, TRACKS, generator=generator)
        piece = Piece(Batch(x, y, torch.ones_like(y, dtype=torch.bool)), torch.arange(batch))
        part = TrainBatch(piece, largest=batch)
        together, objective = stepper(group, 2 * batch)
        apart, _ = stepper(Group(0, 1, group.device), batch)
        units = objective.units(piece.batch.valid.numpy()).sum(0)

        def seconds(side: Stepper, ranks: int) -> float:
            group.barrier()
            started = time.perf_counter()
            for number in range(steps):
                side.step(part, units=units * ranks, number=number, rate=1e-4)
            return max(each for (each,) in group.gather_values([time.perf_counter() - started]))

        for side, ranks in ((together, 2), (apart, 1)):
            seconds(side, ranks)
        found = [(seconds(together, 2), seconds(apart, 1)) for _ in range(pairs)]
        model = apart.model
        return {
            "pairs": found,
            "macs_per_row": macs_per_row(model, model.shape),
            "gradient_bytes": 4 * sum(p.numel() for p in model.parameters()),
        }


def run(scratch: Path, *, small: bool) -> dict[str, Any]:
    """Start both ranks, and compare."""
    batch, steps, pairs = (16, 1, 3) if small else (96, 4, 25)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    shared |= {"TORCH_CPP_LOG_LEVEL": "ERROR"}  # as drg-train: DDP warns that there are no unused parameters
    line = [sys.executable, __file__, str(batch), str(steps), str(pairs)]
    processes = [
        subprocess.Popen(
            line, env={**os.environ, **shared, "RANK": str(r), "LOCAL_RANK": str(r)}, stdout=subprocess.PIPE
        )
        for r in range(2)
    ]
    outputs = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        sys.exit("a rank failed")
    found = json.loads(outputs[0])
    ratios = [apart / together for together, apart in found["pairs"]]
    step = statistics.median(apart for _, apart in found["pairs"]) / steps
    results = {
        "batch_per_rank": batch, "steps_a_pair": steps, "pairs": pairs, "step_s": step,
        "ratio": statistics.median(ratios), "ratio_quartiles": statistics.quantiles(ratios, n=4)[::2],
        "gradient_bytes": found["gradient_bytes"],
        "gflops_per_rank": 6 * found["macs_per_row"] * batch / step / 1e9,
    }  # fmt: skip
    low, high = results["ratio_quartiles"]
    show("2 ranks x 1 thread against 2 processes on their own", [
        ("samples/s, together : apart", f"{results['ratio']:.3f} ({low:.3f} to {high:.3f}; asked 0.95)"),
        ("step", f"{1000 * step:.0f} ms, {results['gflops_per_rank']:.0f} GFLOP/s a rank"),
        ("gradient", f"{results['gradient_bytes'] / 2**20:.1f} MiB a step to add up"),
    ])  # fmt: skip
    return results


if __name__ == "__main__":
    print(json.dumps(one_rank(*map(int, sys.argv[1:]))))
