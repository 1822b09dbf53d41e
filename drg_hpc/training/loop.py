"""The training loop: the same sequence of states on any number of processes, with or without interruptions."""

from __future__ import annotations

import errno
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drg_hpc.errors import EXIT_FAILED, DrgError, Stopped
from drg_hpc.models.base import SequenceModel
from drg_hpc.store.sampler import Order, Sampler
from drg_hpc.training.checkpoints import read_checkpoint, save_checkpoint
from drg_hpc.training.config import CheckpointTable, Recipe
from drg_hpc.training.distributed import Group
from drg_hpc.training.evaluate import Validator
from drg_hpc.training.loader import Loader, Samples, TrainBatch
from drg_hpc.training.objective import Objective
from drg_hpc.training.schedule import Phase, find_phase, learning_rate
from drg_hpc.training.state import Best, TrainState
from drg_hpc.training.step import Stepper
from drg_hpc.training.step_log import StepLog
from drg_hpc.training.stop import MAX_STEPS, MAX_TIME, LimitReached, StopRequests
from drg_hpc.training.throughput import Meter

log = logging.getLogger(__name__)
Array = np.ndarray[Any, Any]


class Diverged(DrgError):
    """The loss or its gradient stopped being finite."""

    exit_code = EXIT_FAILED


@dataclass(frozen=True)
class Rows:
    """Global row numbers for training, the units of each term of the loss in them, and the samples of an epoch."""

    train: Array
    units: Array
    sampler: Sampler


class Trainer:
    """Trains one model; :meth:`fit` runs to the end, or raises :class:`Stopped` with a checkpoint written.

    Parameters
    ----------
    folder : ``MODEL/checkpoints``
    on_epoch : called on rank 0 after each epoch
    """

    def __init__(
        self,
        *,
        group: Group,
        stepper: Stepper,
        loader: Loader,
        validator: Validator,
        rows: Rows,
        objective: Objective,
        recipe: Recipe,
        checkpoints: CheckpointTable,
        folder: Path,
        stop: StopRequests,
        meter: Meter,
        step_log: StepLog,
        on_epoch: Callable[[TrainState], None],
    ) -> None:
        self.state = TrainState()
        self.best_weights: dict[str, torch.Tensor] = {}
        self._group, self._stepper, self._loader = group, stepper, loader
        self._validator, self._rows, self._objective = validator, rows, objective
        self._recipe, self._checkpoints, self._folder = recipe, checkpoints, folder
        self._stop, self._meter, self._step_log, self._on_epoch = stop, meter, step_log, on_epoch
        self._steps_per_epoch = -(-rows.sampler.samples // recipe.train.batch_size)
        self._saved_step = -1
        self._job_steps = 0
        self._begin_phase()

    @property
    def model(self) -> SequenceModel:
        """The model, not wrapped."""
        return self._stepper.model

    def restore(self, checkpoint: Path) -> None:
        """Go on from a checkpoint, with this number of ranks or another."""
        tensors, state = read_checkpoint(checkpoint)
        self._stepper.unpack(tensors, state["optimizer"], checkpoint)
        self.best_weights = tensors.get("best", {})
        self.state = TrainState.from_json(state["progress"], rank=self._group.rank, world=self._group.world)
        self._saved_step = self.state.step

    def _save(self) -> None:
        """Write a checkpoint of this step, unless it is there; every rank takes part."""
        if self._saved_step == self.state.step:
            return
        sums = self._group.gather_values(self.state.loss_sums)
        tensors, optimizer = self._stepper.pack()
        if self.best_weights:
            tensors["best"] = self.best_weights
        values = {"progress": self.state.to_json(sums), "optimizer": optimizer}
        step, keep = self.state.step, self._checkpoints.keep

        def write() -> None:
            if not self._folder.parent.is_dir():  # nothing is begun anew in the place of what somebody took away
                raise FileNotFoundError(errno.ENOENT, "the folder of the training is gone", str(self._folder.parent))
            save_checkpoint(self._folder, step=step, tensors=tensors, state=values, keep=keep)

        self._group.on_main(write)
        self._saved_step = step

    def fit(self) -> None:
        """Train until :func:`find_phase` says that it ends.

        Raises
        ------
        Stopped : STOP file, signal or limit; a checkpoint of the same step is there on all ranks
        Diverged : a loss that is not finite; the last good checkpoint is kept
        """
        self._step_log.open(self.state.step)
        while not (phase := self._begin_phase()).stop:
            self._check_stop(poll=True)
            if phase.reload and not self.state.step_in_epoch:
                self._stepper.reload(self.best_weights, self._folder)
            self._epoch()
        if self._group.main:
            log.info("%s", phase.stop)

    def _begin_phase(self) -> Phase:
        """Settle, once an epoch, what the losses so far say of it."""
        train, losses = self._recipe.train, self.state.losses
        self._losses, self._phase = losses, find_phase(
            self._recipe.optim, epochs=train.epochs, patience=train.patience, losses=losses
        )  # fmt: skip
        return self._phase

    def _check_stop(self, *, poll: bool = False) -> None:
        reason = self._stop.agreed(self._group, job_steps=self._job_steps, poll=poll)
        if reason is None:
            return
        self._save()
        kind = LimitReached if reason in (MAX_TIME, MAX_STEPS) else Stopped
        raise kind(
            f"{reason}: checkpoint written at step {self.state.step} (epoch {self.state.epoch + 1})",
            fix="run the same command again to go on",
        )

    def _epoch(self) -> None:
        state, size, loader = self.state, self._recipe.train.batch_size, self._loader
        order = self._rows.sampler.epoch(state.epoch)
        first = state.step_in_epoch * size
        started, loader.wait_s = time.monotonic(), 0.0
        places = [slice(start, start + size) for start in range(first, len(order.positions), size)]
        with loader.batches((self._samples(order, place) for place in places), epoch=state.epoch) as batches:
            for place in places:
                self._step(next(batches), order.positions[place])
                if state.step_in_epoch < self._steps_per_epoch:
                    if self._checkpoints.every and state.step % self._checkpoints.every == 0:
                        self._save()
                    self._check_stop()
        seconds = max(time.monotonic() - started, 1e-9)
        self._check_stop(poll=True)  # before a validation that may be long
        rows = max(len(order.positions) - first, 0)
        self._end_epoch(self._meter.row(rows=rows, seconds=seconds, waited=loader.wait_s))
        self._save()

    def _samples(self, order: Order, place: slice) -> Samples:
        repeats = None if order.repeats is None else order.repeats[place]
        return Samples(self._rows.train[order.positions[place]], repeats)

    def _step(self, part: TrainBatch, positions: Array) -> None:
        state = self.state
        units = self._rows.units[positions].sum(0)
        rate = self._rate(state.step)
        sums, norm = self._stepper.step(part, units=units, number=state.step, rate=rate)
        if not math.isfinite(norm):  # the same on all ranks, so all stop here
            self._diverged(f"norm of the gradient {norm}")
        state.add(sums, units)
        state.step += 1
        self._step_log.step(state.step, sums=sums, units=units, rows=len(positions), norm=norm, rate=rate)
        state.step_in_epoch += 1
        self._job_steps += 1

    def _rate(self, step: int) -> float:
        """Learning rate of a step of the current epoch."""
        total = self._recipe.train.epochs * self._steps_per_epoch
        return learning_rate(
            self._recipe.optim,
            step=step,
            total_steps=total,
            steps_per_epoch=self._steps_per_epoch,
            losses=self._losses,
            phase=self._phase,
        )

    def _diverged(self, what: str) -> None:
        state = self.state
        kept = "no checkpoint yet" if self._saved_step < 0 else f"checkpoint of step {self._saved_step} is kept"
        raise Diverged(
            f"training diverged at step {state.step} (epoch {state.epoch + 1}): {what}; {kept}",
            fix="lower optim.lr or set optim.clip_norm, and train into another -o",
        )

    def _end_epoch(self, speed: dict[str, float | None]) -> None:
        state = self.state
        sums = np.array(self._group.sum(state.loss_sums))
        train_loss = float((sums * self._objective.factors(np.array(state.units))).sum())
        with self._stepper.scored() as model:
            scores = self._validator(model)
            better = state.best is None or scores.loss < state.best.loss
            weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()} if better else {}
        for name, value in (("training loss", train_loss), ("validation loss", scores.loss)):
            if not math.isfinite(value):
                self._diverged(f"{name} {value}")
        losses = {"train_loss": train_loss, "valid_loss": scores.loss}
        row = {"epoch": state.epoch + 1, "step": state.step, "lr": self._rate(state.step - 1)}
        state.history.append({**row, **losses, **scores.means})
        state.speed.append({"epoch": state.epoch + 1, **speed})
        self._step_log.epoch(state.step, {**losses, **scores.means, **speed})
        if better:
            state.best = Best(state.epoch, state.step, scores.loss, scores.means, scores.tracks)
            self.best_weights = weights
        state.next_epoch()
        self._saved_step = -1  # a checkpoint of the same step from before the validation is out of date
        if self._group.main:
            self._on_epoch(state)
