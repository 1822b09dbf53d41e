"""What is written of some rows of a track, and how numbers are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    form_sd : (n, 4, L), the same of the form, for layouts of mutagenesis
    edits : (n, L) of every other kind of edit, NaN where none was made
    scored : (n, L) of bool, False where the form is not defined and becomes NaN; None: it is defined everywhere
    """

    projected: NDArray[Any]
    form: NDArray[Any]
    contribution: NDArray[Any]
    projected_sd: NDArray[Any] | None = None
    form_sd: NDArray[Any] | None = None
    edits: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    scored: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class TrackBlock:
    """What is known of a track for some rows: values (n,), and its attributions to each input."""

    prediction: NDArray[Any]
    prediction_sd: NDArray[Any] | None = None
    delta: NDArray[Any] | None = None
    inputs: tuple[InputBlock, ...] = ()


def required(values: NDArray[Any] | None, what: str) -> NDArray[Any]:
    """Values that the layout has a place for."""
    assert values is not None, f"the layout has {what}"
    return values


UNDEFINED = (
    "the statistic is not defined there, such as the log of negative coverage or a ratio to zero, or the model's "
    "weights are not finite"
)


def undefined_at(values: NDArray[Any]) -> tuple[int, ...]:
    """Where the first value is that is not finite; empty where all are."""
    finite = np.isfinite(values)
    return () if finite.all() else tuple(np.argwhere(~finite)[0].tolist())


def require_defined(
    values: NDArray[np.floating], names: Sequence[str], *, rows: NDArray[np.int64], of: str = "prediction"
) -> None:  # fmt: skip
    """Refuse predictions that are not finite.

    Parameters
    ----------
    values : (n, …, k)
    names : of the k values
    rows : (n,), numbers in the input
    of : what they are, for the message

    Raises
    ------
    InputError : names the first one and its row
    """
    if at := undefined_at(values):
        what = f"the {of} of track {names[at[-1]]!r} is {values[at]}"
        raise InputError(f"{what} at row {rows[at[0]]} of the input", fix=UNDEFINED)


def to_storage(values: NDArray[Any], dtype: str, *, what: str, at: int, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Values in the stored precision.

    Parameters
    ----------
    values : (n, …)
    at : number in the shard of the first row
    rows : (n,), numbers in the input

    Raises
    ------
    InputError : a value is not finite, or beyond the range of the precision: the first row with such a value
    """
    largest, limit = float(np.abs(values).max(initial=0.0)), float(np.finfo(dtype).max)
    if largest <= limit:
        return values.astype(dtype)
    flat = values.reshape(len(values), -1)
    bad = ~np.isfinite(flat) if not np.isfinite(largest) else np.abs(flat) > limit
    row = int(bad.any(axis=1).argmax())
    value = float(flat[row, bad[row].argmax()])
    place = f"at row {at + row} of this shard, row {rows[row]} of the input"
    if not np.isfinite(value):
        raise InputError(f"{what} is {value} {place}", fix=UNDEFINED)
    wider = "use --store-dtype float32" if dtype == "float16" else UNDEFINED
    raise InputError(f"{what} reaches {value:.4g} {place}, beyond {dtype}", fix=wider)
