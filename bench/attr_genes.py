"""Peak memory of the gradient of a gene statistic on a Borzoi-mini: its bins and tracks alone, against all of them.

"all" is what Borzoi's networks return: every track and bin through the softplus, of which the statistic takes its part;
"all, link" the same before the softplus, as models here return it; "part" what the statistic asks a model for.

The model of configs/borzoi-mini.toml with the 7,611 tracks of the published human head, of which the statistic reads 89
(as many as GTEx's there), on one real gene; and with 12 tracks. Each side is a fresh process; its memory is the peak of
its resident set during one forward and backward pass, less what was resident before. All must give one gradient.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attr_nets import network, sequences
from common import ROOT, environment, show

from drg_hpc.attribution.gene_features import GeneSettings
from drg_hpc.attribution.gene_tracks import TrackTransform, values_of
from drg_hpc.attribution.gene_windows import Geometry
from drg_hpc.attribution.genes import gene_rows
from drg_hpc.attribution.targets_gene import GeneStatistic
from drg_hpc.genome.gtf import read_genes
from drg_hpc.models.base import ModelShape, SequenceModel
from drg_hpc.models.links import apply_links

GTF = ROOT / "examples/genes/HBE1_example.gtf"
CONTIGS = {"chr11": 135_086_622}
TRACKS, READ, TARGET = 7611, 89, 0.6
SIDES = ("all", "all, link", "part")


def _status(field: str) -> int:
    """Bytes that a field of this process's status has."""
    match = re.search(rf"^{field}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert match is not None, field
    return 1024 * int(match[1])


class Outputs(torch.nn.Module):
    """All tracks and bins on the output scale."""

    def __init__(self, network: SequenceModel) -> None:
        super().__init__()
        self.network, self.link = network, "identity"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return apply_links(self.network(x), self.network.links)


def _statistic(length: int, tracks: int, which: str) -> GeneStatistic:
    bins = length // 32 - 32
    shape = ModelShape.single(length, tracks, bins=bins, span=32 * bins, link="softplus")
    built = network("borzoi-mini", shape)
    module: torch.nn.Module = Outputs(built) if which == "all" else built
    if which == "all, link":  # what a network does that knows no better
        built.part = types.MethodType(SequenceModel.part, built)  # type: ignore[method-assign]
    geometry = Geometry(length, 512, 32, bins)
    rows = gene_rows(read_genes(GTF), GeneSettings("expression"), geometry, contigs=CONTIGS, source=str(GTF))
    read = range(tracks - min(READ, tracks), tracks)
    values = values_of(
        read, built.tracks, built.strand_partners, statistic="expression", each=False, strands=[rows[0].strand]
    )  # fmt: skip
    transforms = dict.fromkeys(read, TrackTransform(0.01, 0.75, 384.0))
    return GeneStatistic(module, rows, values, transforms, order="old", geometry=geometry)


def side(which: str, length: int, tracks: int, out: Path) -> None:
    """One side, in a process of its own."""
    torch.set_num_threads(1)
    statistic = _statistic(length, tracks, which)
    params = [torch.from_numpy(each) for each in statistic.params([0])]
    x = torch.from_numpy(sequences(1, length)).requires_grad_()
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on
    started = time.perf_counter()
    (gradient,) = torch.autograd.grad(statistic([x], params).sum(), x)
    seconds = time.perf_counter() - started
    peak = _status("VmHWM") - before
    np.save(out, gradient.numpy())
    print(json.dumps({"bytes": peak, "seconds": seconds}))


def _measured(which: str, length: int, tracks: int, out: Path) -> dict[str, float]:
    command = [sys.executable, __file__, which, str(length), str(tracks), str(out)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def run(scratch: Path, *, small: bool = False) -> dict[str, Any]:
    """All sides in turn, three times; medians."""
    length, repeats = (32_768, 1) if small else (131_072, 3)
    results: dict[str, Any] = {"length": length, "bins": length // 32 - 32, "target": TARGET}
    lines = [("tracks of the model", *SIDES, f"part : all (limit {TARGET:.0%})", "seconds", "", "")]
    for tracks in (TRACKS, 12):
        found: dict[str, list[dict[str, float]]] = {which: [] for which in SIDES}
        for _ in range(repeats):
            for which, runs in found.items():
                runs.append(_measured(which, length, tracks, scratch / f"{which}.npy"))
        one, *others = (np.load(scratch / f"{which}.npy") for which in found)
        difference = max(float(np.abs(one - other).max() / np.abs(one).max()) for other in others)
        assert difference < 1e-4, difference
        medians = {
            which: {key: statistics.median(r[key] for r in runs) for key in ("bytes", "seconds")}
            for which, runs in found.items()
        }
        share = medians["part"]["bytes"] / medians["all"]["bytes"]
        results[f"tracks_{tracks}"] = medians | {"share": share, "difference": difference}
        lines.append((
            str(tracks), *(f"{medians[which]['bytes'] / 2**20:.0f} MiB" for which in medians), f"{share:.0%}",
            *(f"{medians[which]['seconds']:.1f}" for which in medians),
        ))  # fmt: skip
    show(f"gradient of a gene's expression, {length} bases, peak memory", lines)
    return results


if __name__ == "__main__":
    side(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
