"""From the sums of drg-kernels to its files."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.bodies.kernels_scan import Kernels, constants
from drg_hpc.bodies.selection import model_keys
from drg_hpc.interpretation import kernel_clusters as clustering
from drg_hpc.interpretation.kernel_effects import statistics
from drg_hpc.interpretation.kernel_files import write_tables
from drg_hpc.interpretation.kernel_motifs import direct_ppm, probabilities
from drg_hpc.interpretation.naming import best_matches
from drg_hpc.interpretation.splitting import split_by_effects
from drg_hpc.results.h5 import PartFile
from drg_hpc.results.kernel_rows import NAME as ROWS_FILE
from drg_hpc.results.kernel_rows import merge_rows
from drg_hpc.results.kernels import Float64, Kernel, KernelCluster, KernelResult, write_kernels
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.spec import BLOCK_ROWS

log = logging.getLogger(__name__)
Arrays = Mapping[str, NDArray[Any]]
_OF_KERNELS = ("effect", "impact", "correlation", "rmse", "class_correlation")


def write_result(
    plan: Plan, kernels: Sequence[Kernels], scanned: Arrays, sums: Arrays, *, rows_parts: Sequence[PartFile],
    out: Path,
) -> dict[str, Any]:  # fmt: skip
    """Write the outputs of a run; returns its summary.

    Parameters
    ----------
    scanned, sums : merged arrays of the two stages
    rows_parts : with ``per_row``, the files of losses
    """
    params = plan.params
    table = _kernels(kernels, scanned, sums, params)
    models = len(model_keys(plan.inputs))
    effects, base, rows = _effects(sums, models, params)
    _warn(table, base)
    table = [_named(kernel, found) for kernel, found in zip(table, _names(plan, [k.pfm for k in table]), strict=True)]
    clusters = _clusters(plan, table, effects["effect"])
    result = KernelResult(
        kernels=table, clusters=clusters, effects=effects, base=base, tracks=[name for _, name in params["tracks"]],
        classes=[name for name, _ in params["classes"]], region_classes=params["region_classes"], region_rows=rows,
    )  # fmt: skip
    write_kernels(out / "out.h5", result, plan.result_attributes() | {"conventions": _conventions(params)})
    write_tables(out, result)
    if params["per_row"]:
        names = {"kernels": [kernel.name for kernel in table], "classes": result.classes}
        merge_rows(rows_parts, out / ROWS_FILE, plan.result_attributes(), **names)
    return {
        "rows": params["rows"],
        "counted_rows": int(sums["m0_rows"]),
        "kernels": len(table),
        "clusters": len(clusters),
        "models": models,
        "tracks": result.tracks,
        "scale": params["scale"],
        "split": params["split"],
    }


def _warn(kernels: Sequence[Kernel], base: Mapping[str, Float64]) -> None:
    """Say which motifs and correlations tell nothing."""
    if bare := sum(not kernel.kmers for kernel in kernels):
        log.warning(
            "%d of %d kernels have no k-mer that activates them enough, their motifs are flat: try a lower --cutoff, "
            "--max-activation or --kmers data", bare, len(kernels),
        )  # fmt: skip
    if "correlation" in base and (unknown := int(np.isnan(base["correlation"]).any(axis=0).sum())):
        log.warning(
            "%d of %d tracks have no correlation (nan): fewer than two rows are measured, or they or the predictions "
            "do not vary", unknown, base["correlation"].shape[1],
        )  # fmt: skip


def _conventions(params: Mapping[str, Any]) -> dict[str, Any]:
    where = "random k-mers" if params["nullify_on"] == "random" else "k-mers of the rows"
    strands = "and their reverse complements" if params["kmer_strands"] == "both" else "on the forward strand alone"
    constant = "zero" if params["nullify"] == "zero" else f"{params['nullify']} of w.x + b over {where} {strands}"
    return {
        "constant": f"{constant}, at every position and on both strands of a kernel's channel",
        "effect": "with all kernels minus without the kernel, summed over rows",
        "bins": "predictions and measured values of a track with bins are their means",
        "clusters": f"by motif ({params['metric']} of information over the union)"
        + (", then by effect over tracks" if len(params["tracks"]) > 1 else ""),
        "block_rows": BLOCK_ROWS,
    }


def _kernels(kernels: Sequence[Kernels], scanned: Arrays, sums: Arrays, params: Mapping[str, Any]) -> list[Kernel]:
    found = []
    several = len({item.model for item in kernels}) > 1
    for item in kernels:
        on_rows = params["kmers"] == "data"
        source = sums if on_rows and not params["unique"] else scanned
        prefix = item.tag if on_rows else f"{item.tag}_random"
        pfms = probabilities(source[f"{prefix}_sums"], item.width)
        ppms, constant = direct_ppm(item.weight, item.bias), constants(item, scanned, params)
        before = f"model{item.model + 1}_" if several else ""
        after = f"_{item.branch.name}" if item.branch.name else ""
        found += [
            Kernel(
                f"{before}filter{i}{after}", item.model, item.branch.name, i, pfms[i], ppms[i],
                int(source[f"{prefix}_counts"][i]), float(constant[i]),
            )
            for i in range(len(pfms))
        ]  # fmt: skip
    return found


def _effects(
    sums: Arrays, models: int, params: Mapping[str, Any]
) -> tuple[dict[str, Float64], dict[str, Float64], Float64]:
    """Statistics (kernels, …) of all models, those with all kernels (models, tracks), rows by class of regions."""
    found = []
    for number in range(models):
        tag = f"m{number}_"
        own = {name.removeprefix(tag): value for name, value in sums.items() if name.startswith(tag)}
        found.append(statistics(own))
    known = [name for name in _OF_KERNELS if name in found[0] and found[0][name].shape[1]]  # there may be no class
    effects = {name: np.concatenate([one[name] for one in found]) for name in known}
    if params["region_classes"]:
        effects["region_effect"] = np.concatenate([one["region_effect"].transpose(1, 0, 2) for one in found])
    base = {
        name: np.stack([one[f"base_{name}"] for one in found]) for name in ("correlation", "rmse")
        if f"base_{name}" in found[0]
    }  # fmt: skip
    return effects, base, found[0].get("region_rows", np.zeros(0))


def _names(plan: Plan, pfms: Sequence[Float64]) -> list[tuple[str, float]]:
    """Name and q value of the best match of each motif; the name is empty where q is too large."""
    databases = [Path(plan.inputs[f"database{n}"]["path"]) for n in range(1, plan.params["databases"] + 1)]
    matches = best_matches(pfms, databases, threads=plan.threads)
    limit = plan.params["max_q"]
    return [("", float("nan")) if m is None else (m.target if m.q <= limit else "", m.q) for m in matches]


def _named(kernel: Kernel, found: tuple[str, float]) -> Kernel:
    """A kernel with its match; a flat motif, of no k-mer, is like nothing."""
    name, q = found if kernel.kmers else ("", float("nan"))
    return Kernel(**{**vars(kernel), "match": name, "q": q})


def _clusters(plan: Plan, kernels: Sequence[Kernel], effects: Float64) -> list[KernelCluster]:
    params, pfms = plan.params, [kernel.pfm for kernel in kernels]
    pairs = clustering.motif_pairs(pfms, metric=params["metric"])
    labels = clustering.cluster_motifs(pairs, method=params["linkage"], limit=params["distance"])
    if effects.shape[1] > 1:  # one track has nothing to correlate
        labels = split_by_effects(labels, effects, max_distance=params["split_distance"])
    labels = clustering.by_size(labels)
    members = [np.flatnonzero(labels == label) for label in range(int(labels.max()) + 1)]
    means = [clustering.average_motif(pfms, own, pairs) for own in members]
    names = [
        name if any(kernels[int(i)].kmers for i in own) else ("", float("nan"))
        for name, own in zip(_names(plan, means), members, strict=True)
    ]
    return [
        KernelCluster(
            f"cluster{number}", mean, tuple(int(i) for i in own), len({kernels[int(i)].model for i in own}), *name
        )
        for number, (mean, own, name) in enumerate(zip(means, members, names, strict=True))
    ]
