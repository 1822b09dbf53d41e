"""One optimizer step on a global batch, whatever the number of processes."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from drg_hpc.models.base import SequenceModel
from drg_hpc.models.blocks import set_dropout_keys
from drg_hpc.models.io import load_into
from drg_hpc.rng import row_key
from drg_hpc.training.average import Average
from drg_hpc.training.batchnorm import has_own_buffers, lone_value, rest_biases, rows_counted, share_statistics
from drg_hpc.training.checkpoints import pack_optimizer, unpack_optimizer
from drg_hpc.training.compute_options import autocast, compiled, compiler_errors, products
from drg_hpc.training.config import Recipe
from drg_hpc.training.distributed import Group
from drg_hpc.training.loader import Piece, TrainBatch
from drg_hpc.training.objective import Objective
from drg_hpc.training.optimizers import make_optimizer
from drg_hpc.training.recompute import recompute_activations

Array = np.ndarray[Any, Any]


def _parallel(model: nn.Module, group: Group, *, broadcast_buffers: bool) -> nn.Module:
    if group.world == 1:
        return model
    # DDP lays its buckets out anew after the first step of a process, and the order in which more than two ranks add
    # depends on the layout: a resumed run would differ in the last bit. Looking for unused parameters keeps the first
    # layout for good.
    # The option's name changed in torch 2.13.
    new = "forward_sync_buffers" in inspect.signature(DistributedDataParallel.__init__).parameters
    buffers: dict[str, Any] = {"forward_sync_buffers" if new else "broadcast_buffers": broadcast_buffers}
    return DistributedDataParallel(
        model,
        device_ids=[group.device.index] if group.device.type == "cuda" else None,
        find_unused_parameters=True,
        **buffers,
    )


class Stepper:
    """A model, its optimizer, and the step that moves them.

    Nothing random is carried from step to step: augmentation and dropout are keyed on (seed, epoch, global row),
    torch's own generator is seeded anew from (seed, step, rank).

    Attributes
    ----------
    average : of the weights over steps, where ``train.ema`` asks for it
    """

    def __init__(self, *, group: Group, model: SequenceModel, objective: Objective, recipe: Recipe) -> None:
        self.model = model
        self._group, self._objective, self._recipe = group, objective, recipe
        train = recipe.train
        rest_biases(model)
        if group.world > 1 and train.sync_batch_norm:
            share_statistics(model)
        if train.checkpoint_activations:
            recompute_activations(model)
        self._ranks_differ = group.world > 1 and has_own_buffers(model)
        network = compiled(model) if train.compile else model
        self._wrapped = _parallel(network, group, broadcast_buffers=self._ranks_differ)
        self._optimizer = make_optimizer(model, recipe.optim)
        self.average = Average(model, train.ema) if train.ema else None

    def pack(self) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, Any]]:
        """Weights and optimizer, for a checkpoint."""
        tensors, plain = pack_optimizer(self._optimizer)
        packed = {"weights": dict(self.model.state_dict()), "optimizer": tensors}
        return packed if self.average is None else {**packed, "average": self.average.tensors}, plain

    def unpack(self, packed: Mapping[str, Mapping[str, torch.Tensor]], plain: Mapping[str, Any], source: Path) -> None:
        """Put back what :meth:`pack` took.

        Raises
        ------
        CorruptError : it does not fit
        """
        load_into(self.model, packed["weights"], source=source)
        unpack_optimizer(self._optimizer, packed["optimizer"], plain)
        if self.average is not None:
            self.average.restore(packed.get("average", {}), source=source)

    def reload(self, weights: Mapping[str, torch.Tensor], source: Path) -> None:
        """Go on with other weights; the optimizer stays as it is, and an average begins anew."""
        load_into(self.model, weights, source=source)
        if self.average is not None:
            self.average.restart()

    @contextmanager
    def scored(self) -> Iterator[SequenceModel]:
        """The model with the weights that are validated and kept: the same on all ranks."""
        with nullcontext() if self.average is None else self.average.in_place():
            if self._ranks_differ:  # and so do the averages of their buffers
                for buffer in self.model.buffers():
                    dist.broadcast(buffer, 0)
            yield self.model

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
        totals = self._gradient(part, units)
        limit = self._recipe.optim.clip_norm or math.inf
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), limit))
        if math.isfinite(norm):
            for parameters in self._optimizer.param_groups:
                parameters["lr"] = rate * parameters.get("lr_scale", 1.0)
            self._optimizer.step()
            if self.average is not None:
                self.average.follow(number)
        sums: list[float] = totals.tolist()
        return sums, norm

    def _gradient(self, part: TrainBatch, units: Array) -> torch.Tensor:
        """Gradient of the objective on the global batch, in ``train.accumulate`` pieces; this rank's sums (terms,),
        which are not waited for."""
        group = self._group
        # DDP averages gradients over ranks: times their number it is the sum, over the units of the global batch.
        factors = torch.tensor(self._objective.factors(units) * group.world, dtype=torch.float32, device=group.device)
        sums = torch.zeros_like(factors)
        pieces = part.pieces(self._recipe.train.accumulate)
        for number, piece in enumerate(pieces, start=1):
            with nullcontext() if number == len(pieces) else self._unsynchronised():
                sums += self._backward(piece, factors)
        return sums

    def _backward(self, piece: Piece, factors: torch.Tensor) -> torch.Tensor:
        """Add the gradient of a piece; the sum of each term."""
        train, group, batch = self._recipe.train, self._group, piece.batch
        set_dropout_keys(self.model, piece.keys)
        with products(train.precision), rows_counted(self.model, piece.counted), self._errors():
            with autocast(train.precision, group.device):
                prediction = self._wrapped(batch.sequence)
            totals = self._objective.totals(prediction.float(), batch.target, batch.valid, ranks=group)
            # A loss can overflow and its gradient not: then the gradient is made to tell all ranks.
            factors = torch.where(totals.detach().isfinite(), factors, torch.nan)
            (totals * factors).sum().backward()  # type: ignore[no-untyped-call]
        return totals.detach()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """What torch says of a batch or of a compiler that is missing, in one line."""
        try:
            with compiler_errors() if self._recipe.train.compile else nullcontext():
                yield
        except ValueError as error:
            if "more than 1 value per channel" in str(error):
                raise lone_value() from None
            raise

    def _unsynchronised(self) -> AbstractContextManager[None]:
        """Gradients stay on this rank and add up."""
        wrapped = self._wrapped
        return wrapped.no_sync() if isinstance(wrapped, DistributedDataParallel) else nullcontext()
