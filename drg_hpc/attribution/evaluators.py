"""Which way the values of edits are computed."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch

from drg_hpc.attribution.edits import Edits, concatenated, deletions, sequence_codes, substitutions
from drg_hpc.attribution.full import Evaluator, FullEvaluator
from drg_hpc.attribution.incremental.evaluator import IncrementalEvaluator
from drg_hpc.attribution.incremental.traces import Untraceable
from drg_hpc.attribution.targets import Statistic
from drg_hpc.errors import UsageError
from drg_hpc.models.blocks_pooling import RowMinimumWeightedPool
from drg_hpc.rng import row_generator

log = logging.getLogger(__name__)
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}
"""Largest difference of the two engines, as a share of the largest |value|; 1e-4 for any other type."""
_TRIED = 16
"""Positions at which the engines are compared, besides the first and the last."""


def runs_alone(module: torch.nn.Module) -> bool:
    """Whether a model was imported with ``drg-import drg --compat``: its pools pad with a minimum over the pass."""
    return any(isinstance(part, RowMinimumWeightedPool) for part in module.modules())


def choose(
    statistic: Statistic,
    xs: Sequence[torch.Tensor],
    params: Sequence[torch.Tensor],
    *,
    engine: str,
    batch: int,
    input: int = 0,
) -> Evaluator:
    """The evaluator of edits of one input.

    ``auto`` is incremental where the model can be traced and gives what the full model gives at positions that are
    tried, else full, and the log says why. A model whose pools pad with a minimum over the sequence as imported by
    ``drg-import drg --compat`` always runs in full, one sequence at a time.

    Parameters
    ----------
    xs, params : of one row (1, …), which is tried
    engine : auto, incremental or full
    batch : rows of a pass in full

    Raises
    ------
    UsageError : incremental was asked for and cannot be
    """
    if runs_alone(statistic.module):
        if engine == "incremental":
            raise UsageError("--engine incremental: a model imported with --compat is run one whole sequence at a time",
                             fix="--engine full, or import it without --compat")  # fmt: skip
        return FullEvaluator(statistic, batch=1)
    full = FullEvaluator(statistic, batch=batch)
    if engine == "full":
        return full
    try:
        found = IncrementalEvaluator(statistic, xs, params, input=input)
        difference = _difference(found, full, xs, params, input)
    except Untraceable as error:
        if engine == "incremental":
            raise
        log.info("every mutant through the whole model: %s", error)
        return full
    if difference <= TOLERANCE.get(xs[0].dtype, 1e-4):
        found.deviation = difference
        log.info("incremental engine: at the positions tried it differs from the whole model by %.2g of the largest "
                 "value; %.3g multiply-adds a substitution", difference, found.macs)  # fmt: skip
        return found
    why = f"its values differ from those of the whole model by {difference:.2g} of the largest"
    if engine == "incremental":
        raise UsageError(f"--engine incremental: {why}", fix="--engine full")
    log.warning("the incremental engine is not used: %s", why)
    return full


def _difference(
    found: Evaluator, full: Evaluator, xs: Sequence[torch.Tensor], params: Sequence[torch.Tensor], input: int
) -> float:
    """Largest difference of two evaluators at some positions, as a share of the largest |value|."""
    edits = _tried(xs[input][0], input)
    one, other = (torch.cat([row[None], each]) for row, each in (e.values(xs, params, edits) for e in (found, full)))
    scale = max(float(other.abs().nan_to_num(0.0, 0.0).max()), torch.finfo(other.dtype).tiny)
    same = (one == other) | (one.isnan() & other.isnan())
    return float(torch.where(same, 0.0, (one - other).abs() / scale).nan_to_num(torch.inf).max())


def _tried(x: torch.Tensor, input: int) -> Edits:
    """Substitutions at the first, the last and some random positions of a sequence (4, L), and its first base left
    out: all others move, which tells where differences of large values are not exact."""
    codes = sequence_codes(x.cpu().numpy())
    length = len(codes)
    drawn = row_generator(0, length, "ism:tried").integers(0, length, _TRIED)
    changed = substitutions(codes, np.unique([0, *drawn, length - 1]), input=input)
    return concatenated([changed, deletions(codes, np.zeros(1, np.int64), 1, input=input)])
