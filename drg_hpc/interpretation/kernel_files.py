"""The tables and MEME files of drg-kernels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drg_hpc.files import table_text, write_atomic
from drg_hpc.genome.motifs import Motif, write_meme
from drg_hpc.results.kernels import Kernel, KernelCluster, KernelResult, consensus

TABLES = {
    "kernattrack": "correlation",
    "kernmsetrack": "rmse",
    "kerneffct": "effect",
    "kernimpact": "impact",
    "kernattmeantestclass": "class_correlation",
}
"""File of a statistic, by the name that DRG gives it."""
_MEANS = ("mean_effect", "mean_abs_effect", "match", "q")
KERNEL_COLUMNS = ("kernel", "cluster", "consensus", "kmers", "constant", *_MEANS)
CLUSTER_COLUMNS = ("cluster", "kernels", "models", "consensus", *_MEANS, "members")


def write_tables(folder: Path, result: KernelResult) -> None:
    """``kernels.tsv``, ``clusters.tsv``, a table of each statistic, and the motifs as MEME."""
    label = {member: cluster.name for cluster in result.clusters for member in cluster.members}
    effect = result.effects["effect"]
    rows = [
        [k.name, label[i], consensus(k.pfm), k.kmers, k.constant, *_means(effect[i]), k.match, _q(k)]
        for i, k in enumerate(result.kernels)
    ]
    write_atomic(folder / "kernels.tsv", table_text([KERNEL_COLUMNS, *rows]))
    means = result.cluster_effects()["effect"]
    rows = [
        [c.name, len(c.members), c.models, consensus(c.pfm), *_means(mean), c.match, _q(c),
         ",".join(result.kernels[i].name for i in c.members)]
        for c, mean in zip(result.clusters, means, strict=True)
    ]  # fmt: skip
    write_atomic(folder / "clusters.tsv", table_text([CLUSTER_COLUMNS, *rows]))
    names = [kernel.name for kernel in result.kernels]
    for file, statistic in TABLES.items():
        if statistic in result.effects:
            columns = result.classes if statistic == "class_correlation" else result.tracks
            rows = [[name, *values.tolist()] for name, values in zip(names, result.effects[statistic], strict=True)]
            write_atomic(folder / f"{file}.tsv", table_text([("kernel", *columns), *rows]))
    _write_motifs(folder, result)


def _write_motifs(folder: Path, result: KernelResult) -> None:
    kernels, clusters = result.kernels, result.clusters
    write_meme(folder / "kernels.meme", [Motif(k.name, k.pfm, k.match, max(k.kmers, 1)) for k in kernels])
    ppms = [Motif(k.name, k.ppm / k.ppm.sum(0)) for k in kernels]  # readers of MEME want columns that sum to 1
    write_meme(folder / "kernel_ppms.meme", ppms)
    write_meme(folder / "clusters.meme", [Motif(c.name, c.pfm, c.match, len(c.members)) for c in clusters])


def _q(item: Kernel | KernelCluster) -> float | str:
    """q of the match that the table names; that of a motif without one is in ``out.h5``."""
    return item.q if item.match else ""


def _means(effects: NDArray[np.float64]) -> tuple[float, float]:
    return float(effects.mean()), float(np.abs(effects).mean())
