"""A small store and small models, made by the package's own planners and bodies in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from drg_hpc.bodies import attr_plan, predict_plan, shard_sequences_plan
from drg_hpc.config import FanoutOptions
from drg_hpc.models.base import ModelShape, SequenceModel
from drg_hpc.models.config import DilatedResidualConfig, DrgCnnConfig
from drg_hpc.models.io import save_model
from drg_hpc.models.registry import build
from drg_hpc.runs.merge import merge_run
from drg_hpc.runs.plan import write_plan
from drg_hpc.runs.work import work_run

CNN = DrgCnnConfig(kernels=6, kernel_size=7, pool_size=5, hidden=(8,))


def letters(rng: np.random.Generator, length: int, *, unknown: float = 0.0) -> str:
    """Random bases, some of them N."""
    return "".join(rng.choice(list("ACGTN"), size=length, p=[(1 - unknown) / 4] * 4 + [unknown]))


def write_fasta(path: Path, *, rows: int, length: int, unknown: float = 0.0) -> Path:
    """Sequences named as regions: a third on chr1, chr2 and chr3."""
    rng = np.random.default_rng(0)
    with open(path, "w") as handle:
        for i in range(rows):
            start = 1000 * i
            handle.write(f">chr{1 + i % 3}:{start}-{start + length}\n{letters(rng, length, unknown=unknown)}\n")
    return path


def finish(options: FanoutOptions, planner: Any) -> dict[str, Any]:
    """Plan, work and merge; returns done.json."""
    plan = write_plan(planner.plan_shards(options), options.out)
    work_run(plan, device="cpu")
    return merge_run(plan)


def make_store(folder: Path, *, rows: int, length: int, tracks: tuple[str, ...] = ("a", "b")) -> Path:
    """A dataset store with test = chr3, valid = chr2; targets 0 or 1 at random, a tenth of them missing."""
    fasta = write_fasta(folder / "sequences.fa", rows=rows, length=length, unknown=0.05)
    rng = np.random.default_rng(1)
    with open(folder / "labels.tsv", "w") as handle:
        handle.write("\t".join(["name", *tracks]) + "\n")
        for i in range(rows):
            cells = ["" if rng.random() < 0.1 else str(value) for value in rng.integers(0, 2, len(tracks))]
            handle.write("\t".join([f"chr{1 + i % 3}:{1000 * i}-{1000 * i + length}", *cells]) + "\n")
    options = shard_sequences_plan.Options(
        sequences=fasta, counts=[folder / "labels.tsv"], missing="mask", valid="chr2", test="chr3", out=folder / "store"
    )
    finish(options, shard_sequences_plan)
    return folder / "store"


def make_model(
    path: Path, *, length: int, tracks: tuple[str, ...] = ("a", "b"), link: Any = "logit", config: DrgCnnConfig = CNN
) -> SequenceModel:
    """A small network with random weights, saved and returned in eval mode."""
    torch.manual_seed(0)
    module = build(config, ModelShape.single(length, len(tracks), link=link)).eval()
    save_model(module, path, config, tracks)
    return module


def make_binned_model(*, length: int, bins: int, tracks: int = 2) -> SequenceModel:
    """A small profile network, not saved."""
    torch.manual_seed(0)
    config = DilatedResidualConfig(channels=4, layers=2, stem_size=7, profile_size=5)
    return build(config, ModelShape.single(length, tracks, bins=bins, link="log")).eval()


def attr(folder: Path, model: Path, source: Path, **options: Any) -> dict[str, Any]:
    """A whole drg-attr run in this process."""
    return finish(attr_plan.Options(model=model, input=source, out=folder, **options), attr_plan)


def predict(folder: Path, model: Path, store: Path, **options: Any) -> dict[str, Any]:
    """A whole drg-predict run in this process."""
    return finish(predict_plan.Options(model=model, input=store, out=folder, **options), predict_plan)
