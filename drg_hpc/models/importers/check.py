"""Compare an imported model with predictions and gradients that its original made."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drg_hpc.errors import CorruptError, InputError
from drg_hpc.models.base import SequenceModel, Sequences
from drg_hpc.models.compute import Scale, on_scale
from drg_hpc.models.importers.reference import (
    GRADIENTS,
    Array,
    Reference,
    Rows,
    one_of,
    read_arrays,
    require_finite,
    row_names,
)

_ROUNDING = 1e-6
"""float32 sums in another order: this much of a track's largest absolute value is never held against a model."""
_BASES = 2**20


def _call(model: SequenceModel, inputs: Sequence[torch.Tensor], scale: Scale) -> torch.Tensor:
    x: Sequences = inputs[0] if len(inputs) == 1 else list(inputs)
    return on_scale(model(x), model, scale)


def _compare(found: Array, wanted: Array, *, axes: tuple[int, ...], tolerance: float) -> tuple[float, tuple[int, ...]]:
    """The largest difference as a share of what is allowed, and where it is.

    Parameters
    ----------
    axes : over which the standard deviation of a track is taken
    """
    deviation = wanted.std(axis=axes, keepdims=True)
    largest = np.abs(wanted).max(axis=axes, keepdims=True)
    allowed = tolerance * np.where(deviation > 0, deviation, np.maximum(largest, 1.0)) + _ROUNDING * largest
    share = np.where(np.isfinite(found), np.abs(found - wanted) / allowed, np.inf)
    worst = np.unravel_index(int(np.argmax(share)), share.shape)
    return float(share[worst]), tuple(int(i) for i in worst)


def _judge(
    what: str, found: Array, wanted: Array, *, axes: tuple[int, ...], axis: int, tolerance: float, tracks: Sequence[str]
) -> dict[str, float]:
    """The largest difference.

    Raises
    ------
    CorruptError : it is larger than allowed
    """
    found, wanted = found.astype(np.float64), wanted.astype(np.float64)
    share, worst = _compare(found, wanted, axes=axes, tolerance=tolerance)
    difference = float(np.abs(found - wanted).max())
    if share > 1:
        raise CorruptError(
            f"{what} of the imported model differ from the reference by up to {difference:.3g}: track "
            f"{tracks[worst[axis]]!r} is {found[worst]:.6g} instead of {wanted[worst]:.6g} (at {worst}), "
            f"where {tolerance:g} of the track's standard deviation is allowed",
            fix="these weights, options and reference do not belong together; nothing is written",
        )
    return {"largest_difference": difference, "share_of_tolerance": share}


def check_reference(
    model: SequenceModel, reference: Reference, *, tolerance: float = 1e-4, scale: Scale = "output"
) -> dict[str, Any]:
    """Compare predictions, and gradients where there are some, row by row.

    A difference may be as large as ``tolerance`` standard deviations of the track over the reference (of a track
    that does not vary, ``tolerance`` of its largest absolute value or of 1), and 1e-6 of its largest absolute value.

    Parameters
    ----------
    model : in eval mode
    scale : of the reference: output, or link as the model returns it

    Returns
    -------
    rows, predictions {largest_difference, share_of_tolerance}, gradients likewise

    Raises
    ------
    InputError : files that cannot be read, or that do not fit the model or each other
    CorruptError : the model gives other values
    """
    rows = Rows(reference, model)
    step = max(1, _BASES // sum(model.shape.inputs.values()))
    with torch.no_grad():
        parts = [
            _call(model, rows.rows(slice(first, first + step)), scale).numpy()
            for first in range(0, len(rows.values), step)
        ]
    found = np.concatenate(parts)
    if found.shape != rows.values.shape:
        raise InputError(f"{reference.predictions} has predictions {rows.values.shape}, the model gives {found.shape}")
    axes = (0,) if found.ndim == 2 else (0, 2)
    result: dict[str, Any] = {"rows": len(found), "tolerance": tolerance, "scale": scale}
    result["predictions"] = _judge(
        "predictions", found, rows.values, axes=axes, axis=1, tolerance=tolerance, tracks=model.tracks
    )
    if reference.gradients is not None:
        result["gradients"] = _check_gradients(model, rows, reference.gradients, tolerance=tolerance, scale=scale)
    return result


def _check_gradients(
    model: SequenceModel, rows: Rows, path: Path, *, tolerance: float, scale: Scale
) -> dict[str, float]:
    arrays = read_arrays(path)
    wanted, names = one_of(arrays, GRADIENTS, path), row_names(arrays)
    wanted = wanted if wanted.ndim == 5 else wanted[None]
    if wanted.ndim != 5 or wanted.dtype.kind != "f" or not wanted.shape[1]:
        raise InputError(f"{path}: gradients are {wanted.shape[1:]} of {wanted.dtype}, not (rows, tracks, 4, length)")
    require_finite(wanted, path)
    tracks = [int(track) for track in arrays.get("tracks", range(len(model.tracks)))]
    if names is not None and rows.names is not None:
        if missing := [name for name in names if name not in rows.names]:
            raise InputError(f"{path} has gradients of {missing[0]!r}, which the reference does not have")
        chosen = [rows.names.index(name) for name in names]
    else:
        chosen = list(range(wanted.shape[1]))
    if len(set(model.shape.inputs.values())) > 1:
        raise InputError(f"{path}: gradients of inputs of different lengths have no place in one array")
    if any(not 0 <= track < len(model.tracks) for track in tracks) or len(chosen) > len(rows.values):
        raise InputError(f"{path} has gradients of tracks or rows that the model or the reference do not have")
    # In float64: rounding must not decide which of two equal values a max pooling takes.
    exact = copy.deepcopy(model).double()
    try:
        found = np.stack([_gradients(exact, rows.rows([row]), tracks, scale) for row in chosen], axis=1)
    except RuntimeError as error:  # a user's module may hold constants of its own
        raise InputError(f"the model does not run in float64, in which gradients are compared: {error}") from error
    if found.shape != wanted.shape:
        raise InputError(f"{path} has gradients {wanted.shape[1:]}, the model's are {found.shape[1:]}")
    shown = [model.tracks[track] for track in tracks]
    return _judge("gradients", found, wanted, axes=(1, 3, 4), axis=2, tolerance=tolerance, tracks=shown)


def _gradients(model: SequenceModel, inputs: list[torch.Tensor], tracks: Sequence[int], scale: Scale) -> Array:
    """``(inputs, tracks, 4, length)`` of one row; inputs of one length."""
    inputs = [onehot.double().requires_grad_() for onehot in inputs]
    values = _call(model, inputs, scale)[0].flatten(1).sum(1) if model.bins else _call(model, inputs, scale)[0]
    found = [
        torch.autograd.grad(values[track], inputs, retain_graph=True, allow_unused=True, materialize_grads=True)
        for track in tracks
    ]
    return np.stack([np.stack([part[0].numpy() for part in parts]) for parts in zip(*found, strict=True)])
