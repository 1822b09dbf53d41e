"""Clusters that say the same become one: their members are confusable."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from drg_hpc.interpretation.centres import unit_windows
from drg_hpc.interpretation.similarity import Float32, Metric, compare, place

_LOOKED_AT = 500
_LOW, _CONFUSED = 10, 0.2


def confusion(
    units: Float32, centres: Float32, members: Sequence[NDArray[np.int64]], *, metric: Metric, min_overlap: int
) -> NDArray[np.float64]:
    """(c, c) symmetric: of two clusters' shares of members that would pass as the other's, the smaller one.

    A window passes if it is more similar to the other's centre than a tenth of the other's own members are. Sites of a
    pair of motifs pass as sites of one of them, but not the other way round.

    Parameters
    ----------
    units : (n, 4, W) unit windows
    members : of each centre, one at least; of many, 500 evenly spaced ones are looked at
    """
    count = len(centres)
    values = []
    for rows in members:
        some = rows[:: -(-len(rows) // _LOOKED_AT)]
        values.append(compare(units[some], centres, metric=metric, min_overlap=min_overlap).value)
    low = np.array([np.percentile(values[k][:, k], _LOW) for k in range(count)])
    passing = np.stack([(value >= low).mean(axis=0) for value in values]) if count else np.zeros((0, 0))
    both = np.minimum(passing, passing.T)
    np.fill_diagonal(both, 0)
    return np.asarray(both, np.float64)


def confused_centres(
    units: Float32, centres: Float32, members: Sequence[NDArray[np.int64]], *, metric: Metric, min_overlap: int
) -> NDArray[np.int64]:
    """Centres to keep, ascending: of pairs whose members pass as the other's, a fifth or more, that with more members.

    The most confused pair goes first; a centre takes part in one pair. The members of what is left out find their
    centre when the windows are next given to the nearest.
    """
    keep = np.ones(len(centres), bool)
    both = confusion(units, centres, members, metric=metric, min_overlap=min_overlap)
    while both.size and both.max() >= _CONFUSED:
        i, j = (int(k) for k in np.unravel_index(int(both.argmax()), both.shape))
        keep[j if len(members[i]) >= len(members[j]) else i] = False
        both[[i, j]] = both[:, [i, j]] = 0
    return np.flatnonzero(keep)


def merge_similar(centres: Float32, least: float, *, metric: Metric, min_overlap: int) -> Float32:
    """Join the most similar pair of centres until none reaches ``least``."""
    weights = np.ones(len(centres))
    while len(centres) > 1:
        units = unit_windows(centres)
        pairs = compare(units, units, metric=metric, min_overlap=min_overlap)
        np.fill_diagonal(pairs.value, -1.0)
        i, j = np.unravel_index(int(pairs.value.argmax()), pairs.value.shape)
        if pairs.value[i, j] < least:
            break
        offset, flipped = pairs.offset[[i], j].astype(np.int64), pairs.flipped[[i], j]
        moved = place(centres[[i]], offset, flipped, width=centres.shape[2])[0]
        joined = (weights[i] * moved + weights[j] * centres[j]) / (weights[i] + weights[j])
        keep = [k for k in range(len(centres)) if k not in (i, j)]
        weights = np.append(weights[keep], weights[i] + weights[j])
        centres = np.concatenate([centres[keep], joined[None].astype(np.float32)])
    return centres
