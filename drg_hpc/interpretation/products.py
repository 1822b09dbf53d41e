"""Largest similarity of every window to every other, without alignments: one matrix product per offset and strand.

A window is scaled once per offset so that its similarity is a plain dot product: by its norm for ``cosine``; for
``pearson`` it gets one more cell that carries the means over the union (see :mod:`drg_hpc.interpretation.similarity`).
Blocks have fixed sizes, so the result does not depend on how many threads share them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drg_hpc.interpretation.similarity import Float32, Metric, flip, overlaps

_ROWS = 1024
_COLUMNS = 2048
_TINY = 1e-12


def best_values(
    queries: Float32, references: Float32, *, metric: Metric = "cosine", min_overlap: int, both_strands: bool = True
) -> Float32:
    """What :func:`~drg_hpc.interpretation.similarity.compare` calls ``value``, for a block that fits the cache.

    Parameters
    ----------
    queries : (n, 4, W)
    references : (m, 4, V)
    min_overlap : shared positions

    Returns
    -------
    (n, m) largest similarity over all offsets and strands
    """
    width, other = queries.shape[2], references.shape[2]
    best = np.full((len(queries), len(references)), -np.inf, np.float32)
    found = np.empty_like(best)
    for flipped in (False, True) if both_strands else (False,):
        turned = flip(queries).astype(np.float32, copy=False) if flipped else queries
        for _, here, there in overlaps(width, other, min_overlap):
            cells = 4 * (width + other - (here.stop - here.start))
            left = _scaled(turned, here, metric, cells=cells, side=-1)
            right = _scaled(references, there, metric, cells=cells, side=1)
            np.matmul(left, right.T, out=found)
            np.maximum(best, found, out=best)
    return best


def _scaled(windows: Float32, part: slice, metric: Metric, *, cells: int, side: int) -> Float32:
    flat = windows.reshape(len(windows), -1)
    square = np.einsum("ij,ij->i", flat, flat)
    cut = windows[:, :, part].reshape(len(windows), -1)
    if metric == "cosine":
        return np.asarray(cut / (np.sqrt(square)[:, None] + np.float32(_TINY)), np.float32)
    total = flat.sum(axis=1)
    spread = np.sqrt(np.maximum(square - total**2 / np.float32(cells), 0))[:, None] + np.float32(_TINY)
    mean = side * total[:, None] / np.float32(np.sqrt(cells))
    return np.asarray(np.hstack([cut, mean]) / spread, np.float32)


def distance_matrix(windows: Float32, *, metric: Metric, min_overlap: int) -> Float32:
    """All pairs' ``1 - similarity``, (n, n) and symmetric with a zero diagonal; ``4 n**2`` bytes and one block more.

    Only pairs on and above the diagonal are computed.
    """
    n = len(windows)
    out = np.empty((n, n), np.float32)
    for i in range(0, n, _ROWS):
        rows = windows[i : i + _ROWS]
        for j in range(i, n, _COLUMNS):
            value = best_values(rows, windows[j : j + _COLUMNS], metric=metric, min_overlap=min_overlap)
            block = np.clip(1 - value, 0, 2)
            out[i : i + len(rows), j : j + block.shape[1]] = block
            out[j : j + block.shape[1], i : i + len(rows)] = block.T
    _symmetric(out, _ROWS)
    return out


def _symmetric(matrix: Float32, step: int) -> None:
    """Take the upper triangle of the blocks on the diagonal for both, and zero the diagonal."""
    for i in range(0, len(matrix), step):
        block = matrix[i : i + step, i : i + step]
        upper: NDArray[np.float32] = np.triu(block, 1)
        block[...] = upper + upper.T
