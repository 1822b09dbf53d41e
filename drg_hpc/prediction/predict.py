"""Predictions in blocks of fixed shape, of one model or of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.models.base import Sequences
from drg_hpc.models.compute import Scale, array_tensor, model_output, module_place, on_scale, pad_block, partner_tracks

Onehot = NDArray[Any] | Sequence[NDArray[Any]]
"""One-hot (n, 4, L), or a list of them, one for each input of a model."""


def _as_input(module: torch.nn.Module, sequences: Onehot) -> Sequences:
    device, dtype = module_place(module)
    arrays = [sequences] if isinstance(sequences, np.ndarray) else sequences
    tensors = [pad_block(array_tensor(array).to(device=device, dtype=dtype)) for array in arrays]
    return tensors[0] if isinstance(sequences, np.ndarray) else tensors


def _reverse_complement(x: Sequences) -> Sequences:
    return x.flip(1, 2) if isinstance(x, torch.Tensor) else [each.flip(1, 2) for each in x]


def predict_block(
    module: torch.nn.Module,
    sequences: Onehot,
    *,
    tracks: Sequence[int] | None = None,
    scale: Scale = "link",
    rc_average: bool = False,
) -> NDArray[np.float32]:
    """Predict up to 64 rows; the block is padded with zero rows, so that every block has one shape.

    Parameters
    ----------
    module : (n, 4, L), or a list of them, -> (n, tracks[, bins]), in eval mode
    sequences : (n, 4, L), or a list of them
    tracks : indices, None for all
    scale : link, or output (through the link of each track)
    rc_average : mean with the prediction of the reverse complement of every input, its bins turned round, stranded
        tracks swapped by their partners; taken on ``scale``

    Returns
    -------
    (n, tracks[, bins]) float32
    """
    x = _as_input(module, sequences)
    with torch.inference_mode():
        found = on_scale(model_output(module, x), module, scale)
        chosen = list(range(found.shape[1])) if tracks is None else list(tracks)
        average = found[:, chosen]
        if rc_average:
            turned = on_scale(model_output(module, _reverse_complement(x)), module, scale)
            other = turned[:, partner_tracks(module, chosen)]
            average = (average + (other.flip(2) if other.ndim == 3 else other)) / 2
    rows = len(sequences) if isinstance(sequences, np.ndarray) else len(sequences[0])
    values: NDArray[np.float32] = average[:rows].cpu().float().numpy()
    return values


def mean_and_sd(values: Sequence[NDArray[np.float32]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean over models and their standard deviation (of these models: divided by their number), in float64.

    Parameters
    ----------
    values : what each model gave, of one shape
    """
    stacked = np.stack(values).astype(np.float64)
    with np.errstate(invalid="ignore"):  # an output without bounds has no deviation
        return stacked.mean(0).astype(np.float32), stacked.std(0).astype(np.float32)
