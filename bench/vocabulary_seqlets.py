"""Calling seqlets: in memory against tangermeme on one core each, and as a run over a file of 2 GB in bounded memory.

In memory, seconds are those of the CPU, and sides take turns. ``recursive`` is timed twice: compat (positive seqlets
only, what tangermeme calls), and the two-sided default. tfmodisco and zscore have no peer there. The memory is that of
the largest process of drg-seqlets while it reads 2 GB of attributions of two tracks, beside what its plan says; the
plan is also made for 100 GB. A tenth of the file is read with other numbers of shards, which may not change a byte.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import ROOT, argv, environment, show
from stores_fill import Memory

from drg_hpc.files import sha256_file

LENGTH, TRACKS = 1000, 2
REPEATS = 7
METHODS = ("recursive", "tfmodisco", "zscore")


def tracks(rows: int, seed: int) -> Any:
    """Laplace noise with two stretches of either sign in every row."""
    rng = np.random.default_rng(seed)
    values = rng.laplace(0, 1, (rows, LENGTH)).astype(np.float32)
    starts, heights = rng.integers(0, LENGTH - 12, (rows, 2)), rng.choice([3, -3, 2], (rows, 2))
    for row in range(rows):
        for start, height in zip(starts[row], heights[row], strict=True):
            values[row, start : start + 12] += height
    return values


def _seconds(call: Callable[[], Any]) -> tuple[float, int]:
    """Seconds of the CPU, and how many seqlets."""
    started = time.process_time()
    found = call()
    return time.process_time() - started, len(found)


def _in_memory(scratch: Path, rows: int) -> dict[str, Any]:
    from drg_hpc.interpretation.seqlet_methods import call_seqlets

    values = tracks(rows, 0)
    np.save(scratch / "in.npy", values)
    sides: dict[str, Callable[[], Any]] = {
        "compat": lambda: call_seqlets(values, compat=True),
        "two-sided": lambda: call_seqlets(values),
        "tfmodisco": lambda: call_seqlets(values, "tfmodisco"),
        "zscore": lambda: call_seqlets(values, "zscore"),
    }
    line = [str(ROOT / ".venv-peers/bin/python"), str(ROOT / "bench/peer_seqlets.py"), str(scratch / "in.npy")]
    single = environment(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in ("tangermeme", *sides)}
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=single) as peer:
        assert peer.stdin is not None and peer.stdout is not None
        version = peer.stdout.readline().strip()
        for call in sides.values():
            call()
        for _ in range(REPEATS):
            peer.stdin.write("again\n")
            peer.stdin.flush()
            seconds, count = peer.stdout.readline().split()
            found["tangermeme"].append((float(seconds), int(count)))
            for name, call in sides.items():
                found[name].append(_seconds(call))
        peer.stdin.close()
    assert found["compat"][0][1] == found["tangermeme"][0][1], "other calls than tangermeme's"
    return {
        "rows": rows, "length": LENGTH, "tangermeme": version,
        "seconds": {name: statistics.median(item[0] for item in runs) for name, runs in found.items()},
        "spread": {name: [min(runs)[0], max(runs)[0]] for name, runs in found.items()},
        "seqlets": {name: runs[0][1] for name, runs in found.items()},
    }  # fmt: skip


class _Rows:
    """An array (rows, LENGTH) that is made block by block, as it is asked for."""

    def __init__(self, rows: int) -> None:
        self.shape = (rows, LENGTH)

    def __getitem__(self, block: slice) -> Any:
        return tracks(block.stop - block.start, block.start)


class _Bases:
    """One-hot rows of one base."""

    def __getitem__(self, block: slice) -> Any:
        onehot = np.zeros((block.stop - block.start, 4, LENGTH), np.int8)
        onehot[:, 0] = 1
        return onehot


def _attributions(folder: Path, rows: int, planned: int | None = None) -> Path:
    """An attribution run; with ``planned``, one that says it has so many rows."""
    from bodies.seqlet_runs import write_attributions, write_done

    folder.mkdir()
    write_attributions(folder / "out.h5", _Rows(rows), _Bases(), tracks=TRACKS, keep=False)  # type: ignore[arg-type]
    names = [f"track {i}" for i in range(TRACKS)]
    write_done(folder, "attr", {"rows": planned or rows, "length": LENGTH, "tracks": names})
    return folder


def _seqlets(source: Path, out: Path, method: str, *more: object) -> Any:
    """The result of one drg-seqlets."""
    code = argv("drg-seqlets", source, "-o", out, "--method", method, "--workers", 1, "--json", *more)
    done = subprocess.run(code, check=True, env=environment(), capture_output=True, text=True)
    return json.loads(done.stdout)


def _plan(source: Path, scratch: Path, method: str, rows: int) -> dict[str, Any]:
    """What the plan says, in numbers."""
    told = _seqlets(source, scratch / "never", method, "--dry-run")
    shards = told["shards"]["calls"]
    return {
        "rows": rows, "gb_of_values": round(rows * LENGTH * TRACKS * 4 / 1e9, 1), "shards": told["shards"],
        "mb_a_shard_reads": round(-(-rows // shards) * LENGTH * TRACKS * 4 / 1e6),
        "gb_on_disk": round(told["bytes"] / 1e9, 1), "memory_mb": round(told["memory"] / 1e6),
    }  # fmt: skip


def _as_runs(scratch: Path, rows: int) -> dict[str, Any]:
    large, part = _attributions(scratch / "large", rows), _attributions(scratch / "part", rows // 10)
    huge = _attributions(scratch / "huge", 64, planned=50 * rows)
    results: dict[str, Any] = {}
    for method in METHODS:
        plans = {"plan": _plan(large, scratch, method, rows), "plan_50_times": _plan(huge, scratch, method, 50 * rows)}
        started = time.perf_counter()
        with Memory() as memory:
            found = _seqlets(large, scratch / method, method)
        seconds = time.perf_counter() - started
        shutil.rmtree(scratch / method)
        results[method] = {
            "seconds": round(seconds, 1), "seqlets": found["summary"]["rows"],
            "largest_process_mb": round(memory.largest / 1e6), "processes_mb": round(memory.total / 1e6),
            **plans, "sharded_equal": _same_bytes(part, scratch, method),
        }  # fmt: skip
        planned = plans["plan"]["memory_mb"] * 1e6
        assert memory.largest <= planned, f"{method}: {memory.largest} bytes of memory, {planned} planned"
    return results


def _same_bytes(source: Path, scratch: Path, method: str) -> list[int]:
    """Numbers of shards that gave one and the same file."""
    counts, digests = [1, 3, 7], set()
    for shards in counts:
        out = scratch / f"{method}-{shards}"
        _seqlets(source, out, method, "--shards", shards)
        digests.add(sha256_file(out / "out.h5"))
        shutil.rmtree(out)
    assert len(digests) == 1, f"{method}: other bytes with other shards"
    return counts


def run(scratch: Path, *, small: bool) -> dict[str, Any]:
    """Both parts; prints tables."""
    return {"memory": in_memory(scratch, small=small), "runs": as_runs(scratch, small=small)}


def in_memory(scratch: Path, *, small: bool) -> dict[str, Any]:
    """The first part."""
    memory = _in_memory(scratch, 2_000 if small else 20_000)
    theirs = memory["seconds"]["tangermeme"]
    show(
        f"seqlets in memory, {memory['rows']} x {LENGTH}, one core",
        [("side", "seconds", "seqlets", "speed against tangermeme")]
        + [(n, f"{s:.3f}", str(memory["seqlets"][n]), f"{theirs / s:.2f}") for n, s in memory["seconds"].items()],
    )
    return memory


def as_runs(scratch: Path, *, small: bool) -> dict[str, Any]:
    """The second part."""
    runs = _as_runs(scratch, 4_000 if small else 250_000)
    table = [("method", "GB", "rows", "shards", "MB a shard reads", "planned MB", "largest process MB", "seconds")]
    for method, found in runs.items():
        for plan in ("plan", "plan_50_times"):
            said, here = found[plan], plan == "plan"
            shards = " + ".join(f"{count} {stage}" for stage, count in said["shards"].items())
            measured = (str(found["largest_process_mb"]), str(found["seconds"])) if here else ("", "")
            numbers = (said["gb_of_values"], said["rows"], shards, said["mb_a_shard_reads"], said["memory_mb"])
            table.append((method, *map(str, numbers), *measured))
    show("drg-seqlets over attributions of two tracks, one worker", table)
    return runs
