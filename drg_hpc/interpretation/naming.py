"""Names for motifs: Tomtom against motif databases, through memelite.

q values are Benjamini-Hochberg over *all* targets of a database, per motif: taking them over the few best hits only
would make them too small. memelite (0.5) traps that are kept off here: p-values depend on the target set, so each
database is searched whole and by itself; few targets only raise a Python warning, which becomes a log line; motifs of
other memory layouts cost another 30 s of compilation, so all arrays have one type and layout.
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
    """Best target of one motif in one database.

    Parameters
    ----------
    target, database : name of the motif, name of the file
    p, q : of the best alignment, both strands; Benjamini-Hochberg over the database
    offset : start of the motif relative to the target as aligned
    strand : ``+`` or ``-``, of the target
    overlap : shared positions
    pfm : (4, width) of the target, on the strand that matched
    runners_up : the next targets of the same database with their q values, best first (paralogues share a motif)
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


def tomtom_matches(pfms: Sequence[NDArray[np.float64]], database: Path, *, threads: int = 1) -> list[Match]:
    """The best match of every motif in one database.

    Parameters
    ----------
    pfms : (4, width) probabilities
    database : MEME file

    Raises
    ------
    InputError : the database cannot be read
    """
    from memelite import tomtom
    from numba import get_num_threads

    targets = read_meme(database)
    if not pfms:
        return []
    queries = [np.ascontiguousarray(pfm, np.float64) for pfm in pfms]
    jobs = min(threads, get_num_threads())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = tomtom(queries, [np.ascontiguousarray(t.pfm, np.float64) for t in targets], n_jobs=jobs)
    if any("tomtom was given" in str(item.message) for item in caught):
        log.warning("%s has only %d motifs: Tomtom's p-values depend on which they are", database.name, len(targets))
    return [_best(found[:, i], targets, database.name) for i in range(len(queries))]


def _best(found: NDArray[np.float64], targets: Sequence[Motif], database: str) -> Match:
    p, score, offset, overlap, strand = np.asarray(found, np.float64)
    p = np.clip(p, 0.0, 1.0)
    q = benjamini_hochberg(p)
    best, *others = (int(index) for index in np.lexsort((-score, p))[: 1 + RUNNERS_UP])
    flipped = bool(strand[best])
    pfm = targets[best].pfm
    return Match(
        target=targets[best].name,
        database=database,
        p=float(p[best]),
        q=float(q[best]),
        offset=int(offset[best]),
        strand="-" if flipped else "+",
        overlap=int(overlap[best]),
        pfm=pfm[::-1, ::-1].copy() if flipped else pfm,
        runners_up=tuple((targets[index].name, float(q[index])) for index in others),
    )


def best_matches(
    pfms: Sequence[NDArray[np.float64]], databases: Sequence[Path], *, threads: int = 1
) -> list[Match | None]:
    """The match of each motif with the smallest q (then p, then the databases' order); None without databases."""
    per_database = [tomtom_matches(pfms, path, threads=threads) for path in databases]
    if not per_database:
        return [None] * len(pfms)
    return [min(found, key=lambda match: (match.q, match.p)) for found in zip(*per_database, strict=True)]
