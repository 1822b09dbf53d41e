"""drg-stats on a large attribution file: seconds and memory, beside as many processes that only read it with h5py.

Bound: every compressed chunk of ``projected`` and ``raw/seq`` is read and inflated once.
"""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from common import cpu_count, show, timed
from stores_fill import Memory

from bodies.seqlet_runs import write_attributions  # isort: skip  # common finds the tests' folder

LENGTH, BLOCK = 1000, 64


def write_file(path: Path, *, rows: int, tracks: int) -> None:
    """Attributions as dense as real ones: noise, and a strong stretch of 20 bases a row."""
    rng = np.random.default_rng(0)
    projected = rng.normal(0, 0.01, (rows, LENGTH)).astype(np.float32)
    start = rng.integers(0, LENGTH - 20, rows)
    projected[np.arange(rows)[:, None], start[:, None] + np.arange(20)] += rng.normal(0.5, 0.2, (rows, 20))
    codes = rng.integers(0, 4, (rows, LENGTH), dtype=np.int8)
    onehot = (codes[:, None] == np.arange(4, dtype=np.int8)[:, None]).astype(np.int8)
    write_attributions(path, projected, onehot, tracks=tracks, keep=False)


def read_rows(job: tuple[Path, int, int, int]) -> int:
    """What h5py alone does: read the rows of every track and of the sequences; the values read."""
    path, tracks, start, stop = job
    count = 0
    with h5py.File(path, "r") as handle:
        for at in range(start, stop, BLOCK):
            end = min(at + BLOCK, stop)
            count += handle["raw/seq"][at:end].size
            count += sum(handle[f"tracks/{track:05d}/projected"][at:end].size for track in range(tracks))
    return count


def read_all(path: Path, *, rows: int, tracks: int, workers: int) -> float:
    """Seconds of reading in processes that are there already."""
    step = 64 * BLOCK
    jobs = [(path, tracks, at, min(at + step, rows)) for at in range(0, rows, step)]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        pool.map(abs, range(workers))
        started = time.perf_counter()
        assert sum(pool.imap_unordered(read_rows, jobs)) == rows * LENGTH * (4 + tracks)
        return time.perf_counter() - started


def run(scratch: Path, *, small: bool = False) -> dict[str, Any]:
    """Seconds of both, in turn; drg-stats with the start of its processes, and without, which a tiny file shows."""
    rows, tracks = (20_000, 2) if small else (250_000, 4)
    workers = min(cpu_count(), 2)
    large, tiny = scratch / "large.h5", scratch / "tiny.h5"
    write_file(large, rows=rows, tracks=tracks)
    write_file(tiny, rows=64, tracks=tracks)
    timed("drg-stats", tiny, "--workers", workers, "-o", scratch / "warm.h5")
    reading, whole, start = [], [], []
    with Memory() as memory:
        for turn in range(3):
            reading.append(read_all(large, rows=rows, tracks=tracks, workers=workers))
            start.append(timed("drg-stats", tiny, "--workers", workers, "-o", scratch / f"tiny{turn}.h5"))
            whole.append(timed("drg-stats", large, "--workers", workers, "-o", scratch / f"{turn}.h5"))
    read, stats, begun = (float(np.median(values)) for values in (reading, whole, start))
    found = {
        "rows": rows, "tracks": tracks, "length": LENGTH, "workers": workers,
        "values_gb": round(rows * LENGTH * 4 * tracks / 1e9, 2), "file_gb": round(large.stat().st_size / 1e9, 2),
        "h5py_seconds": round(read, 2), "stats_seconds": round(stats, 2), "start_seconds": round(begun, 2),
        "speed_of_h5py": round(read / stats, 3), "speed_of_h5py_without_start": round(read / (stats - begun), 3),
        "memory_all_mb": round(memory.total / 1e6), "memory_largest_mb": round(memory.largest / 1e6),
    }  # fmt: skip
    show("drg-stats", [("what", "value"), *((key, str(value)) for key, value in found.items())])
    return found


if __name__ == "__main__":
    import argparse
    import tempfile

    from common import save

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="small inputs, nothing saved")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = run(Path(folder), small=options.small)
    if not options.small:
        print(f"written: {save('vocabulary-stats', results)}")
