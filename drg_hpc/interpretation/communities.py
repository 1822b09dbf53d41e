"""Communities of the nearest-neighbour graph by the Leiden algorithm (Traag et al. 2019), when leidenalg is there."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import UsageError
from drg_hpc.interpretation.linkage import renumbered
from drg_hpc.interpretation.neighbours import Neighbours

_SEED_LIMIT = 2**31


def leiden_module() -> tuple[Any, Any]:
    """``(igraph, leidenalg)``.

    Raises
    ------
    UsageError : not installed
    """
    try:
        return importlib.import_module("igraph"), importlib.import_module("leidenalg")
    except ImportError as error:
        fix = "pip install 'drg_hpc[leiden]', or use --method linkage"
        raise UsageError(f"--method leiden needs leidenalg, which is not installed ({error})", fix=fix) from None


def edges(found: Neighbours, *, least: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Undirected edges (e, 2), each once and ascending, and their similarity, of pairs at least ``least`` similar."""
    n, k = found.index.shape
    left, right, value = np.repeat(np.arange(n), k), found.index.reshape(-1).astype(np.int64), found.value.reshape(-1)
    keep = (right >= 0) & (value >= least)
    low, high = np.minimum(left, right)[keep], np.maximum(left, right)[keep]
    pairs, first = np.unique(low * n + high, return_index=True)
    weight = value[keep][first].astype(np.float64)
    return np.stack([pairs // n, pairs % n], axis=1), weight


def communities(found: Neighbours, *, least: float, resolution: float, seed: int) -> NDArray[np.int64]:
    """Community of each window, (n,) from 0 in order of first members; modularity with ``resolution``.

    Raises
    ------
    UsageError : leidenalg is not installed
    """
    igraph, leidenalg = leiden_module()
    pairs, weight = edges(found, least=least)
    graph = igraph.Graph(n=len(found.index), edges=pairs.tolist())
    kind = leidenalg.RBConfigurationVertexPartition
    made = leidenalg.find_partition(
        graph, kind, weights=weight.tolist(), resolution_parameter=resolution, seed=seed % _SEED_LIMIT
    )
    return renumbered(np.asarray(made.membership, np.int64))
