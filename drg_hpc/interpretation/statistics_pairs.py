"""Correlation of tracks, of one file or of several with the same rows, from sums that merge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drg_hpc.interpretation.statistics_loops import subtract_means

_PIECE_BYTES = 1 << 20
"""About a core's own cache."""
_LEAST = 4096
"""Positions of a piece; with fewer, merging the pieces of many tracks takes longer than their products."""


@dataclass(frozen=True)
class Comoments:
    """How some tracks vary together with others.

    Parameters
    ----------
    count : positions
    left, right : (T,) and (U,) means
    products : (T, U) sums of products of deviations from the means
    """

    count: int
    left: NDArray[np.float64]
    right: NDArray[np.float64]
    products: NDArray[np.float64]


def comoments_block(left: NDArray[np.float32], right: NDArray[np.float32]) -> Comoments:
    """Of one block (T, n) and (U, n); the same array twice for tracks among themselves: BLAS then does half of the
    products.

    Products are added by pieces of positions whose size depends on the shapes only, so that float64 copies stay small.
    """
    alike, count = left is right, left.shape[1]
    step = min(max(1, count), max(_LEAST, _PIECE_BYTES // (8 * (len(left) + (0 if alike else len(right))))))
    first = left.sum(axis=1, dtype=np.float64) / max(count, 1)
    second = first if alike else right.sum(axis=1, dtype=np.float64) / max(count, 1)
    products = np.zeros((len(left), len(right)))
    a_room = np.empty((len(left), step))
    b_room = a_room if alike else np.empty((len(right), step))
    for at in range(0, count, step):
        width = min(step, count - at)
        a, b = a_room[:, :width], b_room[:, :width]
        subtract_means(left[:, at : at + width], first, a)
        if not alike:
            subtract_means(right[:, at : at + width], second, b)
        products += a @ b.T
    return Comoments(count, first, second, products)


def merge_comoments(left: Comoments, right: Comoments) -> Comoments:
    """Over the positions of both (Chan, Golub and LeVeque 1983, in two variables)."""
    count = left.count + right.count
    share = right.count / count if count else 0.0
    apart, beside = right.left - left.left, right.right - left.right
    return Comoments(
        count,
        left.left + apart * share,
        left.right + beside * share,
        left.products + right.products + np.outer(apart, beside) * (left.count * share),
    )


def correlations(found: Comoments, left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T, U) Pearson correlations, NaN where a track is constant.

    Parameters
    ----------
    left, right : sums of squared deviations of the tracks
    """
    scale = np.sqrt(np.outer(left, right))
    values = np.full(found.products.shape, np.nan)
    np.divide(found.products, scale, out=values, where=scale > 0)
    return np.asarray(np.clip(values, -1.0, 1.0), np.float64)
