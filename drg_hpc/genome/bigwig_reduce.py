"""From sums over bins to one value per bin."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drg_hpc.genome.bigwig_file import Sums
from drg_hpc.genome.bigwig_kernels import medians

Reduce = Literal["mean", "sum", "max", "median"]
Missing = Literal["zero", "mask"]
Floats = NDArray[np.float64]


def sums_per_row(length: NDArray[np.int64], bins: int, reduce: Reduce) -> NDArray[np.int64]:
    """Sums (rows,) to be held for rows with ``length`` base pairs: a median needs every base pair."""
    return length if reduce == "median" else np.full_like(length, bins)


def reduce_bins(sums: Sums, length: NDArray[np.int64], *, bins: int, reduce: Reduce, missing: Missing) -> Floats:
    """Values (rows, bins) of rows with ``length`` (rows,) base pairs each.

    ``zero``: base pairs without a value count as 0. ``mask``: they are left out, and a bin without any is NaN.
    """
    mask, width, shape = missing == "mask", (length // bins)[:, None], (len(length), bins)
    if reduce == "median":  # the sums are those of single base pairs
        edges = np.concatenate([[0], np.cumsum(np.repeat(width, bins))])
        return medians(sums.total, sums.count, edges, mask).reshape(shape)
    total, count, largest = (part.reshape(shape) for part in (sums.total, sums.count, sums.largest))
    if reduce == "max":
        values = largest if mask else np.where(count < width, np.maximum(largest, 0.0), largest)
    elif reduce == "mean":
        values = total / (np.maximum(count, 1) if mask else width)
    else:
        values = total
    return np.asarray(np.where(count > 0, values, np.nan) if mask else values, np.float64)
