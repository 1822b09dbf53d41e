"""Clusters of seqlets split by what their places do in the tracks of the file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.errors import UsageError
from drg_hpc.interpretation.centres import Cluster
from drg_hpc.interpretation.splitting import site_effects, split_by_effects


def split_clusters(
    clusters: list[Cluster], effects: NDArray[np.float64], *, max_distance: float, min_size: int
) -> list[Cluster]:
    """Parts of at least ``min_size`` members, largest first.

    Parameters
    ----------
    effects : (n, tracks) of the seqlets that the clusters' members count
    max_distance : see :func:`~drg_hpc.interpretation.splitting.split_by_effects`
    """
    found = []
    for cluster in clusters:
        labels = split_by_effects(np.zeros(len(cluster.members), np.int64), effects[cluster.members],
                                  max_distance=max_distance)  # fmt: skip
        for label in np.unique(labels):
            part = np.flatnonzero(labels == label)
            if len(part) >= min_size:
                names = ("members", "offset", "flipped", "similarity")
                found.append(replace(cluster, **{name: getattr(cluster, name)[part] for name in names}))
    return sorted(found, key=lambda cluster: (-len(cluster.members), int(cluster.members[0])))


def table_effects(table: pd.DataFrame) -> NDArray[np.float64]:
    """(n, tracks) effects of the places of a table of seqlets.

    Raises
    ------
    UsageError : seqlets of fewer than three tracks, whose correlation says nothing
    """
    tracks = int(table["track"].max()) + 1 if len(table) else 0
    if table["track"].nunique() < 3:
        fix = "call seqlets on three tracks or more, or leave the flag out"
        raise UsageError(f"--split-by-effects with seqlets of {table['track'].nunique()} tracks", fix=fix)
    rows, start, end, track = (table[name].to_numpy(np.int64) for name in ("row", "start", "end", "track"))
    return site_effects(rows, start, end, track, table["attribution"].to_numpy(np.float64), tracks=tracks)
