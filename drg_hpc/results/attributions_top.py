"""Sparse attributions: the strongest positions of a row, and the row that they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_WEIGHTS = (1, 2, 3, 2, 1)


def strengths(projected: NDArray[Any]) -> NDArray[np.float64]:
    """How strong the attribution around each position is, ``(n, L)``.

    ``|projected|`` smoothed by (1, 2, 3, 2, 1) / 9 with reflected ends (the edge itself is not repeated), which is how
    the DRG tools rank positions.
    """
    reach = len(_WEIGHTS) // 2
    padded = np.pad(np.abs(projected.astype(np.float64)), ((0, 0), (reach, reach)), mode="reflect")
    length = projected.shape[1]
    smooth = sum(weight * padded[:, i : i + length] for i, weight in enumerate(_WEIGHTS))
    return np.asarray(smooth / sum(_WEIGHTS), np.float64)


def top_positions(projected: NDArray[Any], count: int) -> NDArray[np.int32]:
    """The ``count`` strongest positions of each row ``(n, count)``, ascending; of equal ones the first."""
    order = np.argsort(-strengths(projected), axis=1, kind="stable")[:, :count]
    return np.sort(order, axis=1).astype(np.int32)


def take(values: NDArray[Any], positions: NDArray[np.int32]) -> NDArray[Any]:
    """``values`` (n, L) or (n, 4, L) at ``positions`` (n, count)."""
    where = positions if values.ndim == 2 else positions[:, None, :]
    return np.asarray(np.take_along_axis(values, where, axis=-1))


def expand(values: NDArray[Any], positions: NDArray[np.int32], length: int, *, fill: float = 0.0) -> NDArray[Any]:
    """The inverse of :func:`take`: ``fill`` at all other positions.

    Parameters
    ----------
    positions : below 0 throughout in rows that are not kept, which become ``fill``
    """
    found = np.full((*values.shape[:-1], length), fill, values.dtype)
    kept = (positions >= 0).all(axis=1)
    where = positions if values.ndim == 2 else positions[:, None, :]
    part = found[kept]
    np.put_along_axis(part, where[kept].astype(np.int64), values[kept], axis=-1)
    found[kept] = part
    return found
