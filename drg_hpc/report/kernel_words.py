"""What a run of drg-kernels did, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from drg_hpc.report import html
from drg_hpc.report.sources import Source
from drg_hpc.results.kernels import KernelResult

_SCALES = {"output": "on predictions as the model gives them", "link": "on logits or log rates"}


def facts_table(source: Source, found: KernelResult) -> str:
    """Sizes and settings."""
    params: Mapping[str, Any] = source.header.get("params", {})
    conventions: Mapping[str, Any] = source.header.get("conventions", {})
    models = len({kernel.model for kernel in found.kernels})
    in_all = sum(cluster.models == models for cluster in found.clusters)
    clusters = html.counted(len(found.clusters), "cluster") + (
        f", {in_all} of them in all models" if models > 1 else ""
    )
    rows = source.done.get("summary", {}).get("counted_rows")
    split = f" of split {params['split']}" if params.get("split") else ""
    return html.facts([
        ("kernels", f"{html.counted(len(found.kernels), 'kernel')} of {html.counted(models, 'model')}"),
        ("clusters", f"{clusters}; {conventions.get('clusters', '')}"),
        ("rows", f"{html.number(rows)}{split}" if rows else ""),
        ("motifs", kmer_words(params)),
        ("effects", f"{_SCALES.get(str(params.get('scale')), '')}, with the kernel at its constant: "
                    f"{conventions.get('constant', '')}"),
        ("with all kernels", _base_words(found)),
    ])  # fmt: skip


def kmer_words(params: Mapping[str, Any]) -> str:
    """Which k-mers made the motifs."""
    if "kmers" not in params:
        return ""
    source = (
        "all k-mers of the rows" if params["kmers"] == "data" else f"{html.number(params['n_kmers'])} random k-mers"
    )
    strands = "with their reverse complements" if params["kmer_strands"] == "both" else "of the forward strand"
    once = ", each counted once" if params.get("unique") else ""
    active = {"none": "w·x + b", "exp": "exp(w·x + b)"}.get(str(params["activated"]), "the model's activation")
    cut = f"{params['cutoff']:g} standard deviations above the mean"
    if params.get("max_activation") is not None:
        cut = f"{params['max_activation']:.0%} of the way from the least to the largest"
    return f"of {source} {strands}{once}, those with {active} at least {cut}, weighted by it"


def _base_words(found: KernelResult) -> str:
    """Mean correlation and RMSE over tracks of each model."""
    if "correlation" not in found.base:
        return ""
    parts = []
    for correlation, rmse in zip(found.base["correlation"], found.base["rmse"], strict=True):
        known = [values[np.isfinite(values)] for values in (correlation, rmse)]
        means = [html.number(float(values.mean()) if len(values) else None) for values in known]
        parts.append(f"R {means[0]}, RMSE {means[1]}")
    return "; ".join(parts) + (" (mean of tracks)" if len(found.tracks) > 1 else "")
