"""What is written of some rows of a track, and how numbers are stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError


@dataclass(frozen=True)
class InputBlock:
    """Attributions of a track to one sequence of some rows.

    Parameters
    ----------
    projected : (n, L)
    form, contribution : (n, 4, L); ``contribution`` times the sequence, summed over bases, is ``projected``
    projected_sd : (n, L), standard deviation over models
    """

    projected: NDArray[Any]
    form: NDArray[Any]
    contribution: NDArray[Any]
    projected_sd: NDArray[Any] | None = None


@dataclass(frozen=True)
class TrackBlock:
    """What is known of a track for some rows: values (n,), and its attributions to each input."""

    prediction: NDArray[Any]
    prediction_sd: NDArray[Any] | None = None
    delta: NDArray[Any] | None = None
    inputs: tuple[InputBlock, ...] = ()


def to_storage(values: NDArray[Any], dtype: str, *, what: str) -> NDArray[Any]:
    """Values in the stored precision.

    Raises
    ------
    InputError : a value is not finite, or beyond the range of float16
    """
    largest = float(np.abs(values).max(initial=0.0))
    if not np.isfinite(largest):
        raise InputError(f"{what} is not finite", fix="check the model's weights and its input")
    if largest > float(np.finfo(dtype).max):
        raise InputError(f"{what} reaches {largest:.4g}, beyond {dtype}", fix="use --store-dtype float32")
    return values.astype(dtype)
