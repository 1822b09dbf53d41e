"""Largest similarity of every window to every other, without alignments: one matrix product per offset and strand.

A window is scaled once per offset so that its similarity is a plain dot product: by its norm for ``cosine``; for
``pearson`` it gets one more cell that carries the means over the union (see :mod:`drg_hpc.interpretation.similarity`).
Blocks have fixed sizes, so the result does not depend on how many threads share them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.interpretation.pool import Pool
from drg_hpc.interpretation.similarity import Float32, Metric, aligned, flip, overlaps

_ROWS = 1024
_COLUMNS = 2048
_UNDER_WAY = 8
_TINY = 1e-12


def best_values(
    queries: Float32,
    references: Float32,
    *,
    metric: Metric = "cosine",
    min_overlap: int,
    both_strands: bool = True,
    device: str = "cpu",
) -> Float32:
    """What :func:`~drg_hpc.interpretation.similarity.compare` calls ``value``, for a block that fits the cache.

    Parameters
    ----------
    queries : (n, 4, W)
    references : (m, 4, V)
    min_overlap : shared positions
    device : where the products are computed, ``cpu`` (numpy) or ``cuda`` (torch, float32 throughout)

    Returns
    -------
    (n, m) largest similarity over all offsets and strands
    """
    queries, references = aligned(queries), aligned(references)
    width, other = queries.shape[2], references.shape[2]
    shape = (len(queries), len(references))
    largest = _Largest(*shape) if device == "cpu" else _largest_by_torch(*shape, device)
    for flipped in (False, True) if both_strands else (False,):
        turned = flip(queries).astype(np.float32, copy=False) if flipped else queries
        left, right = _Scaled(turned, metric, side=-1), _Scaled(references, metric, side=1)
        for _, here, there in overlaps(width, other, min_overlap):
            cells = 4 * (width + other - (here.stop - here.start))
            largest.add(left.part(here, cells), right.part(there, cells))
    return largest.value()


class _Largest:
    """The largest of several matrix products, cell by cell."""

    def __init__(self, rows: int, columns: int) -> None:
        self._best = np.full((rows, columns), -np.inf, np.float32)
        self._found = np.empty_like(self._best)

    def add(self, left: Float32, right: Float32) -> None:
        """Take ``left @ right.T`` into account."""
        np.matmul(left, right.T, out=self._found)
        np.maximum(self._best, self._found, out=self._best)

    def value(self) -> Float32:
        """What was the largest, (rows, columns)."""
        return self._best


def _largest_by_torch(rows: int, columns: int, device: str) -> Any:
    from drg_hpc.interpretation.products_torch import LargestByTorch

    return LargestByTorch(rows, columns, device)


class _Scaled:
    """Windows, and what of their scale does not depend on the offset."""

    def __init__(self, windows: Float32, metric: Metric, *, side: int) -> None:
        flat = windows.reshape(len(windows), -1)
        self._square = np.einsum("ij,ij->i", flat, flat)
        self._metric, self._side = metric, side
        if metric == "cosine":
            size = np.sqrt(self._square) + np.float32(_TINY)
            self._windows = np.asarray(windows / size[:, None, None], np.float32)
        else:
            self._windows, self._total = windows, flat.sum(axis=1)

    def part(self, positions: slice, cells: int) -> Float32:
        """Rows for a product over these positions, of a union of ``cells`` cells."""
        cut = self._windows[:, :, positions].reshape(len(self._windows), -1)
        if self._metric == "cosine":
            return cut
        total = self._total
        spread = np.sqrt(np.maximum(self._square - total**2 / np.float32(cells), 0))[:, None] + np.float32(_TINY)
        mean = self._side * total[:, None] / np.float32(np.sqrt(cells))
        return np.asarray(np.hstack([cut, mean]) / spread, np.float32)


def distance_matrix(windows: Float32, *, metric: Metric, min_overlap: int, device: str = "cpu") -> Float32:
    """All pairs' ``1 - similarity``, (n, n) and symmetric with a zero diagonal; ``4 n**2`` bytes and one block more.

    Only pairs on and above the diagonal are computed.
    """
    n = len(windows)
    out = np.empty((n, n), np.float32)
    for i in range(0, n, _ROWS):
        _fill(out, i, distance_rows(windows, i, metric, min_overlap, device))
    return out


def pooled_distances(
    pool: Pool, windows: Any, count: int, *, metric: Metric, min_overlap: int, device: str = "cpu"
) -> Float32:
    """The same matrix by the tasks of a pool; a few blocks of 1,024 rows are under way at a time.

    Parameters
    ----------
    windows : (count, 4, W), or a task that gives them
    """
    out = np.empty((count, count), np.float32)
    starts = range(0, count, _ROWS)
    for first in range(0, len(starts), _UNDER_WAY):
        some = starts[first : first + _UNDER_WAY]
        blocks = pool.collect([pool.submit(distance_rows, windows, i, metric, min_overlap, device) for i in some])
        for i, block in zip(some, blocks, strict=True):
            _fill(out, i, block)
    return out


def distance_rows(windows: Float32, first: int, metric: Metric, min_overlap: int, device: str = "cpu") -> Float32:
    """Distances of up to 1,024 windows from ``first`` on to all from ``first`` on, (rows, n - first); a task."""
    rows = windows[first : first + _ROWS]
    blocks = [
        best_values(rows, windows[j : j + _COLUMNS], metric=metric, min_overlap=min_overlap, device=device)
        for j in range(first, len(windows), _COLUMNS)
    ]
    distance = np.hstack(blocks)
    np.subtract(1, distance, out=distance)
    return np.clip(distance, 0, 2, out=distance)


def _fill(matrix: Float32, first: int, block: Float32) -> None:
    """Rows and columns from ``first`` on; the upper triangle counts for both, the diagonal is zero."""
    end = first + len(block)
    upper: NDArray[np.float32] = np.triu(block[:, : len(block)], 1)
    block[:, : len(block)] = upper + upper.T
    matrix[first:end, first:] = block
    matrix[first:, first:end] = block.T
