"""Learning rates, early stopping and the fine-tuning phase as functions of the step and of the validation losses so
far: nothing to save but those."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from drg_hpc.training.config_optim import OptimTable


@dataclass(frozen=True)
class Phase:
    """What follows after some epochs.

    Parameters
    ----------
    stop : why training ends here, in words; empty: it goes on
    best : the epoch with the least validation loss so far, from 0; None before the first
    waited : epochs since then, or since the round began
    round : of fine-tuning; 0 before it
    reload : put the weights of the best epoch back before the next one (not the optimizer's state, as DRG)
    origin : epoch whose learning rate the round starts from
    """

    stop: str = ""
    best: int | None = None
    waited: int = 0
    round: int = 0
    reload: bool = False
    origin: int | None = None


def find_phase(optim: OptimTable, *, epochs: int, patience: int, losses: Sequence[float]) -> Phase:
    """Where a training stands (DRG's rule): ``patience`` epochs without a better validation loss end it, or begin to
    tune: from the best weights with a smaller learning rate, until more than ``finetune_patience`` epochs in a row
    bring nothing better, then from the best weights again with a rate smaller still.

    Parameters
    ----------
    epochs : at most, in all
    patience : 0: no early stop
    losses : validation losses of the finished epochs
    """
    phase = Phase()
    for epoch, loss in enumerate(losses):
        better = phase.best is None or loss < losses[phase.best]
        best, waited = (epoch, 0) if better else (phase.best, phase.waited + 1)
        tuned = phase.round > 0
        limit = optim.finetune_patience if tuned else patience - 1
        phase = Phase(best=best, waited=waited, round=phase.round, origin=phase.origin)
        if (tuned or patience) and limit is not None and waited > limit:
            if phase.round >= optim.finetune_rounds:
                return Phase(_why(waited, phase.round), best, waited, phase.round, origin=phase.origin)
            origin = phase.origin if tuned else best
            phase = Phase(best=best, round=phase.round + 1, reload=True, origin=origin)
    if len(losses) >= epochs:
        return Phase("all epochs are done", phase.best, phase.waited, phase.round, origin=phase.origin)
    return phase


def _why(waited: int, number: int) -> str:
    fine = f" in round {number} of fine-tuning" if number else ""
    return f"early stop: no better validation loss for {waited} epochs{fine}"


def plateau_drops(losses: Sequence[float], patience: int) -> int:
    """How often the learning rate has fallen: each time ``patience + 1`` epochs in a row brought no new minimum."""
    drops, waited, best = 0, 0, math.inf
    for loss in losses:
        if loss < best:
            best, waited = loss, 0
            continue
        waited += 1
        if waited > patience:
            drops, waited = drops + 1, 0
    return drops


def learning_rate(
    optim: OptimTable, *, step: int, total_steps: int, steps_per_epoch: int, losses: Sequence[float], phase: Phase
) -> float:
    """The learning rate of step ``step`` (0-based).

    Parameters
    ----------
    total_steps : steps of the whole training, at the end of which cosine and linear are at ``min_lr``
    losses : validation losses of the finished epochs
    phase : of the epoch that the step is in
    """
    if phase.origin is not None:
        last = (phase.origin + 1) * steps_per_epoch - 1
        before = scheduled_rate(
            optim, step=last, total_steps=total_steps, steps_per_epoch=steps_per_epoch, losses=losses[: phase.origin]
        )
        return before * float((optim.finetune_factor or 1.0) ** phase.round)
    return scheduled_rate(optim, step=step, total_steps=total_steps, steps_per_epoch=steps_per_epoch, losses=losses)


def scheduled_rate(
    optim: OptimTable, *, step: int, total_steps: int, steps_per_epoch: int, losses: Sequence[float]
) -> float:
    """:func:`learning_rate` before fine-tuning: the warm-up, then the schedule."""
    rate, least = optim.lr, optim.min_lr or 0.0
    done, length = (step // steps_per_epoch, optim.warmup_epochs) if optim.warmup_epochs else (step, optim.warmup_steps)
    if done < length:
        if optim.warmup_start is not None:
            return rate * float(optim.warmup_start ** (1 - done / length))
        return rate * (done + 1) / length
    warm = optim.warmup_steps + optim.warmup_epochs * steps_per_epoch
    part = (step - warm) / max(total_steps - warm, 1)
    if optim.schedule == "cosine":
        return least + (rate - least) * 0.5 * (1.0 + math.cos(math.pi * part))
    if optim.schedule == "linear":
        return rate + (least - rate) * part
    if optim.schedule == "plateau":
        drops = plateau_drops(losses[optim.warmup_epochs :], optim.plateau_patience or 0)
        return max(rate * float((optim.plateau_factor or 1.0) ** drops), least)
    return rate
