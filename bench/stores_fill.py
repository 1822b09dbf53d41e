"""Fill a dataset store: regions x 500 bp x tracks from a synthetic genome, and the memory it takes.

Bound: every base pair of the bigWig files is inflated and summed once (sorted regions), every code written once.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyBigWig
from common import cpu_count, show, timed

LENGTH, STEP, CONTIGS = 500, 100, 5


class Memory:
    """Resident memory of this process's children, sampled: the largest process, and the largest sum of all."""

    def __init__(self) -> None:
        self.largest = self.total = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            sizes = []
            for process in psutil.Process().children(recursive=True):
                try:
                    sizes.append(process.memory_info().rss)
                except psutil.NoSuchProcess:
                    pass
            self.largest, self.total = max([self.largest, *sizes]), max(self.total, sum(sizes))


def write_inputs(folder: Path, *, regions: int, tracks: int, contig: int) -> None:
    """A random genome of five contigs, sorted regions, and coverage in steps of 100 bp."""
    rng = np.random.default_rng(0)
    names = [f"chr{i + 1}" for i in range(CONTIGS)]
    with open(folder / "genome.fa", "wb") as handle:
        for name in names:
            letters = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, contig, dtype=np.uint8)]
            handle.write(f">{name}\n".encode() + letters.tobytes() + b"\n")
    with open(folder / "regions.bed", "w") as handle:
        for name in names:
            starts = np.sort(rng.integers(0, contig - LENGTH, regions // CONTIGS))
            handle.writelines(f"{name}\t{start}\t{start + LENGTH}\t{name}_{i}\n" for i, start in enumerate(starts))
    with open(folder / "targets.tsv", "w") as table:
        table.write("\tidentifier\tfile\n")
        for track in range(tracks):
            table.write(f"{track}\tt{track}\tt{track}.bw\n")
            out = pyBigWig.open(str(folder / f"t{track}.bw"), "w")
            out.addHeader([(name, contig) for name in names], maxZooms=0)
            for name in names:
                values = rng.gamma(0.5, 2.0, contig // STEP).astype(np.float32).astype(float)
                out.addEntries(name, 0, values=values, span=STEP, step=STEP)
            out.close()


def run(scratch: Path, *, small: bool = False) -> dict[str, Any]:
    """Seconds and memory of ``drg-shard genome`` and ``drg-shard regions``."""
    regions, tracks, contig = (10_000, 4, 1_000_000) if small else (1_000_000, 50, 40_000_000)
    write_inputs(scratch, regions=regions, tracks=tracks, contig=contig)
    timed("drg-shard", "genome", scratch / "genome.fa", "-o", scratch / "genome")
    arguments = (
        "--genome",
        scratch / "genome",
        "--regions",
        scratch / "regions.bed",
        "--tracks",
        scratch / "targets.tsv",
    )
    with Memory() as memory:
        started = time.perf_counter()
        timed("drg-shard", "regions", *arguments, "--valid", "chr4", "--test", "chr5", "-o", scratch / "store")
        seconds = time.perf_counter() - started
    size = sum(path.stat().st_size for path in (scratch / "store/out.zarr").rglob("*") if path.is_file())
    read = sum(path.stat().st_size for path in scratch.glob("t*.bw"))
    found = {
        "regions": regions, "length": LENGTH, "tracks": tracks, "workers": cpu_count(), "seconds": round(seconds, 1),
        "rows_per_second": round(regions / seconds), "values_per_second": round(regions * tracks / seconds),
        "largest_process_gib": round(memory.largest / 2**30, 3), "all_processes_gib": round(memory.total / 2**30, 3),
        "store_bytes": size, "bigwig_bytes": read,
    }  # fmt: skip
    limit = "limit 2 GiB" if not small else ""
    show(
        f"{regions:,} regions x {LENGTH} bp x {tracks} tracks, {cpu_count()} workers",
        [
            ("seconds, planning to verified store", f"{seconds:.1f}", f"{regions / seconds:,.0f} rows/s"),
            ("largest process", f"{memory.largest / 2**30:.2f} GiB", limit),
            ("all processes together", f"{memory.total / 2**30:.2f} GiB", limit),
            ("bytes read and written", f"{read / 2**20:.0f} MiB bigWig", f"{size / 2**20:.0f} MiB store"),
        ],
    )
    return found
