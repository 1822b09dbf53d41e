"""Which way changes by insertions are computed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from drg_hpc.attribution.evaluators import choose
from drg_hpc.attribution.incremental.evaluator import IncrementalEvaluator
from drg_hpc.attribution.incremental.traces import macs_of
from drg_hpc.attribution.targets_make import make_statistic
from drg_hpc.attribution.views import make_views
from drg_hpc.bodies.marginalize_values import Engine, Experiment, FullEngine, IncrementalEngine
from drg_hpc.bodies.predictor import Predictor
from drg_hpc.experiments.marginal_designs import Design, Item
from drg_hpc.experiments.marginal_sites import window_of
from drg_hpc.genome.onehot import codes_to_onehot
from drg_hpc.models.compute import array_tensor, module_place

log = logging.getLogger(__name__)
_LEAST_SAVING = 4.0
"""Times fewer multiply-adds from which on computing only what changes is worth it: it does fewer of them a second."""


def make_engine(
    modules: Sequence[torch.nn.Module], params: dict[str, Any], predictor: Predictor, experiment: Experiment, *,
    typical: Sequence[Design], macs: int, batch: int,
) -> Engine:  # fmt: skip
    """The engine that ``params["engine"]`` asks for.

    Parameters
    ----------
    typical : insertions that the work is judged by
    macs : multiply-adds of a whole pass of one sequence
    batch : sequences of a pass

    Raises
    ------
    UsageError : incremental was asked for and cannot be
    """
    full = FullEngine(predictor, experiment)
    asked = params["engine"]
    if asked == "full":
        return full
    evaluators = []
    onehot = array_tensor(codes_to_onehot(experiment.codes[0]).T)
    for module in modules:
        device, dtype = module_place(module)
        own = {}
        for view in make_views(rc_average=params["rc_average"], shifts=params["shifts"]):
            statistic = make_statistic(params["target"], module).seen_by(view)
            x = view.apply(onehot.to(dtype))[None].contiguous().to(device)
            found = choose(statistic, [x], [], engine=asked, batch=batch)
            if not isinstance(found, IncrementalEvaluator) or (
                asked == "auto" and not _pays(found, typical, experiment.items, macs)
            ):
                return full
            own[view] = found
        evaluators.append(own)
    return IncrementalEngine(evaluators, modules, experiment)


def _pays(found: IncrementalEvaluator, typical: Sequence[Design], items: Sequence[Item], macs: int) -> bool:
    """Whether computing only what insertions change is much less work; not known where operations are not counted."""
    starts, ends = np.array([window_of(insertion, items) for insertion in typical], np.int64).T
    each = found.plan.macs(found.plan.windows(starts, ends)) / len(starts) + sum(map(macs_of, found.plan.whole))
    log.info("an insertion changes %.3g of %.3g multiply-adds", each, macs)
    return 0 < each * _LEAST_SAVING <= macs
