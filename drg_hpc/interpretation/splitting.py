"""Clusters against what their members do, and against the models they come from (DRG's refinement)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import UsageError
from drg_hpc.interpretation.linkage import linkage_labels

LARGEST = 20_000
"""Members of one cluster that are linked; their distances take 1.6 GB."""
_TINY = 1e-12


def split_by_effects(
    labels: NDArray[np.int64], effects: NDArray[np.floating], *, max_distance: float = 0.7
) -> NDArray[np.int64]:
    """Split every cluster by complete linkage of the correlation distances (1 - Pearson) of its members' effects.

    Parameters
    ----------
    labels : (n,) cluster of each item, -1 for none
    effects : (n, tracks)
    max_distance : largest distance in a part (DRG's ``--mincorr``, a distance); 2 splits nothing

    Returns
    -------
    (n,) new numbers from 0, by old cluster and first member; -1 stays. A row without variation correlates 0 with all
    others.

    Raises
    ------
    UsageError : fewer than two tracks, other lengths, or a cluster of more than 20,000 members
    """
    if effects.ndim != 2 or effects.shape[1] < 2 or len(effects) != len(labels):
        raise UsageError(f"effects of shape {effects.shape} for {len(labels)} members", fix="give (members, 2 or more)")
    out, total = np.full(len(labels), -1, np.int64), 0
    for label in np.unique(labels[labels >= 0]):
        rows = np.flatnonzero(labels == label)
        if len(rows) > LARGEST:
            fix = "leave --split-by-effects out, or give fewer seqlets"
            raise UsageError(f"a cluster of {len(rows)} cannot be split by effects, the most is {LARGEST}", fix=fix)
        part = _parts(effects[rows], max_distance)
        out[rows] = part + total
        total += int(part.max()) + 1
    return out


def _parts(effects: NDArray[np.floating], max_distance: float) -> NDArray[np.int64]:
    centred = effects.astype(np.float64) - effects.mean(axis=1, keepdims=True, dtype=np.float64)
    size = np.linalg.norm(centred, axis=1, keepdims=True)
    flat = size[:, 0] <= _TINY * np.maximum(np.abs(effects).max(axis=1), 1)
    unit = np.where(flat[:, None], 0, centred / np.maximum(size, _TINY)).astype(np.float32)
    distance = np.clip(1 - unit @ unit.T, 0, 2)
    np.fill_diagonal(distance, 0)
    return linkage_labels(distance, "complete", cut=max_distance)


def mean_effects(labels: NDArray[np.int64], effects: NDArray[np.floating]) -> NDArray[np.float64]:
    """(clusters, tracks) mean effect of the members of clusters 0, 1, …"""
    clusters = int(labels.max(initial=-1)) + 1
    total = np.zeros((clusters, effects.shape[1]))
    inside = labels >= 0
    np.add.at(total, labels[inside], effects[inside])
    return total / np.maximum(np.bincount(labels[inside], minlength=clusters), 1)[:, None]


def site_effects(
    rows: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    track: NDArray[np.int64],
    attribution: NDArray[np.floating],
    *,
    tracks: int,
) -> NDArray[np.float64]:
    """What each seqlet's place does in every track: attribution of all seqlets of its row that overlap it, summed.

    Parameters
    ----------
    rows, start, end, track, attribution : (n,) columns of a seqlet file, of any order
    tracks : of the file

    Returns
    -------
    (n, tracks)
    """
    out = np.zeros((len(rows), tracks))
    order = np.lexsort((start, rows))
    cuts = np.flatnonzero(np.diff(rows[order])) + 1
    for group in np.split(order, cuts):
        over = (start[group][:, None] < end[group][None, :]) & (start[group][None, :] < end[group][:, None])
        for t in np.unique(track[group]):
            of_track = group[track[group] == t]
            out[group, t] = over[:, track[group] == t] @ attribution[of_track].astype(np.float64)
    return out
