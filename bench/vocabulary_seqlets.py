"""Calling seqlets: in memory against tangermeme on one core each, and as a run over a file of 2 GB in bounded memory.

``recursive`` is timed twice: compat (positive seqlets only, what tangermeme calls) against tangermeme in turn, and the
two-sided default. tfmodisco and zscore are timed alone. The file is projected attributions of one track; the memory is
the peak of the drg-seqlets processes, of which there is one worker.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import ROOT, argv, environment, show

LENGTH = 1000
REPEATS = 7


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
    started = time.perf_counter()
    found = call()
    return time.perf_counter() - started, len(found)


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


def _write(path: Path, rows: int) -> None:
    from bodies.seqlet_runs import write_attributions

    values = np.concatenate([tracks(min(10_000, rows - at), at) for at in range(0, rows, 10_000)])
    onehot = np.zeros((rows, 4, LENGTH), np.int8)
    onehot[:, 0] = 1
    write_attributions(path, values, onehot, tracks=1, keep=False)


def _as_runs(scratch: Path, rows: int) -> dict[str, Any]:
    source = scratch / "attr.h5"
    child = os.fork()  # what makes the file may not count as memory of what reads it
    if child == 0:
        _write(source, rows)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    results: dict[str, Any] = {"rows": rows, "length": LENGTH, "bytes": rows * LENGTH * 4}
    for method in ("recursive", "tfmodisco", "zscore"):
        digests = []
        for shards in (1 if rows < 20_000 else rows // 20_000, 3):
            out = scratch / f"{method}{shards}"
            code = argv("drg-seqlets", source, "-o", out, "--method", method, "--shards", shards, "--workers", 1)
            started = time.perf_counter()
            subprocess.run(code, check=True, env=environment(OMP_NUM_THREADS="1"), capture_output=True)
            seconds = time.perf_counter() - started
            digests.append(
                subprocess.run(["sha256sum", out / "out.h5"], capture_output=True, text=True).stdout.split()[0]
            )
            if len(digests) == 1:
                peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
                results[method] = {"shards": shards, "seconds": seconds, "peak_mib_so_far": peak}
        assert len(set(digests)) == 1, f"{method}: other bytes with other shards"
    return results


def run(scratch: Path, *, small: bool) -> dict[str, Any]:
    """Both parts; prints a table."""
    memory = _in_memory(scratch, 2_000 if small else 20_000)
    theirs = memory["seconds"]["tangermeme"]
    show(
        f"seqlets in memory, {memory['rows']} x {LENGTH}, one core",
        [("side", "seconds", "seqlets", "speed against tangermeme")]
        + [(n, f"{s:.3f}", str(memory["seqlets"][n]), f"{theirs / s:.2f}") for n, s in memory["seconds"].items()],
    )
    runs = _as_runs(scratch, 4_000 if small else 500_000)
    show(
        f"drg-seqlets on {runs['bytes'] / 1e9:.1f} GB, one worker",
        [("method", "shards", "seconds", "peak MiB so far")]
        + [
            (name, str(item["shards"]), f"{item['seconds']:.1f}", f"{item['peak_mib_so_far']:.0f}")
            for name, item in runs.items()
            if isinstance(item, dict)
        ],
    )
    return {"memory": memory, "runs": runs}
