"""Correlation of tracks, of one file or of several with the same rows, from sums that merge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_PIECE_BYTES = 32 << 20


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
    """Of one block (T, n) and (U, n); the same array twice for tracks among themselves.

    Cut into pieces of positions whose size depends on the shapes only, so that float64 copies stay small.
    """
    step = max(1, _PIECE_BYTES // (8 * (len(left) + len(right))))
    pieces = [_piece(left[:, at : at + step], right[:, at : at + step]) for at in range(0, left.shape[1], step)]
    if not pieces:
        return _piece(left, right)
    found = pieces[0]
    for piece in pieces[1:]:
        found = merge_comoments(found, piece)
    return found


def _piece(left: NDArray[np.float32], right: NDArray[np.float32]) -> Comoments:
    count = left.shape[1]
    a, b = left.astype(np.float64), right.astype(np.float64)
    means = [values.sum(axis=1) / max(count, 1) for values in (a, b)]
    a -= means[0][:, None]
    b -= means[1][:, None]
    return Comoments(count, means[0], means[1], a @ b.T)


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
