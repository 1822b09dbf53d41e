"""Similarity of windows at all offsets and on both strands, by matrix products.

Two windows are compared over their *union*: positions that only one of them covers count as zeros in the other. So a
small overlap cannot score high, and all that a pair needs at an offset is one dot product (the exact mode of DRG's
``torch_compute_similarity_motifs``; with padding 0, which is what no contribution means).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import UsageError

Metric = Literal["cosine", "pearson"]
Float32 = NDArray[np.float32]
_TINY = 1e-12


@dataclass(frozen=True)
class Similarity:
    """Best similarity of every query to every reference.

    Parameters
    ----------
    value : (n, m) float32
    offset : (n, m) int16, start of the query relative to the reference (after flipping)
    flipped : (n, m) bool, the query was reverse complemented
    """

    value: Float32
    offset: NDArray[np.int16]
    flipped: NDArray[np.bool_]


def flip(windows: NDArray[np.generic]) -> NDArray[np.generic]:
    """Reverse complement of (…, 4, W) windows: both axes reversed (A, C, G, T is its own complement order)."""
    return np.ascontiguousarray(windows[..., ::-1, ::-1])


def aligned(windows: Float32) -> Float32:
    """The same values where a processor likes them, copied only if they are not there.

    What another process sent may begin at any byte; numpy multiplies such arrays in another way, with other last bits.
    """
    return np.require(windows, np.float32, ["C_CONTIGUOUS", "ALIGNED"])


def overlaps(query: int, reference: int, min_overlap: int) -> Iterator[tuple[int, slice, slice]]:
    """``(offset, positions of the query, positions of the reference)`` for each allowed offset, nearest to 0 first."""
    span = range(min_overlap - query, reference - min_overlap + 1)
    for offset in sorted(span, key=lambda item: (abs(item), item)):
        first, start = max(0, -offset), max(0, offset)
        shared = min(query - first, reference - start)
        yield offset, slice(first, first + shared), slice(start, start + shared)


def compare(
    queries: Float32,
    references: Float32,
    *,
    metric: Metric = "cosine",
    min_overlap: int,
    both_strands: bool = True,
) -> Similarity:
    """Best similarity over all offsets with at least ``min_overlap`` shared positions, and both strands.

    Parameters
    ----------
    queries : (n, 4, W)
    references : (m, 4, V)
    metric : ``cosine`` (uncentred) or ``pearson`` (over the cells of the union)
    min_overlap : shared positions

    Ties go to the offset nearest to 0 and the unflipped strand. Empty windows (all zero) have similarity 0.

    Raises
    ------
    UsageError : ``min_overlap`` is not within the windows
    """
    queries, references = aligned(queries), aligned(references)
    width, other = queries.shape[2], references.shape[2]
    if not 1 <= min_overlap <= min(width, other):
        raise UsageError(f"overlap of {min_overlap} positions is not possible between widths {width} and {other}")
    shape = (len(queries), len(references))
    best = Similarity(np.full(shape, -np.inf, np.float32), np.zeros(shape, np.int16), np.zeros(shape, np.bool_))
    left, right = _Moments.of(queries), _Moments.of(references)
    for flipped in (False, True) if both_strands else (False,):
        turned = flip(queries).astype(np.float32, copy=False) if flipped else queries
        for offset, here, there in overlaps(width, other, min_overlap):
            shared = here.stop - here.start
            dots = turned[:, :, here].reshape(shape[0], -1) @ references[:, :, there].reshape(shape[1], -1).T
            value = _score(dots, left, right, metric, cells=4 * (width + other - shared))
            better = value > best.value + 1e-6  # rounding must not decide between equal alignments
            np.copyto(best.value, value, where=better)
            best.offset[better] = offset
            best.flipped[better] = flipped
    return best


@dataclass(frozen=True)
class _Moments:
    total: Float32
    square: Float32

    @classmethod
    def of(cls, windows: Float32) -> _Moments:
        flat = windows.reshape(len(windows), -1).astype(np.float64)
        return cls(flat.sum(1).astype(np.float32), (flat**2).sum(1).astype(np.float32))


def _score(dots: Float32, left: _Moments, right: _Moments, metric: Metric, *, cells: int) -> Float32:
    if metric == "cosine":
        sizes = np.sqrt(left.square)[:, None] * np.sqrt(right.square)[None, :]
        return np.asarray(dots / (sizes + np.float32(_TINY)), np.float32)
    centred = dots - left.total[:, None] * (right.total / np.float32(cells))[None, :]
    spread = [np.sqrt(np.maximum(m.square - m.total**2 / np.float32(cells), 0)) for m in (left, right)]
    return np.asarray(centred / (spread[0][:, None] * spread[1][None, :] + np.float32(_TINY)), np.float32)


def place(
    windows: NDArray[np.generic], offset: NDArray[np.int64], flipped: NDArray[np.bool_], *, width: int
) -> NDArray[np.float64]:
    """Windows (n, 4, W) flipped and laid at ``offset`` into frames (n, 4, ``width``); cut at the ends, else zero."""
    out = np.zeros((len(windows), 4, width))
    for value in np.unique(offset):
        first, start = max(0, -int(value)), max(0, int(value))
        shared = min(windows.shape[2] - first, width - start)
        for strand in (False, True):
            rows = np.flatnonzero((offset == value) & (flipped == strand))
            if rows.size and shared > 0:
                chosen = flip(windows[rows]) if strand else windows[rows]
                out[rows, :, start : start + shared] = chosen[:, :, first : first + shared]
    return out
