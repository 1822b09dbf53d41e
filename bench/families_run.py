"""The work of bench/families."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from common import ROOT, show
from interpretation.families import (
    DATABASE,
    Judged,
    Task,
    attribute,
    directions,
    judge,
    make_model,
    precision,
    recall,
    repeats,
)
from support import drg

PEERS = ROOT / ".venv-peers/bin"
WEIGHTS = {
    "CTCF.H12CORE.0.P.B": (1, 1),
    "GATA1.H12CORE.1.PSM.A": (1, 1),
    "SPI1.H12CORE.0.P.B": (1, -1),
    "FOSL1.H12CORE.0.P.B": (1, -1),
    "CEBPB.H12CORE.0.P.B": (1, 1),
    "HNF1A.H12CORE.0.PS.A": (1, 1),
    "NRF1.H12CORE.0.PS.A": (1, 1),
    "RUNX3.H12CORE.0.P.B": (1, 1),
    "TEAD1.H12CORE.0.PSM.A": (-1, 1),
    "MEF2A.H12CORE.0.P.B": (-1, 1),
}
WHOLE = Task(WEIGHTS, rows=5000, length=300, kernels=96, pool=94, epochs=20)
SMALL = Task(
    {name: WEIGHTS[name] for name in list(WEIGHTS) if name.split(".")[0] in ("CTCF", "SPI1", "FOSL1", "HNF1A", "NRF1")},
    rows=1500, length=120, kernels=48, pool=53, epochs=15,
)  # fmt: skip
METHODS: dict[str, tuple[str, ...]] = {
    "deepshap": ("--method", "deepshap", "--references", "dinuc:5"),
    "gradient": ("--method", "gradient"),
}


def run(scratch: Path, *, methods: Sequence[str], seed: int, small: bool) -> dict[str, Any]:
    """Prints a table of the motifs of each way, and one of all ways."""
    task = replace(SMALL if small else WHOLE, seed=seed)
    seconds: dict[str, float] = {}
    started = time.perf_counter()
    make_model(task, scratch)
    seconds["model"] = time.perf_counter() - started
    results: dict[str, Any] = {"task": asdict(task), "pearson": _pearson(scratch / "model"), "found": []}
    for method in methods:
        started = time.perf_counter()
        attribute(scratch, method, *METHODS[method], "--keep", "hypothetical")
        seconds[f"attributions, {method}"] = time.perf_counter() - started
        ways = {"linkage": (), "leiden": ("--method", "leiden")}
        if method == methods[0] and PEERS.joinpath("modisco").exists():
            ways["modisco"] = ("--method", "modisco")
        for way, flags in ways.items():
            started = time.perf_counter()
            out = scratch / f"motifs-{method}-{way}"
            path = os.pathsep.join([os.environ["PATH"], str(PEERS)])
            drg("drg-motifs", scratch / f"seqlets-{method}", "--database", DATABASE, *flags, "-o", out, PATH=path)
            seconds[f"motifs, {method}, {way}"] = time.perf_counter() - started
            found = judge(out, scratch / f"seqlets-{method}", scratch / "sim", list(task.weights))
            results["found"].append(_row(method, way, found, task.weights))
            _show(f"{method}, drg-motifs --method {way}", found)
    rows = [{name: value for name, value in row.items() if name != "motifs"} for row in results["found"]]
    show("all", [tuple(rows[0]), *(tuple(_text(value) for value in row.values()) for row in rows)])
    print(f"validation Pearson of the model: {results['pearson']:.3f}")
    return results | {"seconds": seconds}


def _row(method: str, way: str, found: Sequence[Judged], weights: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "attributions": method, "method": way, "recall": recall(found, list(weights)),
        "directions": directions(found, weights), "precision": precision(found),
        "found": len(found), "repeats": repeats(found),
        "lost": " ".join(sorted(set(weights) - {motif.family for motif in found})),
        "motifs": [asdict(motif) | {"family": motif.family} for motif in found],
    }  # fmt: skip


def _show(title: str, found: Sequence[Judged]) -> None:
    head = ("motif", "seqlets", "consensus", "match", "q", "sites", "share", "family")
    cells = [
        (m.motif, str(m.seqlets), m.consensus, m.by_match.split(".")[0] or "-", f"{m.q:.2g}",
         m.by_sites.split(".")[0] or "-", f"{m.share:.2f}", m.family.split(".")[0] or "none")
        for m in found
    ]  # fmt: skip
    show(title, [head, *cells])


def _pearson(model: Path) -> float:
    """Of the validation sequences, the best epoch's."""
    with (model / "history.tsv").open() as file:
        return max(float(row["pearson"]) for row in csv.DictReader(file, delimiter="\t"))


def _text(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
