"""Distances of motifs of any width as DRG defines them (``torch_compute_similarity_motifs``).

At every offset with enough shared positions both motifs are laid into one frame, cells that one does not cover are
``padding``, and the flattened frames are compared. The frame is the union of the motifs (``exact``), or the shorter
motif's span, where the overhang of the longer one is ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from drg_hpc.errors import UsageError
from drg_hpc.interpretation.similarity import flip, overlaps

Float64 = NDArray[np.float64]
MotifMetric = Literal["correlation", "cosine", "mse", "correlation_pvalue", "jaccard"]
FLOOR = 1e-127
"""Smallest p-value."""
_BLOCK = 512
_TIE = 1e-9
_NO_BITS = 1e-6


@dataclass(frozen=True)
class MotifDistances:
    """Best alignments of all motifs with all.

    Parameters
    ----------
    distance : (n, n)
    offset : (n, n) start of the row's motif, after turning, relative to the column's
    orientation : (n, n) 1 where the row's motif was reverse complemented
    """

    distance: Float64
    offset: NDArray[np.int64]
    orientation: NDArray[np.int8]


@dataclass(frozen=True)
class _Rule:
    metric: MotifMetric
    min_overlap: int
    padding: float
    exact: bool


def information_cells(pfm: Float64, background: float = 0.25) -> Float64:
    """``max(0, log2((p + 1e-8) / background))`` of each cell; less than 1e-6, such as the 6e-8 of p = 1/4, is 0."""
    bits = np.log2((np.asarray(pfm, float) + 1e-8) / background)
    return np.asarray(np.where(bits > _NO_BITS, bits, 0.0))


def motif_distances(
    pfms: Sequence[Float64],
    *,
    metric: MotifMetric = "correlation",
    min_overlap: int = 4,
    padding: float = 0.25,
    background: float = 0.25,
    information: bool = False,
    reverse_complement: bool | Sequence[bool] = True,
    exact: bool = True,
) -> MotifDistances:
    """Distance, offset and orientation of each pair.

    Parameters
    ----------
    pfms : (4, w) each, w of any size
    metric : ``correlation`` and ``cosine`` (1 - value), ``mse`` (offset of the largest mean product), ``jaccard`` (1 -
        sum of the smaller over sum of the larger magnitudes, signed; TF-MoDISco's continuous form), or
        ``correlation_pvalue`` (two-sided p of r by Student's t with n - 1 degrees of freedom, n cells; 1/p where
        r <= 0; at least 1e-127)
    min_overlap : shared positions; the width of the narrower motif where that is less
    information : compare :func:`information_cells`; the padding then is ``log2(padding / background)``
    reverse_complement : for all, or per motif: a pair is also compared turned where either motif may be turned

    Ties go to the unturned strand and the offset nearest to 0. A motif that does not vary correlates 0 with all.

    Raises
    ------
    UsageError : no motif, not (4, w), or numbers out of range
    """
    _check(pfms, min_overlap, padding, background)
    turnable = np.broadcast_to(np.asarray(reverse_complement, np.bool_), (len(pfms),))
    rule = _Rule(metric, min_overlap, float(np.log2(padding / background)) if information else padding, exact)
    cells = [information_cells(p, background) if information else np.asarray(p, float) for p in pfms]
    n, widths = len(pfms), np.array([pfm.shape[1] for pfm in pfms])
    out = MotifDistances(np.full((n, n), np.inf), np.zeros((n, n), np.int64), np.zeros((n, n), np.int8))
    for left in np.unique(widths):
        for right in np.unique(widths):
            columns = np.flatnonzero(widths == right)
            there = np.stack([cells[j] for j in columns])
            whole = np.flatnonzero(widths == left)
            for rows in (whole[i : i + _BLOCK] for i in range(0, len(whole), _BLOCK)):
                may = turnable[rows][:, None] | turnable[columns][None, :]
                found = _block(np.stack([cells[i] for i in rows]), there, rule, may)
                at = np.ix_(rows, columns)
                out.distance[at], out.offset[at], out.orientation[at] = found
    return out


def _check(pfms: Sequence[Float64], min_overlap: int, padding: float, background: float) -> None:
    if not pfms or any(pfm.ndim != 2 or pfm.shape[0] != 4 or not pfm.shape[1] for pfm in pfms):
        raise UsageError("motifs of shape (4, width) are wanted", fix="give at least one, bases along the first axis")
    if min_overlap < 1 or not (padding > 0 and background > 0):
        numbers = f"overlap {min_overlap}, padding {padding:g}, background {background:g}"
        raise UsageError(f"motif distances with {numbers}", fix="give numbers above 0")


def _block(
    a: Float64, b: Float64, rule: _Rule, may_turn: NDArray[np.bool_]
) -> tuple[Float64, NDArray[np.int64], NDArray[np.int8]]:
    shape = (len(a), len(b))
    best, offsets, turned = np.full(shape, np.inf), np.zeros(shape, np.int64), np.zeros(shape, np.int8)
    for strand in (0, 1):
        distance, offset = _one_strand(np.asarray(flip(a), float) if strand else a, b, rule)
        better = (distance < best - _tie(best, rule.metric)) & (may_turn | (strand == 0))
        best[better], offsets[better], turned[better] = distance[better], offset[better], strand
    return best, offsets, turned


def _one_strand(a: Float64, b: Float64, rule: _Rule) -> tuple[Float64, NDArray[np.int64]]:
    """Smallest distance over the offsets; the mean squared error instead at that of the largest mean product."""
    shape = (len(a), len(b))
    best, rank, offsets = np.full(shape, np.inf), np.full(shape, np.inf), np.zeros(shape, np.int64)
    for offset, left, right in _frames(a, b, rule):
        distance = _distance(left, right, rule.metric)
        order = -(left @ right.T) / left.shape[1] if rule.metric == "mse" else distance
        better = order < rank - _tie(rank, rule.metric)
        best[better], rank[better], offsets[better] = distance[better], order[better], offset
    return best, offsets


def _tie(best: Float64, metric: MotifMetric) -> Float64:
    """Gains that may be rounding: of p-values relative to them, of others on the scale of the metric."""
    size = np.where(np.isfinite(best), np.abs(best), 0)
    return np.asarray(_TIE * (size if metric == "correlation_pvalue" else np.maximum(size, 1)))


def _frames(a: Float64, b: Float64, rule: _Rule) -> Iterator[tuple[int, Float64, Float64]]:
    """Both sides in one frame, flattened to (n, cells) and (m, cells), for each offset."""
    width, other = a.shape[2], b.shape[2]
    for offset, _, _ in overlaps(width, other, min(rule.min_overlap, width, other)):
        first, last = min(0, offset), max(other, offset + width)
        frames = []
        for motifs, start in ((a, offset - first), (b, -first)):
            frame = np.full((len(motifs), 4, last - first), rule.padding)
            frame[:, :, start : start + motifs.shape[2]] = motifs
            frames.append(frame)
        if not rule.exact:
            start, span = (offset - first, width) if width <= other else (-first, other)
            frames = [frame[:, :, start : start + span] for frame in frames]
        yield offset, frames[0].reshape(len(a), -1), frames[1].reshape(len(b), -1)


def _distance(left: Float64, right: Float64, metric: MotifMetric) -> Float64:
    if metric == "mse":
        squares = (left**2).sum(1)[:, None] + (right**2).sum(1)[None, :] - 2 * left @ right.T
        return np.asarray(np.maximum(squares, 0) / left.shape[1])
    if metric == "jaccard":
        return 1 - np.stack([_jaccard(row, right) for row in left])
    if metric != "cosine":
        left, right = (side - side.mean(axis=1, keepdims=True) for side in (left, right))
    sizes = np.linalg.norm(left, axis=1)[:, None] * np.linalg.norm(right, axis=1)[None, :]
    value = np.where(sizes > 1e-12, left @ right.T / np.maximum(sizes, 1e-12), 0.0)
    if metric == "correlation_pvalue":
        return _p_distance(value, left.shape[1])
    return np.asarray(1 - np.clip(value, -1, 1))


def _jaccard(row: Float64, right: Float64) -> Float64:
    a, b = np.abs(row)[None, :], np.abs(right)
    shared = (np.minimum(a, b) * np.sign(row)[None, :] * np.sign(right)).sum(axis=1)
    whole = np.maximum(a, b).sum(axis=1)
    return np.asarray(np.where(whole > 0, shared / np.maximum(whole, 1e-300), 0.0))


def _p_distance(r: Float64, cells: int) -> Float64:
    shrunk = np.clip(r, -1, 1) - 1e-7
    t = r * np.sqrt(cells - 2) / np.sqrt(np.maximum(1 - shrunk**2, 1e-300))
    p = np.maximum(2 * stdtr(cells - 1, -np.abs(t)), FLOOR)
    return np.asarray(np.where(r > 0, p, 1 / p))
