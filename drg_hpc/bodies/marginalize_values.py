"""Changes of values by insertions into backgrounds: every sequence in full, or only what an insertion changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.attribution.edits import Edits
from drg_hpc.attribution.full import Evaluator
from drg_hpc.attribution.views import View
from drg_hpc.bodies.predictor import Predictor
from drg_hpc.errors import InputError
from drg_hpc.experiments.marginal_designs import Design, Item
from drg_hpc.experiments.marginal_sites import Sites, put, window_of
from drg_hpc.experiments.perturb_copies import Codes
from drg_hpc.genome.onehot import codes_to_onehot
from drg_hpc.models.compute import array_tensor, module_place
from drg_hpc.results.attributions_blocks import UNDEFINED, undefined_at
from drg_hpc.runs.signals import check_stop

Changes = NDArray[np.float64]


@dataclass(frozen=True)
class Experiment:
    """What is put into what.

    Attributes
    ----------
    codes : backgrounds (n, L)
    before : their values (n, k), means over models
    sites : what an insertion puts into each background
    items : motifs and sequences, which designs name by their number
    """

    codes: Codes
    before: Changes
    sites: Sites
    items: Sequence[Item]


def require_finite(values: Changes, tracks: Sequence[str], place: Callable[..., str]) -> None:
    """Refuse values that are not finite.

    Parameters
    ----------
    values : (…, k)
    tracks : names of the k
    place : words for the place (…) of a value

    Raises
    ------
    InputError : the first of them
    """
    if found := undefined_at(values):
        *at, track = found
        raise InputError(f"the value of track {tracks[track]!r} is not finite {place(*at)}", fix=UNDEFINED)


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
    """Every sequence through the whole models."""

    name = "full"
    deviation: float | None = None

    def __init__(self, predictor: Predictor, experiment: Experiment) -> None:
        self._predictor, self._experiment = predictor, experiment

    def changes(self, insertions: Sequence[Design]) -> Changes:
        """See :class:`Engine`."""
        given = self._experiment
        made = [put(given.codes, given.sites, insertion) for insertion in insertions]
        values = self._predictor(np.concatenate(made)).mean(axis=1)
        found: Changes = values.reshape(len(insertions), *given.before.shape) - given.before
        return found


class IncrementalEngine:
    """Only what an insertion changes: a window from the first base of its sites to the last, in each background.

    Parameters
    ----------
    evaluators : of each model and view
    """

    name = "incremental"

    def __init__(
        self, evaluators: Sequence[Mapping[View, Evaluator]], modules: Sequence[torch.nn.Module],
        experiment: Experiment,
    ) -> None:  # fmt: skip
        self._evaluators, self._experiment = evaluators, experiment
        self._places = [module_place(module) for module in modules]
        found = [each.deviation for views in evaluators for each in views.values() if each.deviation is not None]
        self.deviation = max(found, default=None)

    def changes(self, insertions: Sequence[Design]) -> Changes:
        """See :class:`Engine`."""
        given = self._experiment
        windows = [window_of(insertion, given.items) for insertion in insertions]
        starts = np.array([start for start, _ in windows], np.int64)
        widths = np.array([end - start for start, end in windows], np.int64)
        made = [put(given.codes, given.sites, insertion)[:, start:end]
                for insertion, (start, end) in zip(insertions, windows, strict=True)]  # fmt: skip
        out = np.empty((len(insertions), *given.before.shape))
        for number, codes in enumerate(given.codes):
            check_stop()
            edits = Edits(starts, widths, np.concatenate([each[number] for each in made]))
            out[:, number] = self._background(codes, edits)
        return out

    def _background(self, codes: Codes, edits: Edits) -> Changes:
        """Changes (E, k) of one background: the mean over models of means over views."""
        length, found = len(codes), []
        onehot = array_tensor(codes_to_onehot(codes).T)
        for views, (device, dtype) in zip(self._evaluators, self._places, strict=True):
            for view, evaluator in views.items():
                x = view.apply(onehot.to(dtype))[None].contiguous().to(device)
                row, values = evaluator.values([x], [], edits.as_seen(view, length))
                found.append((values.double() - row.double()).cpu().numpy())
        return np.asarray(np.mean(found, axis=0))
