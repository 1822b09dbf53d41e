"""Learning rates as a function of the step and of the validation losses so far: nothing to save but those."""

from __future__ import annotations

import math
from collections.abc import Sequence

from drg_hpc.training.config import OptimTable


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


def learning_rate(optim: OptimTable, *, step: int, total_steps: int, losses: Sequence[float]) -> float:
    """The learning rate of step ``step`` (0-based).

    Parameters
    ----------
    total_steps : steps of the whole training (cosine falls to 0 there)
    losses : validation losses of the finished epochs
    """
    rate = optim.lr
    if step < optim.warmup_steps:
        return rate * (step + 1) / optim.warmup_steps
    if optim.schedule == "cosine":
        span = max(total_steps - optim.warmup_steps, 1)
        return rate * 0.5 * (1.0 + math.cos(math.pi * (step - optim.warmup_steps) / span))
    if optim.schedule == "plateau":
        drops: int = plateau_drops(losses, optim.plateau_patience)
        return rate * float(optim.plateau_factor**drops)
    return rate
