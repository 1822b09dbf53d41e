"""Predictions in blocks of fixed shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.models.compute import Scale, array_tensor, model_output, module_place, on_scale, pad_block, partner_tracks


def predict_block(
    module: torch.nn.Module,
    sequences: NDArray[Any],
    *,
    tracks: Sequence[int] | None = None,
    scale: Scale = "link",
    rc_average: bool = False,
) -> NDArray[np.float32]:
    """Predict up to 64 sequences; the block is padded with zero rows, so that every block has one shape.

    Parameters
    ----------
    module : (n, 4, L) -> (n, tracks[, bins]), in eval mode
    sequences : (n, 4, L)
    tracks : indices, None for all
    scale : link, or output (through the module's link)
    rc_average : mean with the prediction of the reverse complement, its bins turned round, stranded tracks swapped by
        their partners; taken on ``scale``

    Returns
    -------
    (n, tracks[, bins]) float32
    """
    device, dtype = module_place(module)
    x = pad_block(array_tensor(sequences).to(device=device, dtype=dtype))
    with torch.inference_mode():
        found = on_scale(model_output(module, x), module, scale)
        chosen = list(range(found.shape[1])) if tracks is None else list(tracks)
        average = found[:, chosen]
        if rc_average:
            other = on_scale(model_output(module, x.flip(1, 2)), module, scale)[:, partner_tracks(module, chosen)]
            average = (average + (other.flip(2) if other.ndim == 3 else other)) / 2
    values: NDArray[np.float32] = average[: len(sequences)].cpu().float().numpy()
    return values
