"""Values of 1,000 regions x 100 bigWig files: our reader on one and two cores against pyBigWig called per region.

pyBigWig's side is the fastest of values, values(numpy=True) and exact stats, each file open throughout, on one core; it
computes the same means over all base pairs. Scattered regions meet a data block each (nothing to share); neighbouring
ones are a part of a sorted BED file. Bound: inflating the same data blocks and nothing else.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyBigWig
from common import show
from numpy.typing import NDArray

from drg_hpc.genome.bigwig_file import BLOCK_LIMIT
from drg_hpc.genome.bigwig_header import read_header
from drg_hpc.genome.bigwig_index import Blocks, OpenFile, find_blocks, merge_spans
from drg_hpc.genome.bigwig_reader import BigWigReader, Intervals
from drg_hpc.genome.inflate import inflate

REGIONS, SPACING = 1000, 10_000
Call = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """``layout`` of the regions, ``kind`` of the files, and how many files are read."""

    layout: str
    kind: str
    length: int
    bins: int
    files: int

    def __str__(self) -> str:
        per = f"bins of {self.length // self.bins}" if self.bins else "one value"
        return f"{self.layout}, {self.kind}, {self.length} bp, {per}"


def write_dense(path: Path, contigs: dict[str, int], rng: np.random.Generator) -> None:
    """Coverage in 32 bp steps, as hg38_tiny's: most steps near zero, some peaks."""
    with pyBigWig.open(str(path), "w") as handle:
        handle.addHeader(list(contigs.items()))
        for name, length in contigs.items():
            steps = length // 32
            level = np.repeat(rng.gamma(0.3, 2, steps // 16 + 1), 16)[:steps]
            values = (rng.poisson(level * 8) / 8 * rng.uniform(0.9, 1.1, steps)).astype(np.float32)
            handle.addEntries(name, 0, values=values, span=32, step=32)


def write_sparse(path: Path, contigs: dict[str, int], rng: np.random.Generator) -> None:
    """Runs of any length with gaps, as ATAC-seq pile-ups have."""
    with pyBigWig.open(str(path), "w") as handle:
        handle.addHeader(list(contigs.items()))
        for name, length in contigs.items():
            runs = length // 64
            widths = rng.integers(1, 100, runs)
            ends = np.cumsum(widths + np.where(rng.random(runs) < 0.2, rng.integers(1, 150, runs), 0))
            runs = int(np.searchsorted(ends, length))
            values = (rng.geometric(0.3, runs) * 0.13375).astype(np.float32)
            starts = (ends - widths)[:runs]
            handle.addEntries([name] * runs, starts.tolist(), ends=ends[:runs].tolist(), values=values)


def places(layout: str, length: int, contigs: dict[str, int]) -> tuple[list[str], NDArray[np.int64]]:
    """Contigs and starts of the regions, sorted."""
    rng, names, size = np.random.default_rng(7), list(contigs), min(contigs.values())
    if layout == "scattered":
        which = np.sort(rng.integers(0, len(names), REGIONS))
        starts = rng.integers(0, size - length, REGIONS)
        order = np.lexsort([starts, which])
        return [names[i] for i in which], starts[order]
    reach = min(REGIONS * SPACING, size - length)
    return [names[0]] * REGIONS, np.sort(rng.integers(0, reach, REGIONS))


def by_pybigwig(way: str, handle: Any, names: list[str], starts: list[int], case: Case) -> NDArray[np.float32]:
    """Means (regions, bins) over all base pairs, one call of pyBigWig per region."""
    bins = case.bins or 1
    out = np.empty((len(starts), bins), np.float32)
    for i, (name, start) in enumerate(zip(names, starts, strict=True)):
        end = start + case.length
        if way == "stats":
            sums = handle.stats(name, start, end, type="sum", exact=True, nBins=bins)
            out[i] = [(value or 0.0) * bins / case.length for value in sums]
        else:
            values = np.asarray(handle.values(name, start, end, numpy=way == "values_numpy"), np.float32)
            out[i] = np.nan_to_num(values, copy=False).reshape(bins, -1).mean(axis=1, dtype=np.float64)
    return out


def seconds(call: Call) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def inflate_only(files: list[Path], intervals: Intervals) -> tuple[Call, int]:
    """A call that inflates the blocks the regions need, and the bytes that come out."""
    start, end = merge_spans(*(intervals.contig << 32 | part for part in (intervals.start, intervals.end)))
    stored: list[tuple[memoryview, int]] = []
    for path in files:
        file = OpenFile(path, read_header(path), os.open(path, os.O_RDONLY))
        blocks: Blocks = find_blocks(file, start, end)
        for offset, size in zip(blocks.offset.tolist(), blocks.size.tolist(), strict=True):
            stored.append((memoryview(file.read(offset, size, "data")), file.header.buffer))
        os.close(file.descriptor)
    total = sum(len(inflate(block, room, BLOCK_LIMIT)) for block, room in stored)
    return lambda: [inflate(block, room, BLOCK_LIMIT) for block, room in stored], total


def measure(case: Case, files: list[Path], contigs: dict[str, int], repeats: int) -> dict[str, Any]:
    """Median seconds of each side, in turn."""
    names, starts = places(case.layout, case.length, contigs)
    intervals = Intervals.of(names, starts, starts + case.length, contigs=contigs)
    chosen = [files[i % len(files)] for i in range(case.files)]
    handles = [pyBigWig.open(str(path)) for path in chosen]
    places_list = starts.tolist()
    ways = {
        way: min(seconds(lambda way=way: by_pybigwig(way, handles[0], names, places_list, case)) for _ in range(2))
        for way in ("values", "values_numpy", "stats")
    }
    fastest = min(ways, key=lambda way: ways[way])
    bound, inflated = inflate_only(chosen[: len(files)], intervals)
    with BigWigReader(chosen, contigs) as one, BigWigReader(chosen, contigs, threads=2) as two:
        got = one.read(intervals, bins=case.bins)
        want = by_pybigwig(fastest, handles[0], names, places_list, case)
        np.testing.assert_allclose(got[:, 0].reshape(want.shape), want, rtol=1e-5, atol=1e-6)
        sides: dict[str, Call] = {
            "pybigwig": lambda: [by_pybigwig(fastest, handle, names, places_list, case) for handle in handles],
            "one_core": lambda: one.read(intervals, bins=case.bins),
            "two_cores": lambda: two.read(intervals, bins=case.bins),
            "inflate_only": bound,
        }
        times: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(repeats):
            for side, call in sides.items():
                times[side].append(seconds(call))
    for handle in handles:
        handle.close()
    found = {side: statistics.median(values) for side, values in times.items()}
    found["inflate_only"] *= case.files / min(len(files), case.files)
    return {
        "fastest": fastest,
        "pybigwig_us_per_region": {way: value / REGIONS * 1e6 for way, value in ways.items()},
        "seconds": found,
        "ratio_one_core": found["pybigwig"] / found["one_core"],
        "ratio_two_cores": found["pybigwig"] / found["two_cores"],
        "share_inflating": found["inflate_only"] / found["one_core"],
        "inflate_mb_per_s": inflated * case.files / min(len(files), case.files) / found["inflate_only"] / 1e6,
    }


def run(scratch: Path, small: bool = False) -> dict[str, Any]:
    """Measure all cases."""
    contigs = {f"chr{i}": 2_000_000 if small else 120_000_000 for i in range(1, 5)}
    files: dict[str, list[Path]] = {"dense": [], "sparse": []}
    for number in range(1 if small else 3):
        for kind, write in (("dense", write_dense), ("sparse", write_sparse)):
            files[kind].append(scratch / f"{kind}{number}.bw")
            write(files[kind][-1], contigs, np.random.default_rng(number))
    many, few, repeats = (4, 2, 1) if small else (100, 20, 3)
    cases = [
        Case(layout, kind, length, bins, many if length == 500 else few)
        for layout in ("scattered", "neighbouring")
        for kind in ("dense", "sparse")
        for length, bins in ((500, 0), (2114, 0), (512, 16), (2112, 66))
    ]
    results: dict[str, Any] = {"inflate": "libdeflate", "regions": REGIONS}
    rows: list[tuple[str, ...]] = [("1,000 regions", "files", "pyBigWig", "1 core", "2 cores", "inflating", "MB/s")]
    for case in cases:
        found = measure(case, files[case.kind], contigs, repeats)
        results[str(case)] = {"files": case.files, **found}
        rows.append(
            (
                str(case),
                str(case.files),
                f"{found['seconds']['pybigwig']:.2f} s ({found['fastest']})",
                f"{found['ratio_one_core']:.2f} x",
                f"{found['ratio_two_cores']:.2f} x",
                f"{found['share_inflating']:.0%}",
                f"{found['inflate_mb_per_s']:.0f}",
            )
        )
    show("bigWig, inflated by libdeflate (limits 1.5 x on one core, 2.5 x on two)", rows)
    return results
