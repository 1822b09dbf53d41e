"""Changes of values by insertions into backgrounds: every sequence in full, or only what an insertion changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.attribution.edits import Edits
from drg_hpc.attribution.full import Evaluator
from drg_hpc.attribution.views import View
from drg_hpc.bodies.perturb_predict import Predictor
from drg_hpc.experiments.marginal_designs import Design, Item
from drg_hpc.experiments.marginal_sites import Sites, put, window_of
from drg_hpc.experiments.perturb_copies import Codes
from drg_hpc.genome.onehot import codes_to_onehot
from drg_hpc.models.compute import array_tensor, module_place
from drg_hpc.runs.signals import check_stop

Changes = NDArray[np.float64]


class Engine(Protocol):
    """Computes changes.

    Attributes
    ----------
    name : full or incremental
    deviation : see :class:`drg_hpc.attribution.full.Evaluator`
    """

    name: str
    deviation: float | None

    def changes(self, insertions: Sequence[Design]) -> Changes:
        """(insertions, backgrounds, k), means over models."""


class FullEngine:
    """Every sequence through the whole models.

    Parameters
    ----------
    codes : backgrounds (n, L)
    before : their values (n, k), means over models
    """

    name = "full"
    deviation: float | None = None

    def __init__(self, predictor: Predictor, codes: Codes, before: Changes, sites: Sites) -> None:
        self._predictor, self._codes, self._before, self._sites = predictor, codes, before, sites

    def changes(self, insertions: Sequence[Design]) -> Changes:
        """See :class:`Engine`."""
        made = [put(self._codes, self._sites, insertion) for insertion in insertions]
        values = self._predictor(np.concatenate(made)).mean(axis=1)
        found: Changes = values.reshape(len(insertions), *self._before.shape) - self._before
        return found


class IncrementalEngine:
    """Only what an insertion changes: a window from the first base of its sites to the last, in each background.

    Parameters
    ----------
    evaluators : of each model and view
    """

    name = "incremental"

    def __init__(
        self, evaluators: Sequence[Mapping[View, Evaluator]], modules: Sequence[torch.nn.Module], codes: Codes,
        sites: Sites, items: Sequence[Item], *, values: int,
    ) -> None:  # fmt: skip
        self._evaluators, self._codes, self._sites, self._items = evaluators, codes, sites, items
        self._places, self._values = [module_place(module) for module in modules], values
        found = [each.deviation for views in evaluators for each in views.values() if each.deviation is not None]
        self.deviation = max(found, default=None)

    def changes(self, insertions: Sequence[Design]) -> Changes:
        """See :class:`Engine`."""
        windows = [window_of(insertion, self._items) for insertion in insertions]
        starts = np.array([start for start, _ in windows], np.int64)
        widths = np.array([end - start for start, end in windows], np.int64)
        made = [put(self._codes, self._sites, insertion)[:, start:end]
                for insertion, (start, end) in zip(insertions, windows, strict=True)]  # fmt: skip
        out = np.empty((len(insertions), len(self._codes), self._values))
        for number in range(len(self._codes)):
            check_stop()
            edits = Edits(starts, widths, np.concatenate([each[number] for each in made]))
            out[:, number] = self._background(self._codes[number], edits)
        return out

    def _background(self, codes: Codes, edits: Edits) -> Changes:
        """Changes (E, k) of one background: the mean over models of means over views."""
        length, found = len(codes), []
        onehot = array_tensor(codes_to_onehot(codes).T)
        for views, (device, dtype) in zip(self._evaluators, self._places, strict=True):
            for view, evaluator in views.items():
                x = view.apply(onehot.to(dtype))[None].contiguous().to(device)
                row, values = evaluator.values([x], [], _as_seen(edits, view, length))
                found.append((values.double() - row.double()).cpu().numpy())
        return np.asarray(np.mean(found, axis=0))


def _as_seen(edits: Edits, view: View, length: int) -> Edits:
    """Edits of a background as edits of what a view shows to the model."""
    moved = edits.shifted(view.shift, length)
    return moved.mirrored(length) if view.reverse else moved
