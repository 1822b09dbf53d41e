"""Validation: rows shared over ranks, one exact score. Binned targets are never held for all rows at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from drg_hpc.models import moments as sums_of
from drg_hpc.models.links import apply_links
from drg_hpc.models.metrics import mean_defined, per_track
from drg_hpc.store.prefetch import prefetched
from drg_hpc.training.data import Batch, TrainingData
from drg_hpc.training.distributed import Group
from drg_hpc.training.objective import Objective

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Scores:
    """Loss, means of metrics over tracks, and metrics of each track (None: undefined)."""

    loss: float
    means: dict[str, float | None]
    tracks: dict[str, list[float | None]]


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _together(moments: list[Array]) -> Array:
    """Moments (8, tracks) of several parts taken together."""
    return sums_of.pooled(np.stack(moments, axis=1))


def _predicted(
    model: nn.Module, data: TrainingData, rows: Array, *, batch_size: int
) -> Iterator[tuple[torch.Tensor, Batch]]:
    """Link-scale predictions of rows, float64, with their batches. Never augmented."""
    chunks = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    with prefetched(chunks, data.load) as loaded:
        for host in loaded:
            batch = data.deliver(host)
            yield model(batch.sequence).double(), batch


class Validator:
    """Scores a model on the validation rows; the same numbers on every rank.

    Parameters
    ----------
    scores : names of the metrics of each modality. Targets in bins are scored by ``pearson`` alone, over all rows and
        bins, from moments; ranks would need every value in one place
    links : link of each track
    """

    def __init__(
        self,
        data: TrainingData,
        rows: Array,
        *,
        objective: Objective,
        scores: list[tuple[slice, tuple[str, ...]]],
        links: Sequence[str],
        group: Group,
        batch_size: int,
    ) -> None:
        self._data, self._rows, self._objective, self._group = data, rows, objective, group
        self._scores, self._links, self._batch_size = scores, links, batch_size

    def __call__(self, model: nn.Module) -> Scores:
        """Score a model, in eval mode; it is in training mode afterwards."""
        model.eval()
        with torch.no_grad():
            found = self._score(model)
        model.train()
        return found

    def _score(self, model: nn.Module) -> Scores:
        group, objective = self._group, self._objective
        mine = self._rows[group.share(len(self._rows))]
        sums = np.zeros(objective.count)
        units = np.zeros(objective.count, np.int64)
        moments = np.zeros((len(sums_of.FIELDS), self._data.tracks))
        kept: list[tuple[torch.Tensor, ...]] = []
        for prediction, batch in _predicted(model, self._data, mine, batch_size=self._batch_size):
            units += objective.units(batch.valid.cpu().numpy()).sum(0)
            if not objective.whole:
                sums += objective.totals(prediction, batch.target.double(), batch.valid, ranks=group).cpu().numpy()
            if prediction.ndim == 3:
                moments = _together([moments, self._moments(prediction, batch)])
            if objective.whole or prediction.ndim == 2:
                kept.append((prediction, batch.target, batch.valid))
        whole = self._joined(model, kept) if objective.whole or not self._data.bins else ()
        if objective.whole:
            prediction, target, valid = whole
            sums += objective.totals(prediction, target.double(), valid, ranks=group).cpu().numpy()
        all_units = np.array(group.sum([float(value) for value in units]))
        loss = float((np.array(group.sum(list(sums))) * objective.factors(all_units)).sum())
        tracks = self._binned(moments) if self._data.bins else self._gathered(whole[0])
        means = {name: _plain(mean_defined(values)) for name, values in tracks.items()}
        return Scores(loss, means, {name: [_plain(float(v)) for v in values] for name, values in tracks.items()})

    def _joined(self, model: nn.Module, kept: list[tuple[torch.Tensor, ...]]) -> tuple[torch.Tensor, ...]:
        """This rank's rows in one piece."""
        if not kept:  # more ranks than rows: the shape still has to be known
            batch = self._data.batch(self._rows[:1])
            kept = [tuple(x[:0] for x in (model(batch.sequence).double(), batch.target, batch.valid))]
        return tuple(torch.cat(parts) for parts in zip(*kept, strict=True))

    def _moments(self, prediction: torch.Tensor, batch: Batch) -> Array:
        """Moments (8, tracks) of a batch over its rows and bins."""
        output = apply_links(prediction, self._links).cpu().numpy()
        target = torch.where(batch.valid, batch.target, torch.nan).cpu().numpy()
        return sums_of.pooled(sums_of.row_moments(output, target))

    def _binned(self, moments: Array) -> dict[str, Array]:
        """Pearson correlation of each track, over the moments of all ranks in the order of ranks."""
        every = self._group.gather_values(moments.ravel().tolist())
        return {"pearson": sums_of.pearson(_together([np.reshape(each, moments.shape) for each in every]))}

    def _gathered(self, prediction: torch.Tensor) -> dict[str, Array]:
        """Metrics of each track, NaN for tracks whose modality has other metrics."""
        rows = self._group.gather_rows(prediction, len(self._rows))

        def on_main() -> dict[str, list[float | None]]:
            assert rows is not None
            target, valid = self._data.targets(self._rows)
            output = apply_links(torch.from_numpy(rows), self._links).numpy()
            names = list(dict.fromkeys(name for _, metrics in self._scores for name in metrics))
            found = {name: np.full(output.shape[1], np.nan) for name in names}
            for tracks, metrics in self._scores:
                for name in metrics:
                    found[name][tracks] = per_track(name, output[:, tracks], target[:, tracks], valid[:, tracks])
            return {name: [_plain(float(value)) for value in values] for name, values in found.items()}

        scored = self._group.on_main(on_main)
        return {name: np.array([np.nan if v is None else v for v in values]) for name, values in scored.items()}
