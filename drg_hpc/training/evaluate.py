"""Validation: rows shared over ranks, predictions gathered, one exact score."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from drg_hpc.models.links import apply_link
from drg_hpc.models.metrics import mean_defined, per_track
from drg_hpc.store.prefetch import prefetched
from drg_hpc.training.data import TrainingData
from drg_hpc.training.distributed import Group
from drg_hpc.training.losses import Loss

Array = np.ndarray[Any, Any]
_LOSS_ROWS = 4096


@dataclass(frozen=True)
class Scores:
    """Loss, means of metrics over tracks, and metrics of each track (None: undefined)."""

    loss: float
    means: dict[str, float | None]
    tracks: dict[str, list[float | None]]


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def predict_rows(model: nn.Module, data: TrainingData, rows: Array, *, group: Group, batch_size: int) -> Array:
    """Link-scale predictions of all rows, float32 (rows, tracks[, bins]), on every rank. Never augmented."""
    mine = rows[group.share(len(rows))]
    parts: list[torch.Tensor] = []
    model.eval()
    with torch.no_grad():
        chunks = [mine[start : start + batch_size] for start in range(0, len(mine), batch_size)]
        with prefetched(chunks, data.load) as loaded:
            parts.extend(model(data.deliver(host).sequence).float() for host in loaded)
        if not parts:  # more ranks than rows: the shape still has to be known
            parts.append(model(data.batch(rows[:1]).sequence).float()[:0])
    model.train()
    return group.gather_rows(torch.cat(parts), len(rows))


def score(prediction: Array, data: TrainingData, rows: Array, *, loss: Loss) -> Scores:
    """Mean loss per unit and the loss's metrics, from gathered predictions, in float64."""
    total, units = 0.0, 0
    target, valid = data.targets(rows)
    for start in range(0, len(rows), _LOSS_ROWS):
        part = slice(start, start + _LOSS_ROWS)
        arrays = (prediction[part].astype(np.float64), target[part].astype(np.float64), valid[part])
        total += float(loss.total(*(torch.from_numpy(array) for array in arrays)))
        units += int(loss.units(valid[part]).sum())
    output = apply_link(torch.from_numpy(prediction.astype(np.float64)), loss.link).numpy()
    found = {name: per_track(name, output, target, valid) for name in loss.scores}
    return Scores(
        loss=total / max(units, 1),
        means={name: _plain(mean_defined(values)) for name, values in found.items()},
        tracks={name: [_plain(float(value)) for value in values] for name, values in found.items()},
    )


def validate(model: nn.Module, data: TrainingData, rows: Array, *, loss: Loss, group: Group, batch_size: int) -> Scores:
    """Score the validation rows; the same numbers on every rank."""
    prediction = predict_rows(model, data, rows, group=group, batch_size=batch_size)

    def on_main() -> dict[str, Any]:
        scores = score(prediction, data, rows, loss=loss)
        return {"loss": scores.loss, "means": scores.means, "tracks": scores.tracks}

    return Scores(**group.on_main(on_main))
