"""Kernels of one or several models grouped by motif, then by what they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from drg_hpc.interpretation.similarity import compare, place

Float64 = NDArray[np.float64]
Linkage = Literal["complete", "average", "single"]
MIN_OVERLAP = 4
_FLANK = 0.075
_NO_BITS = 1e-6
"""Cells with less count as nothing: of 1/4, the formula leaves 6e-8."""
_LEAST_WIDTH = 3


@dataclass(frozen=True)
class Pairs:
    """Best alignments of all motifs with all: distance (1 - Pearson), offset of the row's motif relative to the
    column's, and whether it is turned; (n, n) each."""

    distance: Float64
    offset: NDArray[np.int64]
    flipped: NDArray[np.bool_]


def information(pfm: Float64) -> NDArray[np.float32]:
    """``max(0, log2((p + 1e-8) / 0.25))`` of each cell."""
    bits = np.log2((pfm + 1e-8) / 0.25)
    return np.where(bits > _NO_BITS, bits, 0.0).astype(np.float32)


def motif_pairs(pfms: Sequence[Float64]) -> Pairs:
    """Compare motifs (4, w), w of any size, by :func:`information` over their union, on both strands.

    A motif without information is at distance 1 from all others.
    """
    count = len(pfms)
    found = Pairs(np.ones((count, count)), np.zeros((count, count), np.int64), np.zeros((count, count), np.bool_))
    widths = np.array([pfm.shape[1] for pfm in pfms])
    for left in np.unique(widths):
        for right in np.unique(widths):
            rows, columns = np.flatnonzero(widths == left), np.flatnonzero(widths == right)
            a, b = (np.stack([information(pfms[int(i)]) for i in chosen]) for chosen in (rows, columns))
            best = compare(a, b, metric="pearson", min_overlap=min(MIN_OVERLAP, int(left), int(right)))
            at = np.ix_(rows, columns)
            found.distance[at] = 1.0 - best.value
            found.offset[at], found.flipped[at] = best.offset, best.flipped
    upper = np.triu(found.distance, 1)  # one of two values that differ by rounding
    found.distance[...] = np.clip(upper + upper.T, 0.0, 2.0)
    return found


def cluster_motifs(pairs: Pairs, *, method: Linkage, limit: float) -> NDArray[np.int64]:
    """Labels of an agglomerative clustering cut at a distance, (n,)."""
    if len(pairs.distance) < 2:
        return np.zeros(len(pairs.distance), np.int64)
    tree = linkage(squareform(pairs.distance, checks=False), method)
    return np.asarray(fcluster(tree, limit, "distance"), np.int64) - 1


def by_size(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labels numbered from 0, largest cluster first, then by the first member."""
    names, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    return np.asarray(rank[np.searchsorted(names, labels)])


def average_motif(pfms: Sequence[Float64], members: NDArray[np.int64], pairs: Pairs) -> Float64:
    """Mean motif (4, w) of members laid over the one that is most similar to all, trimmed.

    Flanks whose information is at most 0.075 of the largest column's are cut; what no member covers counts as 1/4. At
    least three positions are kept: a motif that has fewer is left as wide as the centre.
    """
    inner = pairs.distance[np.ix_(members, members)]
    centre = int(members[np.argmin(inner.sum(1))])
    offset, flipped = pairs.offset[members, centre], pairs.flipped[members, centre]
    widths = np.array([pfms[i].shape[1] for i in members])
    first = int(min(0, offset.min()))
    width = int((offset + widths).max()) - first
    placed = [
        place((pfms[i] - 0.25)[None], np.array([shift - first]), np.array([turn]), width=width)[0]
        for i, shift, turn in zip(members, offset, flipped, strict=True)
    ]
    mean = 0.25 + np.sum(placed, axis=0) / len(members)
    strength = information(mean).sum(0)
    kept = np.flatnonzero(strength > _FLANK * strength.max())
    if len(kept) == 0 or kept[-1] + 1 - kept[0] < _LEAST_WIDTH:
        start, stop = -first, -first + pfms[centre].shape[1]
    else:
        start, stop = int(kept[0]), int(kept[-1]) + 1
    return np.asarray(mean[:, start:stop] / mean[:, start:stop].sum(0))
