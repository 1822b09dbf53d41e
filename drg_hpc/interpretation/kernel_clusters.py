"""Kernels of one or several models grouped by motif; :mod:`.splitting` divides the groups by what they do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from drg_hpc.interpretation.linkage import Linkage, linkage_labels
from drg_hpc.interpretation.motif_distances import MotifDistances, MotifMetric, information_cells, motif_distances
from drg_hpc.interpretation.similarity import place

Float64 = NDArray[np.float64]
_FLANK = 0.075
_LEAST_WIDTH = 3


def motif_pairs(pfms: Sequence[Float64], *, metric: MotifMetric = "correlation") -> MotifDistances:
    """:func:`motif_distances` of motifs' information over their union, on both strands; symmetric, 0 on the diagonal.

    A motif without information is at distance 1 from all others, by ``mse`` at the mean square of the other.
    """
    found = motif_distances(pfms, metric=metric, information=True)
    upper = np.triu(found.distance, 1)  # one of two values that differ by rounding
    found.distance[...] = upper + upper.T
    return found


def cluster_motifs(pairs: MotifDistances, *, method: Linkage, limit: float) -> NDArray[np.int64]:
    """Labels of an agglomerative clustering cut at a distance, (n,)."""
    return linkage_labels(pairs.distance.copy(), method, cut=limit)


def by_size(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labels numbered from 0, largest cluster first, then by the first member."""
    names, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    return np.asarray(rank[np.searchsorted(names, labels)])


def average_motif(pfms: Sequence[Float64], members: NDArray[np.int64], pairs: MotifDistances) -> Float64:
    """Mean motif (4, w) of members laid over the one that is most similar to all, trimmed.

    Flanks whose information is at most 0.075 of the largest column's are cut; what no member covers counts as 1/4. At
    least three positions are kept: a motif that has fewer is left as wide as the centre.
    """
    inner = pairs.distance[np.ix_(members, members)]
    centre = int(members[np.argmin(inner.sum(1))])
    offset, flipped = pairs.offset[members, centre], pairs.orientation[members, centre] == 1
    widths = np.array([pfms[i].shape[1] for i in members])
    first = int(min(0, offset.min()))
    width = int((offset + widths).max()) - first
    placed = [
        place((pfms[i] - 0.25)[None], np.array([shift - first]), np.array([turn]), width=width)[0]
        for i, shift, turn in zip(members, offset, flipped, strict=True)
    ]
    mean = 0.25 + np.sum(placed, axis=0) / len(members)
    strength = information_cells(mean).sum(0)
    kept = np.flatnonzero(strength > _FLANK * strength.max())
    if len(kept) == 0 or kept[-1] + 1 - kept[0] < _LEAST_WIDTH:
        start, stop = -first, -first + pfms[centre].shape[1]
    else:
        start, stop = int(kept[0]), int(kept[-1]) + 1
    return np.asarray(mean[:, start:stop] / mean[:, start:stop].sum(0))
