"""One optimizer step on a global batch, whatever the number of processes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from drg_hpc.models.base import SequenceModel
from drg_hpc.models.blocks import set_dropout_keys
from drg_hpc.rng import row_key
from drg_hpc.training.checkpoints import pack_optimizer, unpack_optimizer
from drg_hpc.training.config import OptimTable, Recipe
from drg_hpc.training.distributed import Group
from drg_hpc.training.loader import TrainBatch
from drg_hpc.training.objective import Objective

Array = np.ndarray[Any, Any]


def make_optimizer(model: nn.Module, optim: OptimTable) -> torch.optim.Optimizer:
    """The optimizer of an ``[optim]`` table; its learning rate is set anew at every step."""
    if optim.name == "sgd":
        return torch.optim.SGD(
            model.parameters(), lr=optim.lr, momentum=optim.momentum, weight_decay=optim.weight_decay
        )
    return torch.optim.AdamW(model.parameters(), lr=optim.lr, weight_decay=optim.weight_decay)


def _parallel(model: nn.Module, group: Group) -> nn.Module:
    if group.world == 1:
        return model
    # DDP lays its buckets out anew after the first step of a process, and the order in which more than two ranks add
    # depends on the layout: a resumed run would differ in the last bit. Looking for unused parameters keeps the first
    # layout for good.
    return DistributedDataParallel(
        model,
        device_ids=[group.device.index] if group.device.type == "cuda" else None,
        find_unused_parameters=True,
    )


class Stepper:
    """A model, its optimizer, and the step that moves them.

    Nothing random is carried from step to step: augmentation and dropout are keyed on (seed, epoch, global row),
    torch's own generator is seeded anew from (seed, step, rank).
    """

    def __init__(self, *, group: Group, model: SequenceModel, objective: Objective, recipe: Recipe) -> None:
        self.model = model
        self._group, self._objective, self._recipe = group, objective, recipe
        self._wrapped = _parallel(model, group)
        self._optimizer = make_optimizer(model, recipe.optim)

    def pack(self) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, Any]]:
        """Weights and optimizer, for a checkpoint."""
        tensors, plain = pack_optimizer(self._optimizer)
        return {"weights": dict(self.model.state_dict()), "optimizer": tensors}, plain

    def unpack_optimizer(self, tensors: Mapping[str, torch.Tensor], plain: Mapping[str, Any]) -> None:
        """Put back an optimizer of :meth:`pack`."""
        unpack_optimizer(self._optimizer, tensors, plain)

    def step(self, part: TrainBatch, *, units: Array, number: int, rate: float) -> tuple[list[float], float]:
        """Take one step.

        Parameters
        ----------
        part : this rank's part of the global batch
        units : units of each term of the loss in the global batch, (terms,)
        number : of this step, from 0
        rate : learning rate

        Returns
        -------
        this rank's sum of each term, and the norm of the gradient, the same on all ranks; where the norm is not finite
        the weights are as they were
        """
        torch.manual_seed(row_key(self._recipe.seed, number, f"step/{self._group.rank}"))
        self._optimizer.zero_grad(set_to_none=True)
        sums = self._gradient(part, units)
        limit = self._recipe.optim.clip_norm or math.inf
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), limit))
        if math.isfinite(norm):
            for parameters in self._optimizer.param_groups:
                parameters["lr"] = rate * parameters.get("lr_scale", 1.0)
            self._optimizer.step()
        return sums, norm

    def _gradient(self, part: TrainBatch, units: Array) -> list[float]:
        """Gradient of the objective on the global batch, in ``train.accumulate`` pieces; this rank's sums."""
        group = self._group
        # DDP averages gradients over ranks: times their number it is the sum, over the units of the global batch.
        factors = torch.tensor(self._objective.factors(units) * group.world, dtype=torch.float32, device=group.device)
        sums = torch.zeros_like(factors)
        pieces = part.pieces(self._recipe.train.accumulate)
        for number, (batch, keys) in enumerate(pieces, start=1):
            set_dropout_keys(self.model, keys)
            with self._unsynchronised() if number < len(pieces) else nullcontext():
                precision = self._recipe.train.precision
                with torch.autocast(group.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
                    prediction = self._wrapped(batch.sequence)
                totals = self._objective.totals(prediction.float(), batch.target, batch.valid, ranks=group)
                (totals * factors).sum().backward()  # type: ignore[no-untyped-call]
            sums += totals.detach()
        values: list[float] = sums.tolist()
        return values

    def _unsynchronised(self) -> AbstractContextManager[None]:
        """Gradients stay on this rank and add up."""
        wrapped = self._wrapped
        return wrapped.no_sync() if isinstance(wrapped, DistributedDataParallel) else nullcontext()
