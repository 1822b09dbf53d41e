"""What an evaluation is of: models or their predictions, the tracks they share, and the rows of a store."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.models.compute import device_model, prepare_torch
from drg_hpc.models.header import read_model_header, track_links
from drg_hpc.models.io import load_model
from drg_hpc.prediction.baselines import LINEAR, MEAN, fit_baselines
from drg_hpc.prediction.classes import Group, class_groups, modality_groups
from drg_hpc.prediction.config import EvaluateOptions
from drg_hpc.prediction.held_out import HELD_OUT, NAME, HeldOut, Mask, held_out_rows, seen_rows
from drg_hpc.prediction.predictors import ENSEMBLE, Ensemble, Kind, ModelPredictor, Predictor, SavedPredictor
from drg_hpc.prediction.rows import Rows, check_bins, input_names, track_places
from drg_hpc.prediction.saved import check_predictions
from drg_hpc.results.reader import Predictions, read_predictions
from drg_hpc.runs.devices import choose_gpus
from drg_hpc.store.reader import DatasetStore

log = logging.getLogger(__name__)
Place = tuple[str, int]


@dataclass(frozen=True)
class Setup:
    """All that is evaluated.

    Parameters
    ----------
    tracks : names
    groups : all tracks, classes, modalities
    facts : for done.json
    notes : for metrics.json
    """

    source: Rows
    tracks: list[str]
    groups: list[Group]
    predictors: list[Predictor]
    facts: dict[str, Any]
    notes: list[str]


@dataclass
class Candidate:
    """One model.

    Parameters
    ----------
    places : where in the store its tracks are
    columns : their numbers among the tracks of the model
    made : its predictions, when they are not made here
    """

    name: str
    path: Path
    header: dict[str, Any]
    made: Predictions | None = None
    places: list[Place] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)

    def find(self, store: DatasetStore) -> None:
        """Look its tracks up in a store, and check that they fit."""
        places = track_places(self.header, store)
        self.columns = list(range(len(places)))
        if self.made is not None:
            self.columns = [int(index) for index, _ in self.made.attributes["params"]["tracks"]]
        self.places = [places[column] for column in self.columns]
        check_bins(self.header, store, self.places)


def names_of(paths: Sequence[Path]) -> list[str]:
    """A short name for each model: its folder's, with as many of the folders above as tell all apart."""
    taken = {ENSEMBLE, LINEAR, MEAN, NAME}
    parts = [path.absolute().parts for path in paths]
    for count in range(1, max(map(len, parts)) + 1):
        names = [str(Path(*part[-count:])) for part in parts]
        if len(set(names)) == len(names) and not taken & set(names):
            return names
    return [f"{number}:{path}" for number, path in enumerate(paths, start=1)]


def _shared(candidates: Sequence[Candidate]) -> tuple[list[Place], list[str]]:
    """Tracks of the first that all predict, in its order, and what is left out in words."""
    first = candidates[0]
    shared = [place for place in first.places if all(place in other.places for other in candidates)]
    if not shared:
        names = ", ".join(candidate.name for candidate in candidates)
        raise InputError(f"no track is predicted by all of {names}", fix="evaluate them one by one")
    left = [(c.name, len(c.places) - len(shared)) for c in candidates if len(c.places) > len(shared)]
    return shared, [f"{count} tracks of {name} are left out: not every model predicts them" for name, count in left]


def _select(
    options: EvaluateOptions, store: DatasetStore, candidates: Sequence[Candidate], sha256: str
) -> tuple[NDArray[np.int64], Mask | None, list[str]]:
    """Rows, which models have not seen them where that is the split, and what to say of rows that were seen."""
    seen = {candidate.name: seen_rows(candidate.header, store, sha256=sha256) for candidate in candidates}
    if options.split == HELD_OUT:
        rows, unseen = held_out_rows(store, seen)
        return rows, unseen, []
    rows = store.split_rows(options.split)
    if len(rows) == 0:
        raise InputError(f"split {options.split!r} of {options.store} has no rows", fix="choose another with --split")
    counts = {name: int(mask[rows].sum()) for name, mask in seen.items() if mask is not None}
    notes = [
        f"{name} was trained or chosen on {count} of these {len(rows)} rows" for name, count in counts.items() if count
    ]
    return rows, None, notes


def _device(options: EvaluateOptions) -> str:
    """The device to predict on; the GPU chosen becomes the only visible one."""
    gpus = choose_gpus(options.device, uses_gpu=True)
    if not gpus:
        return "cpu"
    os.environ["CUDA_VISIBLE_DEVICES"] = gpus[0]
    return "cuda:0"


def _open(
    options: EvaluateOptions, store: DatasetStore, *, models: Sequence[Path], runs: Sequence[Path],
    inputs: dict[str, dict[str, Any]],
) -> tuple[list[Candidate], NDArray[np.int64], Mask | None, list[str]]:  # fmt: skip
    """Models with their predictions, rows, which models have not seen them, and what to say of rows that were seen."""
    candidates = [Candidate(name, path, read_model_header(path)) for name, path in zip(names_of(models), models,
                                                                                       strict=True)]  # fmt: skip
    rows, unseen, notes = _select(options, store, candidates, inputs["store"]["sha256"])
    if runs and len(runs) < len(candidates):  # of the mean of all models, which drg-predict has found alike
        candidates = [replace(candidates[0], name=ENSEMBLE)]
    for candidate, run in zip(candidates, runs, strict=False):
        candidate.made = read_predictions(run)
    if runs:
        rows = check_predictions(candidates, runs, options=options, inputs=inputs, rows=rows)
    return candidates, rows, unseen, notes


def set_up(
    options: EvaluateOptions, store: DatasetStore, *, models: Sequence[Path], runs: Sequence[Path],
    inputs: dict[str, dict[str, Any]],
) -> Setup:  # fmt: skip
    """Open everything and check that it belongs together.

    Parameters
    ----------
    models, runs : folders; runs of predictions, none, one a model, or one of the mean of all
    inputs : descriptions, for checking what predictions were made with

    Raises
    ------
    InputError : model, store and predictions do not belong together; no rows in the split; no class for a track
    """
    candidates, rows, unseen, notes = _open(options, store, models=models, runs=runs, inputs=inputs)
    for candidate in candidates:
        candidate.find(store)
    shared, left = _shared(candidates)
    notes += left
    for note in notes:
        log.warning("%s", note)
    first = candidates[0]
    columns = [first.columns[first.places.index(place)] for place in shared]
    tracks = [str(first.header["tracks"][column]) for column in columns]
    groups = [Group("all", "all", tuple(range(len(tracks))))]
    groups += class_groups(options.classes, tracks) if options.classes else []
    groups += modality_groups(first.header, columns)
    predictors, needed, facts = _predictors(options, store, candidates, shared)
    if unseen is not None:
        predictors = [HeldOut(predictors, unseen)]
    elif options.ensemble and len(predictors) > 1:
        predictors.append(Ensemble(list(predictors)))
    if options.baselines:
        needed = list(store.inputs)
        train = Rows(store, store.split_rows("train"), places=shared, inputs=needed)
        predictors += fit_baselines(train, span=int(first.header["span"]))
    source = Rows(store, rows, places=shared, inputs=needed)
    return Setup(source, tracks, groups, predictors, facts, notes)


def _predictors(
    options: EvaluateOptions, store: DatasetStore, candidates: Sequence[Candidate], shared: Sequence[Place]
) -> tuple[list[Predictor], list[str], dict[str, Any]]:
    """Predictors, inputs that they need, facts."""
    orders = [[candidate.places.index(place) for place in shared] for candidate in candidates]
    if candidates[0].made is not None:
        return [_saved(c, order) for c, order in zip(candidates, orders, strict=True)], [], {"device": "as predicted"}
    device = _device(options)
    prepare_torch(options.threads)
    found: list[Predictor] = []
    needed: list[str] = []
    for candidate, order in zip(candidates, orders, strict=True):
        names = input_names(candidate.header, store)
        module = load_model(candidate.path, device=device)
        found.append(ModelPredictor(candidate.name, module, inputs=names, order=order,
                                    links=track_links(candidate.header), rc_average=options.rc_average))  # fmt: skip
        needed += names
    return found, needed, {"device": device_model(device)}


def _saved(candidate: Candidate, order: Sequence[int]) -> Predictor:
    made = candidate.made
    assert made is not None, "runs are given for all models or for none"
    links = track_links(candidate.header)
    chosen = [links[column] for column in candidate.columns] if made.scale == "link" else None
    kind: Kind = "ensemble" if candidate.name == ENSEMBLE else "model"
    return SavedPredictor(candidate.name, made.values, kind=kind, order=order, links=chosen)
