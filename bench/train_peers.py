"""BPNet (64 filters, 8 dilated layers, 2,114 bases in, 1,000 out) trained by bpnet-lite and by drg-train's own loop.

The same FASTA, peaks and bigWig, the same network, batch, optimizer and clipping, half of the rows turned, one thread
of torch each, in turn. bpnet-lite runs its own fit over its own PeakGenerator in .venv-peers, with no and with one
worker process for its data; the faster of the two counts.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyBigWig
import torch
from common import ROOT, show, timed
from steps import make_stepper
from stores_windows import peers_python

from drg_hpc.models.base import ModelShape
from drg_hpc.models.config import DilatedResidualConfig
from drg_hpc.models.operations import macs_per_row
from drg_hpc.store.cache import open_cache
from drg_hpc.store.mixture import Mixture
from drg_hpc.training.augment import Augmentation
from drg_hpc.training.data import TrainingData
from drg_hpc.training.distributed import Group
from drg_hpc.training.loader import Loader, Samples

WIDTH, OUTPUT = 2114, 1000
CONFIG = DilatedResidualConfig(first_dilation=2, profile_size=75, counts="shared")
CPU = torch.device("cpu")
Side = Callable[[], float]


def write_inputs(folder: Path, *, genome: int, peaks: int) -> None:
    """A contig with counts at every base, peaks on it, and as much background."""
    rng = np.random.default_rng(0)
    letters = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, genome, dtype=np.uint8)]
    (folder / "genome.fa").write_bytes(b">chr1\n" + letters.tobytes() + b"\n")
    for name in ("peaks", "background"):
        starts = np.sort(rng.choice(genome - 2 * WIDTH, peaks, replace=False)) + WIDTH // 2
        (folder / f"{name}.bed").write_text("".join(f"chr1\t{s}\t{s + WIDTH}\n" for s in starts))
    with pyBigWig.open(str(folder / "cuts.bw"), "w") as handle:
        handle.addHeader([("chr1", genome)])
        for start in range(0, genome, 1_000_000):
            values = rng.poisson(0.3, min(1_000_000, genome - start)).astype(np.float32)
            handle.addEntries("chr1", start, values=values, span=1, step=1)
    table = "\tidentifier\tfile\tclip\tclip_soft\tscale\tsum_stat\tstrand_pair\tdescription\n"
    (folder / "targets.tsv").write_text(table + "0\tcuts\tcuts.bw\t65504\t65504\t1.0\tsum\t0\tcuts\n")


def ours(folder: Path, *, batch: int, steps: int) -> tuple[Side, int, int]:
    """(seconds of some steps, multiply-adds a row, parameters)."""
    timed("drg-shard", "genome", folder / "genome.fa", "-o", folder / "genome")
    options = [
        "--regions",
        folder / "peaks.bed",
        "--tracks",
        folder / "targets.tsv",
        "--target-length",
        OUTPUT,
        "--bin",
        1,
    ]
    timed("drg-shard", "regions", "--genome", folder / "genome", *options, "-o", folder / "store")
    source = Mixture([open_cache(folder / "store" / "out.zarr", folder / "cache")])
    torch.set_num_threads(1)
    data = TrainingData(source, tracks=[0], partners=[0], device=CPU)
    group = Group(0, 1, CPU)
    shape = ModelShape.single(WIDTH, 1, bins=OUTPUT, link="log", span=OUTPUT)
    stepper, _ = make_stepper(
        CONFIG, shape, group=group, loss="multinomial", optim={"clip_norm": 1.0}, train={"batch_size": batch}
    )
    model = stepper.model
    loader = Loader(data, augmentation=Augmentation(0, 0.5), group=group)
    rng = np.random.default_rng(0)
    rows = data.split("train", key="data.train")
    units = np.array([batch])

    def take() -> float:
        plan = [Samples(rng.choice(rows, batch, replace=False)) for _ in range(steps)]
        started = time.perf_counter()
        with loader.batches(plan, epoch=0) as batches:
            for number in range(steps):
                stepper.step(next(batches), units=units, number=number, rate=1e-3)
        return time.perf_counter() - started

    return take, macs_per_row(model, model.shape), sum(p.numel() for p in model.parameters())


def theirs(folder: Path, python: Path, *, batch: int, steps: int, workers: int) -> tuple[Side, int]:
    """(seconds of some steps, parameters)."""
    files = [folder / name for name in ("genome.fa", "peaks.bed", "background.bed", "cuts.bw")]
    line = [python, ROOT / "bench/peer_bpnet.py", *files, batch, steps, workers]
    process = subprocess.Popen(
        [str(item) for item in line], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder
    )
    assert process.stdin is not None and process.stdout is not None
    to, back = process.stdin, process.stdout

    def read() -> Any:
        answer = back.readline()
        if not answer:
            sys.exit(f"bpnet-lite ended with {process.wait()}")
        return json.loads(answer)

    parameters = int(read())

    def take() -> float:
        # It answers when it has the first batch after them, so that is fetched in its time, as ours begins with none.
        to.write("go\n")
        to.flush()
        return float(read())

    return take, parameters


def run(scratch: Path, *, small: bool) -> dict[str, Any]:
    """Train both in turn."""
    python = peers_python()
    if python is None:
        sys.exit("bench/train peers needs .venv-peers with bpnet-lite (DRG_MAKE_PEERS=1 bench/stores windows makes it)")
    genome, peaks, batch, steps, pairs = (400_000, 100, 4, 1, 2) if small else (8_000_000, 2500, 16, 2, 6)
    write_inputs(scratch, genome=genome, peaks=peaks)
    mine, macs, size = ours(scratch, batch=batch, steps=steps)
    sides = {"ours": mine}
    for workers in (0, 1):
        side, found = theirs(scratch, python, batch=batch, steps=steps, workers=workers)
        if found != size:
            sys.exit(f"the networks differ: {size} parameters here, {found} there")
        sides[f"bpnet-lite, {workers} workers"] = side
    for side in sides.values():
        side()  # warms up
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(pairs):
        for name, side in sides.items():
            seconds[name].append(side())
    rates = {name: batch * steps / statistics.median(values) for name, values in seconds.items()}
    ratios = {
        name: statistics.median(b / a for a, b in zip(seconds["ours"], values, strict=True))
        for name, values in seconds.items() if name != "ours"
    }  # fmt: skip
    gflops = 6 * macs * rates["ours"] / 1e9
    results = {
        "batch": batch, "pairs": pairs, "parameters": size, "samples_per_s": rates, "ratio": min(ratios.values()),
        "ratios": ratios, "gflops": gflops,
    }  # fmt: skip
    show("BPNet, samples/s", [
        *((name, f"{rate:.1f}") for name, rate in rates.items()),
        ("ratio to the faster", f"{results['ratio']:.3f} (asked 1.0)"),
        ("convolutions", f"{gflops:.0f} GFLOP/s"),
    ])  # fmt: skip
    return results
