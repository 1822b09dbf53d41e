"""What only the libraries of the workers can count for a plan of drg-ism: positions on the genome, and operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from drg_hpc.attribution.engine import placed
from drg_hpc.attribution.evaluators import runs_alone
from drg_hpc.attribution.incremental.evaluator import IncrementalEvaluator
from drg_hpc.attribution.incremental.traces import Untraceable
from drg_hpc.attribution.targets import Statistic
from drg_hpc.bodies.ism_positions import Positions
from drg_hpc.bodies.selection import model_keys
from drg_hpc.bodies.value_work import rows_of, statistic_of
from drg_hpc.models.io import load_model
from drg_hpc.runs.plan import Plan

_ROWS_AT_ONCE = 4096


def count_positions(plan: Plan) -> list[list[int]]:
    """Positions of each input that are mutated, row by row.

    Raises
    ------
    InputError : positions are intervals of the genome, and a row has no place there
    """
    source, positions = rows_of(plan), Positions(plan.params, plan.inputs)
    rows, found = int(plan.params["rows"]), []
    for start in range(0, rows, _ROWS_AT_ONCE):
        stop = min(start + _ROWS_AT_ONCE, rows)
        masks = positions.of(source.regions(start, stop), source.intervals(start, stop))
        found += np.stack([mask.sum(axis=1) for mask in masks], axis=1).tolist()
    return found


def count_macs(plan: Plan) -> dict[str, float]:
    """Multiply-adds of a substitution with the incremental engine, by input that is mutated; of the first model.

    Raises
    ------
    Untraceable : the engine cannot follow the model
    """
    module = load_model(plan.inputs[model_keys(plan.inputs)[0]]["path"])
    if runs_alone(module):
        raise Untraceable("it was imported with --compat and is run one whole sequence at a time")
    statistic = statistic_of(plan, module, rows_of(plan))
    sequences: Mapping[str, int] = dict(plan.params["sequences"])
    xs = _random_row(list(sequences.values()))
    params = [placed(each, xs[0].device, xs[0].dtype) for each in statistic.params([0])]
    return {
        name: _macs(statistic, xs, params, number)
        for number, name in enumerate(sequences)
        if name in plan.params["mutated"]
    }


def _macs(statistic: Statistic, xs: Sequence[torch.Tensor], params: Sequence[torch.Tensor], number: int) -> float:
    return float(IncrementalEvaluator(statistic, xs, params, input=number).macs)


def _random_row(lengths: Sequence[int]) -> list[torch.Tensor]:
    """One-hot (1, 4, L) of each input."""
    generator = np.random.default_rng(0)
    return [torch.eye(4)[torch.from_numpy(generator.integers(0, 4, n))].T[None].contiguous() for n in lengths]


__all__ = ["Untraceable", "count_macs", "count_positions"]
