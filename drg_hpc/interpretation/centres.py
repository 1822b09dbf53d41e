"""Centres of clusters: the mean of windows laid over each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drg_hpc.interpretation.membership import Nearest
from drg_hpc.interpretation.products import distance_matrix
from drg_hpc.interpretation.similarity import Float32, Metric, compare, place

_BLOCK = 8192
_MEDOID = 500


@dataclass(frozen=True)
class Cluster:
    """Members, and how each lies over the cluster's frame of window width.

    Parameters
    ----------
    members : (k,) seqlet numbers, ascending
    offset : (k,) start of the (flipped) window relative to the frame
    flipped : (k,) bool
    similarity : (k,) to the centre
    centre : (4, W) mean of the aligned unit windows
    """

    members: NDArray[np.int64]
    offset: NDArray[np.int64]
    flipped: NDArray[np.bool_]
    similarity: Float32
    centre: Float32


def unit_windows(windows: NDArray[np.floating]) -> Float32:
    """(n, 4, W) of norm 1; a window of zeros stays one."""
    norm = np.sqrt((windows.astype(np.float64) ** 2).sum(axis=(1, 2), keepdims=True))
    return np.asarray(windows / np.maximum(norm, 1e-30), np.float32)


def cluster_of(units: Float32, near: Nearest, members: NDArray[np.int64]) -> Cluster:
    """Some windows laid over the centre they are nearest to; the frame moves to the middle of their mean."""
    offset, flipped = near.offset[members], near.flipped[members]
    centre, shift = aligned_mean(units[members], offset, flipped)
    return Cluster(members, offset - shift, flipped, near.value[members], centre)


def group_centres(
    units: Float32, groups: NDArray[np.int64], *, least: int, metric: Metric, min_overlap: int
) -> Float32:
    """Centres (c, 4, W) of the groups with at least ``least`` members, each laid around its medoid.

    The medoid of a large group is that of evenly spaced members, as it needs all their pairs.
    """
    centres = []
    for group, size in zip(*np.unique(groups, return_counts=True), strict=True):
        if size < least:
            continue
        members = np.flatnonzero(groups == group)
        some = members[:: -(-len(members) // _MEDOID)]
        total = distance_matrix(units[some], metric=metric, min_overlap=min_overlap).sum(0, dtype=np.float64)
        medoid = units[some[int(np.argmin(total))]][None]
        pairs = compare(units[members], medoid, metric=metric, min_overlap=min_overlap)
        centres.append(aligned_mean(units[members], pairs.offset[:, 0].astype(np.int64), pairs.flipped[:, 0])[0])
    return np.stack(centres) if centres else np.zeros((0, *units.shape[1:]), np.float32)


def aligned_mean(units: Float32, offset: NDArray[np.int64], flipped: NDArray[np.bool_]) -> tuple[Float32, int]:
    """Aligned mean, cut to window width around its centre of mass, and the shift of the frame that this took.

    Without the shift a cluster whose first centre happened to lie at the edge of its window would lose the far side.
    """
    width = units.shape[2]
    total = np.zeros((units.shape[1], 3 * width))
    for i in range(0, len(units), _BLOCK):
        part = slice(i, i + _BLOCK)
        total += place(units[part], offset[part] + width, flipped[part], width=3 * width).sum(axis=0)
    mean = total / len(units)
    weight = np.abs(mean).sum(axis=0)
    middle = float((weight * np.arange(3 * width)).sum() / max(weight.sum(), 1e-30))
    first = int(np.clip(round(middle - (width - 1) / 2), 0, 2 * width))
    return mean[:, first : first + width].astype(np.float32), first - width
