"""The part of drg-inspect that is about kernels: what they and their clusters are, and which matter most."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_SHOWN = 5


def is_kernels(attributes: Mapping[str, Any]) -> bool:
    """Whether a file with these root attributes is of drg-kernels."""
    return str(attributes.get("format")).startswith("drg-kernels/")


def kernel_facts(path: Path) -> dict[str, Any]:
    """Numbers of kernels and clusters, those with the largest effects, and the metrics with all kernels.

    Raises
    ------
    CorruptError : not such a file
    """
    import numpy as np

    from drg_hpc.results.kernels import consensus, read_kernels

    found = read_kernels(path)
    order = {}
    for name, effect in (("kernels", found.effects["effect"]), ("clusters", found.cluster_effects()["effect"])):
        order[name] = np.argsort(-np.abs(effect).mean(axis=1), kind="stable")[:_SHOWN].tolist()
    facts: dict[str, Any] = {
        "kernels": len(found.kernels),
        "models": len({kernel.model for kernel in found.kernels}),
        "clusters": len(found.clusters),
        "matched clusters": sum(bool(cluster.match) for cluster in found.clusters),
        "tracks": list(found.tracks),
        "statistics": sorted(found.effects),
    }
    for what, items in (("kernels", found.kernels), ("clusters", found.clusters)):
        chosen: Any = [items[i] for i in order[what]]
        facts[f"largest effects of {what}"] = [
            " ".join(filter(None, (item.name, consensus(item.pfm), item.match and f"({item.match})")))
            for item in chosen
        ]
    for name in ("correlation", "rmse"):
        if name in found.base:
            values = found.base[name]
            facts[f"{name} with all kernels"] = [
                float(f"{own[np.isfinite(own)].mean():.4g}") if np.isfinite(own).any() else None for own in values
            ]
    return {"kernel analysis": facts}
