"""drg-stats on a large attribution file: seconds and memory, beside as many processes that only read it with h5py.

Bound: every compressed chunk of ``projected`` and ``raw/seq`` is read and inflated once.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from common import cpu_count, show, timed
from stores_fill import Memory

from drg_hpc.results import attributions, h5
from drg_hpc.results.attributions_layout import Layout

from bodies.seqlet_runs import write_attributions  # isort: skip  # common finds the tests' folder

LENGTH, BLOCK, PIECE = 1000, 64, 4096


def write_file(path: Path, *, pieces: int, rows: int, tracks: int) -> None:
    """Attributions as dense as real ones: noise, and a strong stretch of 20 bases a row; the same piece several times.

    Pieces are merged as those of shards are; every chunk is read and inflated by itself, so that equal ones cost as
    much as others.
    """
    rng = np.random.default_rng(0)
    projected = rng.normal(0, 0.01, (rows, LENGTH)).astype(np.float32)
    start = rng.integers(0, LENGTH - 20, rows)
    projected[np.arange(rows)[:, None], start[:, None] + np.arange(20)] += rng.normal(0.5, 0.2, (rows, 20))
    codes = rng.integers(0, 4, (rows, LENGTH), dtype=np.int8)
    onehot = (codes[:, None] == np.arange(4, dtype=np.int8)[:, None]).astype(np.int8)
    piece = path.with_suffix(".piece")
    write_attributions(piece, projected, onehot, tracks=tracks, keep=False)
    layout = Layout(
        inputs=(("sequence", LENGTH),), tracks=tuple((i, f"track {i}") for i in range(tracks)), form="hypothetical",
        keep_form=False, form_is_contribution=True, dtype="float32", unkept=True,
    )  # fmt: skip
    parts = [h5.PartFile(piece, i * rows, (i + 1) * rows) for i in range(pieces)]
    attributions.merge(parts, path, plan=layout, attributes={"seed": 0})
    piece.unlink()


def read_rows(job: tuple[Path, int, int, int]) -> tuple[int, float]:
    """What h5py alone does: read the rows of every track and of the sequences; the values read and seconds of CPU."""
    path, tracks, start, stop = job
    count, began = 0, time.process_time()
    with h5py.File(path, "r") as handle:
        for at in range(start, stop, BLOCK):
            end = min(at + BLOCK, stop)
            count += handle["raw/seq"][at:end].size
            count += sum(handle[f"tracks/{track:05d}/projected"][at:end].size for track in range(tracks))
    return count, time.process_time() - began


def read_all(path: Path, *, rows: int, tracks: int, workers: int) -> tuple[float, float]:
    """Seconds of reading, on the clock and of CPU, in processes that are there and have imported what they need."""
    step = 64 * BLOCK
    jobs = [(path, tracks, at, min(at + step, rows)) for at in range(0, rows, step)]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        pool.map(read_rows, [(path, tracks, 0, BLOCK)] * (4 * workers), chunksize=1)
        started = time.perf_counter()
        found = list(pool.imap_unordered(read_rows, jobs))
        seconds = time.perf_counter() - started
    assert sum(count for count, _ in found) == rows * LENGTH * (4 + tracks)
    return seconds, sum(cpu for _, cpu in found)


def run_stats(file: Path, out: Path, *, workers: int) -> tuple[float, float]:
    """Seconds of one drg-stats, on the clock and of the CPU of all its processes."""
    before = os.times()
    seconds = timed("drg-stats", file, "--workers", workers, "-o", out)
    after = os.times()
    return seconds, after.children_user + after.children_system - before.children_user - before.children_system


def run(scratch: Path, *, small: bool = False) -> dict[str, Any]:
    """Both in turn; drg-stats with the start of its processes, and without, which a tiny file shows."""
    pieces, tracks = (4, 2) if small else (61, 5)
    rows = pieces * PIECE
    workers = min(cpu_count(), 2)
    large, tiny = scratch / "large.h5", scratch / "tiny.h5"
    write_file(large, pieces=pieces, rows=PIECE, tracks=tracks)
    write_file(tiny, pieces=1, rows=BLOCK, tracks=tracks)
    run_stats(tiny, scratch / "warm.h5", workers=workers)
    reading, whole, start, memories = [], [], [], []
    for turn in range(3):
        reading.append(read_all(large, rows=rows, tracks=tracks, workers=workers))
        start.append(run_stats(tiny, scratch / f"tiny{turn}.h5", workers=workers))
        with Memory() as memory:
            whole.append(run_stats(large, scratch / f"{turn}.h5", workers=workers))
        memories.append(memory)
    assert len({(scratch / f"{turn}.h5").read_bytes() for turn in range(3)}) == 1
    found: dict[str, Any] = {
        "rows": rows, "tracks": tracks, "length": LENGTH, "workers": workers,
        "values_gb": round(rows * LENGTH * 4 * tracks / 1e9, 2), "file_gb": round(large.stat().st_size / 1e9, 2),
        "memory_all_mb": round(max(memory.total for memory in memories) / 1e6),
        "memory_largest_mb": round(max(memory.largest for memory in memories) / 1e6),
        "asked": {"speed_of_h5py": 0.6, "memory_all_mb": 1500},
    }  # fmt: skip
    for number, kind in enumerate(("seconds", "cpu_seconds")):
        read, stats, begun = (float(np.median([one[number] for one in all_])) for all_ in (reading, whole, start))
        found[kind] = {
            "h5py": round(read, 2), "stats": round(stats, 2), "start": round(begun, 2),
            "speed_of_h5py": round(read / stats, 3), "speed_of_h5py_without_start": round(read / (stats - begun), 3),
        }  # fmt: skip
    groups = {key: value if isinstance(value, dict) else {"": value} for key, value in found.items()}
    lines = [(f"{key} {name}", str(value)) for key, group in groups.items() for name, value in group.items()]
    show("drg-stats", [("what", "value"), *lines])
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
