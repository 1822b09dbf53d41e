"""A model under way, without a store or a MODEL folder: what benchmarks of single steps need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from drg_hpc.models.base import ModelShape
from drg_hpc.models.config import AnyConfig
from drg_hpc.models.registry import build
from drg_hpc.training.config import Recipe, TrainOptions, settle
from drg_hpc.training.distributed import Group
from drg_hpc.training.losses import TargetFacts, choose_loss
from drg_hpc.training.objective import HeadLoss, Objective
from drg_hpc.training.step import Stepper


def make_recipe(config: AnyConfig, **tables: Any) -> Recipe:
    """A recipe of tables such as ``train={"batch_size": 64}``."""
    values = {"store": Path("store"), "out": Path("model"), "model": config.model_dump(), **tables}
    return settle(TrainOptions.model_validate(values))


def make_stepper(
    config: AnyConfig, shape: ModelShape, *, group: Group, loss: str, seed: int = 1, **tables: Any
) -> tuple[Stepper, Objective]:
    """A fresh network and its objective, all tracks in one modality."""
    facts = TargetFacts(binary=False, unit_interval=False, non_negative=True)
    chosen = choose_loss(loss, model=config, bins=shape.bins, facts=facts, count_weight=1.0)
    objective = Objective([HeadLoss("main", slice(0, shape.n_tracks), chosen)])
    torch.manual_seed(seed)
    model = build(config, shape).to(group.device)
    return Stepper(group=group, model=model, objective=objective, recipe=make_recipe(config, **tables)), objective
