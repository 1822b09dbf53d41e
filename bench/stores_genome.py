"""FASTA -> one-hot store, written and verified: rates against zarr's own, bytes a base, memory, and two workers.

Every figure is taken in a fresh process, after imports and one tiny genome (numba's kernels are loaded by then), in
turn, and the median of several is shown. "written and verified" is, for us, plan (file and contigs hashed, letters
checked and counted), work and merge (every part hashed, store hashed, all flushed to disk); for zarr, writing the array
from memory and reading it back, no FASTA, no hashing, no flush.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import resource
import shutil
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "BLOSC_NTHREADS"), "1")

from common import cpu_count, show
from support import environment

from drg_hpc.bodies import shard_genome_plan
from drg_hpc.runs.plan import Plan, read_plan, write_plan

LENGTH, SMALL = 250_000_000, 10_000_000
REPEATS = 5
WIDTH, RUN = 60, 300


def write_fasta(path: Path, length: int) -> None:
    """One contig of random bases, half of it lower case in runs, with a run of N every 10 Mbp; lines of 60."""
    rng = np.random.default_rng(0)
    block = WIDTH * 50_000
    with open(path, "wb") as handle:
        handle.write(b">chr1 synthetic\n")
        for start in range(0, length, block):
            size = min(block, length - start)
            letters = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, size, dtype=np.uint8)]
            lower = rng.random(size // RUN + 1) < 0.5
            letters = letters | (np.repeat(lower, RUN)[:size].astype(np.uint8) << 5)
            if start % 9_000_000 == 0:
                letters[:50_000] = ord("N")
            lines = np.full((-(-size // WIDTH), WIDTH + 1), ord("\n"), np.uint8)
            padded = np.full(lines.shape[0] * WIDTH, ord("N"), np.uint8)
            padded[:size] = letters
            lines[:, :WIDTH] = padded.reshape(-1, WIDTH)
            text = lines.tobytes()
            handle.write(text if size == block else text[: size + size // WIDTH] + b"\n")


def codes_of(path: Path) -> NDArray[np.uint8]:
    """Base codes of the FASTA, read without the package's reader."""
    from drg_hpc.genome.onehot import encode

    return encode(path.read_bytes().split(b"\n", 1)[1].replace(b"\n", b""))


def warm(folder: Path) -> None:
    """Import what is needed and load the compiled kernels."""
    tiny = folder / f"tiny-{os.getpid()}.fa"
    tiny.write_text(">tiny\n" + "ACGTN" * 1000 + "\n")
    ours(tiny, folder / f"tiny-{os.getpid()}")


def pin(cpus: int) -> None:
    """Keep this process on so many CPUs."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cpus])


def plan_of(fasta: Path, run: Path) -> Plan:
    """Plan of a run, written."""
    spec = shard_genome_plan.plan_shards(shard_genome_plan.Options(out=run, fasta=[fasta]))
    return write_plan(spec, run)


def ours(fasta: Path, run: Path) -> dict[str, float]:
    """Seconds of plan, work and merge in this process."""
    from drg_hpc.runs.merge import merge_run
    from drg_hpc.runs.work import work_run

    shutil.rmtree(run, ignore_errors=True)
    times = [time.perf_counter()]
    plan = plan_of(fasta, run)
    times.append(time.perf_counter())
    work_run(plan, device="cpu")
    times.append(time.perf_counter())
    merge_run(plan)
    times.append(time.perf_counter())
    names = ("plan", "work", "merge")
    return {name: times[i + 1] - times[i] for i, name in enumerate(names)} | {"seconds": times[-1] - times[0]}


def child_ours(folder: Path, fasta: Path) -> dict[str, Any]:
    """Our side on one core."""
    pin(1)
    warm(folder)
    found = ours(fasta, folder / "ours")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return found | {"peak_bytes": memory}


def child_zarr(folder: Path, fasta: Path) -> dict[str, Any]:
    """zarr writes and reads the array with our codecs, then plain uint8 with its defaults; one thread, one core."""
    import zarr

    from drg_hpc.genome.onehot import codes_to_onehot
    from drg_hpc.store.genome_layout import contig_geometry
    from drg_hpc.store.layout import ArraySpec
    from drg_hpc.store.zarr_io import create_array, open_array

    pin(1)
    warnings.simplefilter("ignore")
    zarr.config.set({"async.concurrency": 1, "threading.max_workers": 1})
    codes = codes_of(fasta)
    spec = ArraySpec("x", (len(codes), 4), "bool", *contig_geometry(len(codes)), "packbits", ("position", "base"))
    shutil.rmtree(folder / "zarr", ignore_errors=True)
    same = create_array(folder / "zarr", spec)
    rows = spec.shard * 4
    found = {"write": 0.0, "read": 0.0, "plain_write": 0.0, "plain_read": 0.0}
    plain = zarr.create_array(folder / "zarr" / "plain", shape=spec.shape, dtype="uint8")
    for array, name, step, dtype in ((same, "", rows, bool), (plain, "plain_", 16 * plain.chunks[0], np.uint8)):
        for start in range(0, len(codes), step):
            values = codes_to_onehot(codes[start : start + step]).view(dtype)
            began = time.perf_counter()
            array[start : start + step] = values
            found[f"{name}write"] += time.perf_counter() - began
    for array, name, step in ((open_array(folder / "zarr", "x"), "", rows), (plain, "plain_", 16 * plain.chunks[0])):
        began = time.perf_counter()
        for start in range(0, len(codes), step):
            array[start : start + step]
        found[f"{name}read"] = time.perf_counter() - began
    shutil.rmtree(folder / "zarr")
    return found


def child_bound(folder: Path, fasta: Path) -> dict[str, Any]:
    """Bytes a second of what cannot be left out: read, sha256, zstd."""
    from numcodecs.zstd import Zstd

    from drg_hpc.store.packed import pack

    pin(1)
    began = time.perf_counter()
    data = fasta.read_bytes()[:100_000_000]
    read = time.perf_counter() - began
    began = time.perf_counter()
    hashlib.sha256(data)
    hashed = time.perf_counter() - began
    codes = codes_of(fasta)[:50_000_000]
    chunks = [pack(codes[i : i + (1 << 18)], 1 << 18) for i in range(0, len(codes), 1 << 18)]
    began = time.perf_counter()
    for chunk in chunks:
        Zstd(level=1, checksum=True).encode(chunk)
    packed = time.perf_counter() - began
    return {
        "read_bytes_s": fasta.stat().st_size / read,
        "sha256_bytes_s": len(data) / hashed,
        "zstd_bases_s": len(codes) / packed,
    }


def child_worker(folder: Path, run: Path) -> dict[str, Any]:
    """A worker on one core, fed shard by shard as the local launcher feeds its workers."""
    from drg_hpc.runs.attempt import do_shard
    from drg_hpc.runs.bodies import load_body

    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, [cpus[int(os.environ["BENCH_WORKER"]) % len(cpus)]])
    warm(folder)
    print("ready", flush=True)
    sys.stdin.readline()
    plan = read_plan(run)
    body, stage = load_body(plan), plan.stages[0]
    for line in sys.stdin:
        print(do_shard(plan, stage, stage.shards[int(line)], body=body, device="cpu"), flush=True)
    return {}


def feed(worker: Any, shards: Iterator[int]) -> None:
    """Keep one worker busy until no shard is left."""
    for shard in shards:
        worker.stdin.write(f"{shard}\n")
        worker.stdin.flush()
        assert worker.stdout.readline() == "done\n"


def child_whole(folder: Path, fasta: Path) -> dict[str, Any]:
    """Plan and merge on as many cores as there are workers, work in worker processes."""
    from drg_hpc.runs.merge import merge_run

    workers = int(os.environ["BENCH_WORKERS"])
    run = folder / "whole"
    shutil.rmtree(run, ignore_errors=True)
    crew: list[subprocess.Popen[str]] = []
    for number in range(workers):
        command = [sys.executable, __file__, "worker", str(folder), str(run)]
        changed = environment(BENCH_WORKER=str(number))
        crew.append(subprocess.Popen(command, env=changed, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    for worker in crew:
        assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    pin(workers)
    warm(folder)
    began = time.perf_counter()
    plan = plan_of(fasta, run)
    planned = time.perf_counter()
    shards = queue.SimpleQueue[int]()
    for shard in plan.stages[0].shards:
        shards.put(shard.id)
    for worker in crew:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda worker: feed(worker, _drained(shards)), crew))
    worked = time.perf_counter()
    merge_run(plan)
    merged = time.perf_counter()
    for worker in crew:
        worker.communicate()
    return {"plan": planned - began, "work": worked - planned, "merge": merged - worked, "seconds": merged - began}


def _drained(items: queue.SimpleQueue[int]) -> Iterator[int]:
    while True:
        try:
            yield items.get_nowait()
        except queue.Empty:
            return


CHILDREN = {
    function.__name__.removeprefix("child_"): function
    for function in (child_ours, child_zarr, child_bound, child_worker, child_whole)
}


def in_child(side: str, folder: Path, target: Path, **changes: str) -> dict[str, Any]:
    """What a side measures in a process of its own."""
    command = [sys.executable, __file__, side, str(folder), str(target)]
    done = subprocess.run(command, env=environment(**changes), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"bench {side} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def medians(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Median of every figure."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def paired(ours: list[dict[str, Any]], others: list[dict[str, Any]], mine: str, *names: str) -> float:
    """Median over pairs of runs, one right after the other, of the others' seconds (the sum of ``names``) by ours."""
    return statistics.median(sum(b[name] for name in names) / a[mine] for a, b in zip(ours, others, strict=True))


def run(scratch: Path, *, small: bool = False) -> dict[str, Any]:
    """All figures; prints them."""
    length = SMALL if small else LENGTH
    fasta, double = scratch / "genome.fa", scratch / "double.fa"
    write_fasta(fasta, length)
    write_fasta(double, 2 * length)
    sides: dict[str, list[dict[str, Any]]] = {name: [] for name in ("ours", "zarr", "one", "two")}
    for _ in range(1 if small else REPEATS):
        sides["ours"].append(in_child("ours", scratch, fasta))
        sides["zarr"].append(in_child("zarr", scratch, fasta))
        for workers, name in enumerate(("one", "two"), 1):
            sides[name].append(in_child("whole", scratch, fasta, BENCH_WORKERS=str(workers)))
    files = json.loads((scratch / "ours/out.zarr/manifest.json").read_text())["files"].values()
    stored = sum(record["bytes"] for record in files)
    found = {name: medians(runs) for name, runs in sides.items()}
    rates = in_child("bound", scratch, fasta)
    hashed = fasta.stat().st_size + length + 3 * stored
    bound = {
        "bytes_read": 2 * fasta.stat().st_size,
        "bytes_hashed": hashed,
        "bases_compressed": length,
        "seconds": 2 * fasta.stat().st_size / rates["read_bytes_s"]
        + hashed / rates["sha256_bytes_s"]
        + length / rates["zstd_bases_s"],
    }
    memory = {str(n * length): in_child("ours", scratch, path)["peak_bytes"] for n, path in ((1, fasta), (2, double))}
    results = {
        "bases": length,
        "bytes_a_base": stored / length,
        "sides": found,
        "runs": sides,
        "rates": rates,
        "bound": bound,
        "peak_bytes": memory,
        "cpus": cpu_count(),
    }
    return results | {"ratios": _show(results)}


def _show(results: dict[str, Any]) -> dict[str, float]:
    """Print the figures; returns the ratios that have a target."""
    sides, runs, length = results["sides"], results["runs"], results["bases"]
    ours, theirs = sides["ours"]["seconds"], sides["zarr"]["write"] + sides["zarr"]["read"]
    plain = sides["zarr"]["plain_write"] + sides["zarr"]["plain_read"]

    def rate(seconds: float) -> str:
        return f"{length / 1e6 / seconds:.0f} Mbp/s"

    show(
        f"{length / 1e6:.0f} Mbp, one core, median",
        [
            ("ours: FASTA to store", *(f"{k} {sides['ours'][k]:.2f} s" for k in ("plan", "work", "merge")), rate(ours)),
            ("zarr, the same array", f"write {sides['zarr']['write']:.2f} s", f"read {sides['zarr']['read']:.2f} s", "",
             rate(theirs)),
            ("zarr, plain uint8", f"write {sides['zarr']['plain_write']:.2f} s",
             f"read {sides['zarr']['plain_read']:.2f} s", "", rate(plain)),
            ("bound: read, hash, compress", f"{results['bound']['bytes_read'] / 1e6:.0f} MB",
             f"{results['bound']['bytes_hashed'] / 1e6:.0f} MB", f"{length / 1e6:.0f} Mbp",
             rate(results["bound"]["seconds"])),
        ],
    )  # fmt: skip
    ratios = {
        "of_zarrs_write_and_read": paired(runs["ours"], runs["zarr"], "seconds", "write", "read"),
        "of_plain_uint8": paired(runs["ours"], runs["zarr"], "seconds", "plain_write", "plain_read"),
        "two_workers_work": paired(runs["two"], runs["one"], "work", "work"),
        "two_workers_whole": paired(runs["two"], runs["one"], "seconds", "seconds"),
    }
    peak = max(results["peak_bytes"].values())
    show(
        "against the targets",
        [
            ("of zarr's own write + read", f"{ratios['of_zarrs_write_and_read']:.2f}x", ">= 0.85x"),
            ("of plain uint8 written + read", f"{ratios['of_plain_uint8']:.2f}x", ">= 4x"),
            ("bytes a base", f"{results['bytes_a_base']:.4f}", "<= 0.26"),
            ("peak memory, contig of twice the length too", f"{peak / 1e6:.0f} MB", "< 500 MB"),
            ("2 workers, work", f"{ratios['two_workers_work']:.2f}x", ">= 1.8x"),
            ("2 workers, plan + work + merge", f"{ratios['two_workers_whole']:.2f}x", ""),
        ],
    )
    return ratios


if __name__ == "__main__":
    side, folder, target = sys.argv[1:]
    print(json.dumps(CHILDREN[side](Path(folder), Path(target))), flush=True)
