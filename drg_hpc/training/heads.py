"""The modalities of a training: which tracks are whose, with which loss, and what is scored."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drg_hpc.config import nearest
from drg_hpc.errors import UsageError
from drg_hpc.models.base import HeadShape
from drg_hpc.models.config import Link
from drg_hpc.training.config import ModalityTable, Recipe
from drg_hpc.training.losses import LOSSES, Loss, TargetFacts, choose_loss
from drg_hpc.training.objective import HeadLoss, Objective


@dataclass(frozen=True)
class Modality:
    """Neighbouring tracks of one modality.

    Parameters
    ----------
    tracks : where they are among the tracks of the training
    """

    name: str
    tracks: slice

    @property
    def count(self) -> int:
        """Number of tracks."""
        return int(self.tracks.stop - self.tracks.start)


def in_modalities(track_info: Sequence[Mapping[str, Any]], tracks: Sequence[int]) -> list[Modality]:
    """The modalities of chosen tracks, which :func:`drg_hpc.training.tracks.select_tracks` has put together."""
    found, first = [], 0
    for name, run in itertools.groupby(str(track_info[track]["modality"]) for track in tracks):
        count = len(list(run))
        found.append(Modality(name, slice(first, first + count)))
        first += count
    return found


@dataclass(frozen=True)
class Plan:
    """Losses of a training.

    Attributes
    ----------
    objective, validation : what is minimised, and what chooses the weights
    heads : shapes for the model
    scores : tracks and metrics of each modality
    described : a word or two for the log
    """

    objective: Objective
    validation: Objective
    heads: tuple[HeadShape, ...]
    scores: list[tuple[slice, tuple[str, ...]]]
    described: str


def plan_losses(recipe: Recipe, modalities: Sequence[Modality], *, bins: int, facts: Sequence[TargetFacts]) -> Plan:
    """Settle the losses of all modalities.

    Parameters
    ----------
    facts : what the targets of each modality are like

    Raises
    ------
    UsageError : a table for a modality that is not there, no loss that counts, or losses of one modality on
        different scales
    InputError : loss and targets do not fit
    """
    known = [modality.name for modality in modalities]
    for name in recipe.modality:
        if name not in known:
            raise UsageError(f"[modality.{name}]: the training has no such modality", fix=nearest(name, known))
    train, valid, heads = [], [], []
    for modality, seen in zip(modalities, facts, strict=True):
        table = recipe.modality.get(modality.name, ModalityTable())
        loss = _choose(recipe, table.loss or recipe.train.loss, bins, seen)
        if loss is None:
            raise UsageError(f"[modality.{modality.name}] loss: every modality is trained on", fix="set weight = 0")
        scored_by: str | None = table.valid_loss or (None if table.loss else recipe.train.valid_loss)
        scored = loss if scored_by is None else _choose(recipe, scored_by, bins, seen, link=loss.link)
        train.append(HeadLoss(modality.name, modality.tracks, loss, table.weight))
        valid_weight = table.weight if table.valid_weight is None else table.valid_weight
        valid.append(HeadLoss(modality.name, modality.tracks, scored, valid_weight))
        heads.append((HeadShape(modality.name, modality.count, loss.link), loss))
    plan = Plan(
        Objective(train), Objective(valid), tuple(head for head, _ in heads),
        [(modality.tracks, loss.scores) for modality, (_, loss) in zip(modalities, heads, strict=True)],
        ", ".join(dict.fromkeys(loss.name for _, loss in heads)),
    )  # fmt: skip
    losses = [head.loss for head in (*train, *valid) if head.loss is not None]
    if recipe.train.count_weight is not None and not any(LOSSES[loss.name].count_weight for loss in losses):
        raise UsageError(
            f"train.count_weight = {recipe.train.count_weight:g}: {plan.described} has no error of totals to weigh",
            fix="leave it out",
        )
    for what, objective in (("weight", plan.objective), ("valid_weight", plan.validation)):
        if not objective.count:
            raise UsageError(f"no modality counts: every {what} is 0 or its loss is none")
    if plan.objective.whole and recipe.train.accumulate > 1:
        raise UsageError(
            f"train.accumulate = {recipe.train.accumulate} with a loss ({plan.described}) that compares the rows of a "
            "batch with each other: it needs the whole batch at once",
            fix="accumulate = 1, or more ranks",
        )
    return plan


def _choose(recipe: Recipe, name: str, bins: int, facts: TargetFacts, *, link: Link | None = None) -> Loss | None:
    """The loss of that name; one for validation takes the ``link`` of that for training."""
    if name == "none":
        return None
    weight, key = recipe.train.count_weight, "valid_loss" if link else "train.loss"
    return choose_loss(name, model=recipe.model, bins=bins, facts=facts, count_weight=weight, link=link, key=key)
