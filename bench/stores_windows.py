"""Shuffled windows of 2,114 bp in batches: the loader of drg-train, GenVarLoader, and slices of the zarr store.

Everything on one core, in turn, the best of several epochs each; the windows of both sides are compared by digest. The
store, its cache and GenVarLoader's files are made before the clock starts. GenVarLoader runs in .venv-peers
(DRG_MAKE_PEERS=1 makes it), with every way it has and several batch sizes; its best counts. Bounds: copying the bytes
of a window (codes), and writing its one-hot float32 values.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
import venv
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyBigWig
import torch
import zarr
from common import ROOT, show, timed

from drg_hpc.store.cache import open_cache
from drg_hpc.store.mixture import Mixture
from drg_hpc.store.prefetch import prefetched
from drg_hpc.store.reader import open_dataset
from drg_hpc.store.sampler import Sampler, Source
from drg_hpc.training.augment import Augmentation
from drg_hpc.training.data import TrainingData
from drg_hpc.training.distributed import Group
from drg_hpc.training.loader import Loader, Samples

LENGTH = 2114
BATCHES = (64, 256, 1024)
PEERS = ROOT / ".venv-peers"
CPU = torch.device("cpu")


def write_inputs(folder: Path, *, genome: int, regions: int) -> None:
    """A random contig, sorted regions of it, a count for each, and coverage that GenVarLoader's buffered way needs."""
    rng = np.random.default_rng(0)
    letters = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, genome, dtype=np.uint8)]
    lines = np.full((genome // 100, 101), ord("\n"), np.uint8)
    lines[:, :100] = letters.reshape(-1, 100)
    (folder / "genome.fa").write_bytes(b">chr1\n" + lines.tobytes())
    starts = np.sort(rng.choice(genome - LENGTH, regions, replace=False))
    (folder / "regions.bed").write_text("".join(f"chr1\t{s}\t{s + LENGTH}\tr{i}\n" for i, s in enumerate(starts)))
    rows = "".join(f"r{i}\t{value:.4f}\n" for i, value in enumerate(rng.normal(size=regions)))
    (folder / "counts.tsv").write_text("name\tsignal\n" + rows)
    with pyBigWig.open(str(folder / "depth.bw"), "w") as handle:
        handle.addHeader([("chr1", genome)])
        handle.addEntries("chr1", 0, values=np.ones(genome // 1000, np.float32), span=1000, step=1000)


def make_store(folder: Path) -> Path:
    """The dataset store."""
    timed("drg-shard", "genome", folder / "genome.fa", "-o", folder / "genome")
    timed(
        "drg-shard", "regions", "--genome", folder / "genome", "--regions", folder / "regions.bed",
        "--counts", folder / "counts.tsv", "-o", folder / "store",
    )  # fmt: skip
    return folder / "store/out.zarr"


def copy_rates() -> dict[str, float]:
    """Bytes a second: copying a block larger than the processor's caches, and writing batches into the same memory."""
    source, target = np.ones(1 << 27, np.uint8), np.zeros(1 << 27, np.uint8)
    batch = np.zeros(256 * 4 * LENGTH, np.float32)
    times: dict[str, list[float]] = {"copy": [], "write": []}
    for _ in range(7):
        started = time.perf_counter()
        target[:] = source
        times["copy"].append(target.nbytes / (time.perf_counter() - started))
        started = time.perf_counter()
        for _ in range(20):
            batch[:] = 1
        times["write"].append(20 * batch.nbytes / (time.perf_counter() - started))
    return {name: max(found) for name, found in times.items()}


class Ours:
    """The loader of drg-train over all rows of a store."""

    def __init__(self, store: Path, cache: Path) -> None:
        self.mixture = Mixture([open_cache(store, cache)])
        self.rows = np.arange(self.mixture.caches[0].rows)
        self.sampler = Sampler([Source(len(self.rows))], seed=0)

    def _data(self, *, onehot: bool) -> TrainingData:
        return TrainingData(self.mixture, tracks=[0], partners=[0], device=CPU, onehot_here=onehot)

    def _samples(self, size: int, epoch: int) -> Iterator[Samples]:
        order = self.rows[self.sampler.epoch(epoch).positions]
        return (Samples(order[start : start + size]) for start in range(0, len(order), size))

    def codes(self, size: int, epoch: int) -> float:
        """Windows a second as base codes with their targets: what a GPU is sent."""
        data, started = self._data(onehot=False), time.perf_counter()
        with prefetched(self._samples(size, epoch), lambda part: data.load(part.rows)) as batches:
            count = sum(len(batch.target) for batch in batches)
        return count / (time.perf_counter() - started)

    def onehot(self, size: int, epoch: int, *, augmentation: Augmentation) -> float:
        """Windows a second as float32 one-hot with targets and dropout keys: what a model on this device gets."""
        loader = Loader(self._data(onehot=True), augmentation=augmentation, group=Group(0, 1, CPU))
        started = time.perf_counter()
        with loader.batches(self._samples(size, epoch), epoch=epoch) as batches:
            count = sum(len(part.batch.target) for part in batches)
        return count / (time.perf_counter() - started)

    def digest(self) -> str:
        """Of the first windows, in the order of the regions."""
        codes = self._data(onehot=False).load(self.rows[:1000]).sequences[0].numpy()
        return hashlib.sha256(codes.tobytes()).hexdigest()


def zarr_rates(store: Path, *, windows: int, batches: int) -> dict[str, float]:
    """Windows a second by zarr alone, as stored one-hot: each window by itself, and batches by orthogonal indexing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        array = zarr.open_group(store, mode="r")["inputs/seq"]
    rng, rates = np.random.default_rng(0), {}
    started = time.perf_counter()
    for row in rng.integers(0, array.shape[0], windows):
        array[int(row)]
    rates["window by window"] = windows / (time.perf_counter() - started)
    started = time.perf_counter()
    for _ in range(batches):
        array.oindex[np.sort(rng.choice(array.shape[0], 64, replace=False))]
    rates["oindex, batch 64"] = 64 * batches / (time.perf_counter() - started)
    return rates


def peers_python() -> Path | None:
    """Python of .venv-peers, made when DRG_MAKE_PEERS is set."""
    python = PEERS / "bin/python"
    if not python.exists() and os.environ.get("DRG_MAKE_PEERS"):
        venv.create(PEERS, with_pip=True)
        install = [python, "-m", "pip", "install", "-q"]
        subprocess.run([*install, "-r", ROOT / "bench" / "peers.txt"], check=True)
        subprocess.run([*install, "--no-deps", "bpnet-lite==1.1.0"], check=True)
    return python if python.exists() else None


def genvarloader(folder: Path, rounds: int) -> dict[str, Any] | None:
    """Rates of GenVarLoader on one core; None without .venv-peers."""
    python = peers_python()
    if python is None:
        print("GenVarLoader is left out: no .venv-peers (DRG_MAKE_PEERS=1 makes it)")
        return None
    files = [folder / name for name in ("genome.fa", "regions.bed", "depth.bw", "gvl")]
    line = [python, ROOT / "bench/peer_genvarloader.py", *files, rounds]
    env = os.environ | {"GVL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([str(word) for word in line], env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"GenVarLoader failed with {done.returncode}:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def best(measure: Callable[[int, int], float], rounds: int) -> tuple[float, int]:
    """Largest rate over batch sizes and epochs, and its batch size."""
    measure(BATCHES[0], 0)
    return max((measure(size, epoch), size) for epoch in range(rounds) for size in BATCHES)


def data_wait(folder: Path, *, epochs: int) -> float:
    """Share of its time that drg-train waits for data, with configs/ctcf.toml on the CTCF example."""
    peaks = ROOT / "examples/ctcf/peaks.fa.gz"
    timed("drg-shard", "sequences", peaks, "--negatives", "dinuc:1", "--valid", "chr8", "-o", folder / "ctcf")
    timed(
        "drg-train", folder / "ctcf", "--config", ROOT / "configs/ctcf.toml", "--device", "cpu",
        "--cache-dir", folder, "--epochs", epochs, "-o", folder / "model",
    )  # fmt: skip
    lines = [line.split("\t") for line in (folder / "model/speed.tsv").read_text().splitlines()]
    return float(lines[-1][lines[0].index("data_wait")])


def _measure(folder: Path, ours: Ours, store: Path, *, rounds: int, small: bool) -> dict[str, Any]:
    """All sides in turn, on one core."""
    plain, turned = Augmentation(0), Augmentation(0, reverse_complement=0.5)
    sides: dict[str, list[Any]] = {"codes": [], "onehot": [], "onehot, half turned": [], "zarr": [], "peer": []}
    for _ in range(rounds):
        sides["codes"].append(best(ours.codes, 2))
        sides["onehot"].append(best(lambda size, epoch: ours.onehot(size, epoch, augmentation=plain), 2))
        sides["onehot, half turned"].append(best(lambda size, epoch: ours.onehot(size, epoch, augmentation=turned), 1))
        sides["zarr"].append(zarr_rates(store, windows=100 if small else 400, batches=3 if small else 10))
        sides["peer"].append(genvarloader(folder, 1 if small else 2))
    return sides


def run(scratch: Path, small: bool = False) -> dict[str, Any]:
    """Measure and show; ``small`` for trying out."""
    write_inputs(scratch, genome=10_000_000 if small else 100_000_000, regions=10_000 if small else 100_000)
    store = make_store(scratch)
    started = time.perf_counter()
    ours = Ours(store, scratch / "cache")
    built = time.perf_counter() - started
    assert open_dataset(store).rows == len(ours.rows)
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(everywhere)})
    try:
        rates = copy_rates()
        sides = _measure(scratch, ours, store, rounds=1 if small else 3, small=small)
    finally:
        os.sched_setaffinity(0, everywhere)
    results = _summary(ours, rates, sides) | {
        "windows": len(ours.rows), "length": LENGTH, "cache built, windows/s": len(ours.rows) / built,
        "drg-train data_wait": data_wait(scratch, epochs=1 if small else 2),
    }  # fmt: skip
    _show(results)
    return results


def _summary(ours: Ours, rates: dict[str, float], sides: dict[str, Any]) -> dict[str, Any]:
    bounds = {"codes": rates["copy"] / LENGTH, "onehot": rates["write"] / (16 * LENGTH)}
    mine = {name: max(sides[name]) for name in ("codes", "onehot", "onehot, half turned")}
    slices = {name: max(found[name] for found in sides["zarr"]) for name in sides["zarr"][0]}
    results: dict[str, Any] = {
        "copy and write, bytes/s": rates,
        "bound": bounds,
        "ours": {name: value for name, (value, _) in mine.items()},
        "batch size": {name: size for name, (_, size) in mine.items()},
        "zarr": slices,
        "zarr ratio": {name: mine["onehot"][0] / value for name, value in slices.items()},
    }
    peers = [peer for peer in sides["peer"] if peer is not None]
    if peers:
        assert all(peer["sha256"] == ours.digest() for peer in peers), "both sides deliver the same windows"
        for kind, key in (("codes", "windows"), ("onehot", "onehot")):
            ways = {name: max(peer[key][name] for peer in peers) for name in peers[0][key]}
            name = max(ways, key=lambda way: ways[way])
            results[f"genvarloader {kind}"] = {"best": name, "ways": ways, "ratio": mine[kind][0] / ways[name]}
        results["genvarloader"] = {"version": peers[0]["version"], "failed": peers[0]["failed"]}
    return results


def _show(results: dict[str, Any]) -> None:
    ours, bound, rates = results["ours"], results["bound"], results["copy and write, bytes/s"]
    rows = [("windows of 2,114 bp, shuffled, one core", "windows/s", "of the bound")]
    for name, kind in (("codes", "codes"), ("onehot", "onehot"), ("onehot, half turned", "onehot")):
        rows.append((f"drg-train's loader: {name}", f"{ours[name]:,.0f}", f"{ours[name] / bound[kind]:.0%}"))
    for kind in ("codes", "onehot"):
        if peer := results.get(f"genvarloader {kind}"):
            ratio = f"ours {peer['ratio']:.2f}x"
            rows.append((f"GenVarLoader: {kind} ({peer['best']})", f"{peer['ways'][peer['best']]:,.0f}", ratio))
    for name, value in results["zarr"].items():
        rows.append((f"zarr: one-hot bool, {name}", f"{value:,.0f}", f"ours {results['zarr ratio'][name]:,.0f}x"))
    show(f"copy {rates['copy'] / 1e9:.1f} GB/s, write {rates['write'] / 1e9:.1f} GB/s", rows)
    print(f"  cache built at {results['cache built, windows/s']:,.0f} windows/s")
    print(f"  drg-train, configs/ctcf.toml: {results['drg-train data_wait']:.2%} of the time waiting for data")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), small="--small" in sys.argv)
