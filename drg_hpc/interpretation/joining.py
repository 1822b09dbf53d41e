"""Clusters that say the same become one: their members are confusable."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from drg_hpc.interpretation.similarity import Float32, Metric, compare

_LOOKED_AT = 500
_LOW, _CONFUSED = 10, 0.5


def confusion(
    units: Float32, centres: Float32, members: Sequence[NDArray[np.int64]], *, metric: Metric, min_overlap: int
) -> NDArray[np.float64]:
    """(c, c) symmetric: the share of two clusters' members that would pass as the other's.

    A window passes if it is more similar to the other's centre than a tenth of the other's own members are.

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
    both = (passing + passing.T) / 2
    np.fill_diagonal(both, 0)
    return np.asarray(both, np.float64)


def confused_centres(
    units: Float32, centres: Float32, members: Sequence[NDArray[np.int64]], *, metric: Metric, min_overlap: int
) -> NDArray[np.int64]:
    """Centres to keep, ascending: of pairs whose members mostly pass as the other's, that with more members.

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
