"""Names for motifs: Tomtom against motif databases, through memelite.

q values are Benjamini-Hochberg per motif, over *all* targets of all databases given, their p-values pooled: taking
them over the few best hits, or over one of several databases, would make them too small. memelite (0.5) traps that are
kept off here: p-values depend on the target set, so each database is searched whole and by itself; few targets only
raise a Python warning, which becomes a log line; motifs of other memory layouts cost another 30 s of compilation, so
all arrays have one type and layout.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drg_hpc.genome.motifs import Motif, read_meme

log = logging.getLogger(__name__)

RUNNERS_UP = 4


@dataclass(frozen=True)
class Match:
    """Best target of one motif.

    Parameters
    ----------
    target, database : name of the motif, name of the file
    p, q : of the best alignment, both strands, in that file; Benjamini-Hochberg over the targets of all databases
    offset : start of the motif relative to the target as aligned
    strand : ``+`` or ``-``, of the target
    overlap : shared positions
    pfm : (4, width) of the target, on the strand that matched
    runners_up : the next targets of any database with their q values, best first (paralogues share a motif)
    """

    target: str
    database: str
    p: float
    q: float
    offset: int
    strand: str
    overlap: int
    pfm: NDArray[np.float64]
    runners_up: tuple[tuple[str, float], ...] = ()

    def turned(self, width: int) -> Match:
        """The same match for the reverse complement of the motif, which has ``width`` positions."""
        return replace(
            self,
            offset=self.pfm.shape[1] - self.offset - width,
            strand="+" if self.strand == "-" else "-",
            pfm=self.pfm[::-1, ::-1].copy(),
        )


def benjamini_hochberg(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """q values of a vector of p-values (Benjamini & Hochberg 1995), in its order."""
    order = np.argsort(p, kind="stable")
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    q = np.empty(len(p))
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return q


@dataclass(frozen=True)
class _Search:
    """One database, and what Tomtom found in it: (5, queries, targets) of p, score, offset, overlap, strand."""

    database: str
    targets: Sequence[Motif]
    found: NDArray[np.float64]


def _search(pfms: Sequence[NDArray[np.float64]], database: Path, *, threads: int) -> _Search:
    from memelite import tomtom
    from numba import get_num_threads

    targets = read_meme(database)
    if not pfms:
        return _Search(database.name, targets, np.zeros((5, 0, len(targets))))
    queries = [np.ascontiguousarray(pfm, np.float64) for pfm in pfms]
    jobs = min(threads, get_num_threads())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = tomtom(queries, [np.ascontiguousarray(t.pfm, np.float64) for t in targets], n_jobs=jobs)
    if any("tomtom was given" in str(item.message) for item in caught):
        log.warning("%s has only %d motifs: Tomtom's p-values depend on which they are", database.name, len(targets))
    return _Search(database.name, targets, np.asarray(found, np.float64))


def best_matches(
    pfms: Sequence[NDArray[np.float64]], databases: Sequence[Path], *, threads: int = 1
) -> list[Match | None]:
    """The match of each motif with the smallest p-value in any database; None without databases.

    The p-values that a motif has for the targets of all databases, each from the search of its own database, are
    pooled, and q values are Benjamini-Hochberg over that pool. So one database given as two files leaves q about as
    it was. Ties go to the larger score, then to the order of the databases.

    Parameters
    ----------
    pfms : (4, width) probabilities
    databases : MEME files

    Raises
    ------
    InputError : a database cannot be read
    """
    searches = [_search(pfms, path, threads=threads) for path in databases]
    if not searches:
        return [None] * len(pfms)
    return [_best(searches, query) for query in range(len(pfms))]


def _best(searches: Sequence[_Search], query: int) -> Match:
    """The best target of one motif over all databases."""
    p, score, offset, overlap, strand = np.concatenate([search.found[:, query] for search in searches], axis=1)
    targets = [(target, search.database) for search in searches for target in search.targets]
    p = np.clip(p, 0.0, 1.0)
    q = benjamini_hochberg(p)
    best, *others = (int(index) for index in np.lexsort((-score, p))[: 1 + RUNNERS_UP])
    flipped = bool(strand[best])
    target, database = targets[best]
    return Match(
        target=target.name,
        database=database,
        p=float(p[best]),
        q=float(q[best]),
        offset=int(offset[best]),
        strand="-" if flipped else "+",
        overlap=int(overlap[best]),
        pfm=target.pfm[::-1, ::-1].copy() if flipped else target.pfm,
        runners_up=tuple((targets[index][0].name, float(q[index])) for index in others),
    )
