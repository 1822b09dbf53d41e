"""Where the motifs lie: the members of a motif as sites of its core, in coordinates of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drg_hpc.interpretation.averages import FoundMotif
from drg_hpc.results.seqlets import Seqlets

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Sites:
    """Sites of motifs, sorted by motif, row and start.

    Parameters
    ----------
    motif : (n,) number of the motif
    row : (n,) of the attributions
    start, end : (n,) of the motif's core in the row, half-open; a core may reach beyond the row's ends
    strand : (n,) 1, or -1 where the row holds the reverse complement of the motif
    value : (n,) contribution of the seqlet, the sum over its bases
    """

    motif: Int64
    row: Int64
    start: Int64
    end: Int64
    strand: NDArray[np.int8]
    value: NDArray[np.float32]

    def take(self, chosen: NDArray[np.integer] | NDArray[np.bool_]) -> Sites:
        """Some of the sites."""
        return Sites(
            self.motif[chosen], self.row[chosen], self.start[chosen], self.end[chosen], self.strand[chosen],
            self.value[chosen],
        )  # fmt: skip


def sites_of(motifs: Sequence[FoundMotif], seqlets: Seqlets) -> Sites:
    """Sites of all members, once where seqlets of several tracks lie on one site.

    A member's window begins half its width before the seqlet's midpoint; its offset and strand say where the frame of
    the motif lies, and start and end of the core where the site is in the frame. Sites of one motif in one row whose
    starts follow each other by less than half the core are one, the strongest.
    """
    width = seqlets.sequence.shape[2]
    table = seqlets.table
    begin = (table["start"].to_numpy(np.int64) + table["end"].to_numpy(np.int64)) // 2 - width // 2
    row, value = table["row"].to_numpy(np.int64), table["attribution"].to_numpy(np.float32)
    parts = []
    for number, motif in enumerate(motifs):
        members = motif.members
        first, last = motif.start - motif.offset, motif.end - motif.offset
        start = begin[members] + np.where(motif.flipped, width - last, first)
        end = begin[members] + np.where(motif.flipped, width - first, last)
        strand = np.where(motif.flipped, -1, 1).astype(np.int8)
        found = Sites(np.full(len(members), number, np.int64), row[members], start, end, strand, value[members])
        parts.append(_once(found, least=max(1, (motif.end - motif.start) // 2)))
    if not parts:
        none = np.zeros(0, np.int64)
        return Sites(none, none, none, none, none.astype(np.int8), none.astype(np.float32))
    names = ("motif", "row", "start", "end", "strand", "value")
    return Sites(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _once(sites: Sites, *, least: int) -> Sites:
    """Sites of one motif, the strongest of each chain whose starts are less than ``least`` apart."""
    sites = sites.take(np.lexsort((sites.start, sites.row)))
    if not len(sites.row):
        return sites
    new = np.concatenate([[True], (np.diff(sites.row) != 0) | (np.diff(sites.start) >= least)])
    chain = np.cumsum(new)
    order = np.lexsort((np.arange(len(chain)), -np.abs(sites.value), chain))
    first = np.concatenate([[True], np.diff(chain[order]) != 0])
    return sites.take(np.sort(order[first]))


def strongest_sites(sites: Sites, motif: int) -> Sites:
    """The sites of one motif, in each row the strongest first."""
    own = sites.take(sites.motif == motif)
    return own.take(np.lexsort((own.start, -np.abs(own.value), own.row)))
