"""Clustering seqlets of stated truth: time, memory, adjusted Rand index, and recall of the neighbour search.

80 % of the windows of 30 hold a site drawn from one of 40 HOCOMOCO motifs (at least 0.5 from each other by correlation
of information), on either strand, up to 5 from the centre: information times probability of the base that is there,
with normal noise of 10 % of the largest value on all bases; 20 % hold a random word of 6 to 10 bases in the same noise.
"""

from __future__ import annotations

import math
import os
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import ROOT, cpu_count, show
from stores_fill import Memory

WIDTH, MOTIFS, NOISE = 30, 40, 0.1


def chosen_motifs() -> list[Any]:
    """The first 40 of the database, in its order, that are unlike those before."""
    from drg_hpc.genome.motifs import read_meme
    from drg_hpc.interpretation.motif_distances import motif_distances

    every = read_meme(ROOT / "examples/motifs/hocomoco_v12_core.meme")
    pfms = [m.pfm for m in every if 8 <= m.pfm.shape[1] <= 20][:700]
    distance = motif_distances(pfms, information=True).distance
    kept: list[int] = []
    for i in range(len(pfms)):
        if len(kept) < MOTIFS and (not kept or distance[i, kept].min() >= 0.5):
            kept.append(i)
    assert len(kept) == MOTIFS, f"only {len(kept)} motifs are unlike each other"
    return [pfms[i] for i in kept]


def planted(n: int, seed: int) -> tuple[Any, Any]:
    """Windows (n, 4, 30) and their motif, -1 for background."""
    rng = np.random.default_rng(seed)
    motifs = chosen_motifs()
    truth = np.where(rng.random(n) < 0.2, -1, rng.integers(0, MOTIFS, n))
    out = np.zeros((n, 4, WIDTH), np.float32)
    for i, which in enumerate(truth):
        bases, heights = rng.integers(0, 4, WIDTH), np.zeros(WIDTH)
        width = int(rng.integers(6, 11)) if which < 0 else motifs[which].shape[1]
        start = int(np.clip((WIDTH - width) // 2 + rng.integers(-5, 6), 0, WIDTH - width))
        if which < 0:
            heights[start : start + width] = 1
        else:
            pfm = motifs[which]
            site = (rng.random(width) > np.cumsum(pfm, axis=0)[:3]).sum(axis=0)
            bits = 2 + (pfm * np.log2(np.maximum(pfm, 1e-9))).sum(axis=0)
            bases[start : start + width], heights[start : start + width] = site, bits * pfm[site, np.arange(width)]
        heights += rng.normal(0, NOISE * heights.max(), WIDTH)
        out[i, bases, np.arange(WIDTH)] = heights
        if rng.random() < 0.5:
            out[i] = out[i, ::-1, ::-1].copy()
    return out, truth


def adjusted_rand(a: Any, b: Any) -> float:
    """Hubert and Arabie (1985)."""
    _, x = np.unique(a, return_inverse=True)
    _, y = np.unique(b, return_inverse=True)
    table = np.zeros((x.max() + 1, y.max() + 1))
    np.add.at(table, (x, y), 1)
    cells, rows, columns = ((v * (v - 1) / 2).sum() for v in (table, table.sum(1), table.sum(0)))
    expected = rows * columns / (len(a) * (len(a) - 1) / 2)
    return float((cells - expected) / ((rows + columns) / 2 - expected))


def _clustered(n: int, scratch: Path) -> dict[str, Any]:
    """As drg-motifs does it, from windows on disk, by processes that are there already."""
    from drg_hpc.interpretation.clusters import ClusterRule, cluster_windows

    units, truth = _stored(n, scratch)
    rule = ClusterRule(similarity=None, merge=0.9, min_overlap=15, min_size=20, sample=3000, seed=0)
    with Memory() as memory, _pool(scratch) as pool:
        started = time.perf_counter()
        task = pool.submit(np.load, scratch / "units.npy")
        found = cluster_windows(units, np.abs(units).sum(axis=(1, 2)), rule, pool=pool, task=task)
        seconds = time.perf_counter() - started
    labels = np.full(n, -1)
    for k, cluster in enumerate(found):
        labels[cluster.members] = k
    sites = truth >= 0
    return {"n": n, "seconds": seconds, "clusters": len(found), "ari": adjusted_rand(truth, labels),
            "ari_of_sites": adjusted_rand(truth[sites], labels[sites]), "memory_mb": _memory(memory)}  # fmt: skip


def _stored(n: int, scratch: Path) -> tuple[Any, Any]:
    from drg_hpc.interpretation.centres import unit_windows

    windows, truth = planted(n, 0)
    units = unit_windows(windows)
    np.save(scratch / "units.npy", units)
    return units, truth


def _pool(scratch: Path) -> Any:
    from drg_hpc.runs.launch.dask import Cluster, connect

    return connect(Cluster("local", beside=scratch / "out", workers=min(2, cpu_count())))


def _memory(memory: Memory) -> float:
    """MB of the workers when they had most, and of this process when it had most, which may have been before."""
    return memory.total / 1e6 + resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def _neighbours(n: int, scratch: Path) -> dict[str, Any]:
    """The k most similar of 2,000 probes, by all pairs, against those that the search found."""
    from drg_hpc.interpretation.clusters import CELLS_SEARCHED
    from drg_hpc.interpretation.neighbours import NeighbourRule, nearest_neighbours
    from drg_hpc.interpretation.products import best_values

    units, _ = _stored(n, scratch)
    pivots = math.isqrt(4 * n)
    rule = NeighbourRule(k=15, min_overlap=15, pivots=pivots, probes=min(pivots, CELLS_SEARCHED), seed=0)
    with Memory() as memory, _pool(scratch) as pool:
        started = time.perf_counter()
        found = nearest_neighbours(units, rule, pool=pool, task=pool.submit(np.load, scratch / "units.npy"))
        seconds = time.perf_counter() - started
    probes = np.random.default_rng(1).choice(n, min(2000, n), replace=False)
    hits, started = 0, time.perf_counter()
    for rows in np.array_split(probes, max(1, len(probes) // 250)):
        value = np.hstack([best_values(units[rows], units[i : i + 4096], min_overlap=15) for i in range(0, n, 4096)])
        value[np.arange(len(rows)), rows] = -np.inf
        least = -np.partition(-value, 14, axis=1)[:, 14]
        hits += int((found.value[rows] >= least[:, None] - 1e-5).sum())
    all_pairs = (time.perf_counter() - started) * n / len(probes)
    return {"n": n, "seconds": seconds, "all_pairs_would_take": all_pairs, "compared": found.compared,
            "recall": hits / (15 * len(probes)), "memory_mb": _memory(memory)}  # fmt: skip


def _exact(n: int, scratch: Path) -> dict[str, Any]:
    """Distances of all pairs, and the tree; the bound is 2 strands x 31 offsets x 88 multiply-adds a pair."""
    from drg_hpc.interpretation.linkage import linkage_labels
    from drg_hpc.interpretation.products import pooled_distances

    _stored(n, scratch)
    with Memory() as memory, _pool(scratch) as pool:
        started = time.perf_counter()
        task = pool.submit(np.load, scratch / "units.npy")
        distance = pooled_distances(pool, task, n, metric="cosine", min_overlap=15)
        middle = time.perf_counter()
        labels = linkage_labels(distance, "average", cut=0.25)
        ended = time.perf_counter()
    operations = n**2 / 2 * 2 * sum(2 * 4 * (WIDTH - abs(offset)) for offset in range(-15, 16))
    return {"n": n, "distances": middle - started, "gflops": operations / (middle - started) / 1e9,
            "linkage": ended - middle, "groups": int(labels.max()) + 1, "memory_mb": _memory(memory)}  # fmt: skip


def run(scratch: Path, *, small: bool) -> dict[str, Any]:
    """Prints three tables; memory is the most of all processes together."""
    sizes = (2_000, 5_000) if small else (10_000, 30_000, 100_000, 300_000)
    results: dict[str, Any] = {"cores": os.cpu_count(), "clusters": [_clustered(n, scratch) for n in sizes]}
    first, last = results["clusters"][0], results["clusters"][-1]
    results["exponent"] = math.log(last["seconds"] / first["seconds"]) / math.log(last["n"] / first["n"])
    results["neighbours"] = [_neighbours(3_000 if small else 100_000, scratch)]
    results["exact"] = [_exact(2_000 if small else 20_000, scratch)]
    for part in ("clusters", "neighbours", "exact"):
        rows = results[part]
        show(part, [tuple(rows[0]), *(tuple(f"{v:.4g}" for v in row.values()) for row in rows)])
    print(f"exponent of the time of clustering: {results['exponent']:.2f}")
    return results
