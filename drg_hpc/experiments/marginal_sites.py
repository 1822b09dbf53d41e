"""The bases of sites, and sequences with sites put in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from drg_hpc.experiments.marginal_designs import Design, Item, Site
from drg_hpc.experiments.perturb_copies import Codes
from drg_hpc.genome.onehot import UNKNOWN, encode, reverse_complement
from drg_hpc.rng import row_keys

Keys = NDArray[np.uint64]


class Sites:
    """Gives the bases of sites.

    Parameters
    ----------
    matrices : (width, 4) probabilities of A, C, G, T by number of the item, of motifs whose sites are drawn; the others
        are their letters
    rows, copies : (n,) row and number of the shuffle of each background, which what is drawn depends on
    """

    def __init__(
        self, items: Sequence[Item], matrices: Mapping[int, NDArray[np.float64]], *, rows: NDArray[np.int64],
        copies: NDArray[np.int64], seed: int,
    ) -> None:  # fmt: skip
        self._items, self._matrices, self._rows, self._copies, self._seed = items, matrices, rows, copies, seed

    def bases(self, site: Site) -> Codes:
        """Codes (n, width) for each background, or (1, width) where all have the same; unknown ones keep the base of
        the background. What is drawn for a motif and a background is the same at every place and on either strand."""
        item = self._items[site.item]
        if site.item not in self._matrices:
            found = encode(item.letters.encode())[None]
        else:
            found = self._drawn(self._matrices[site.item], f"{item.name}:{2 if site.second else 1}")
        return reverse_complement(found) if site.strand == "-" else found

    def _drawn(self, matrix: NDArray[np.float64], name: str) -> Codes:
        edges = np.cumsum(matrix, axis=1) / matrix.sum(axis=1, keepdims=True)
        uniform = np.empty((len(self._rows), len(matrix)))
        for copy in np.unique(self._copies).tolist():
            own = self._copies == copy
            for position in range(len(matrix)):
                keys = row_keys(self._seed, self._rows[own], f"marginalize:site:{name}:{copy}", step=position)
                uniform[own, position] = (keys >> np.uint64(11)).astype(np.float64) / 2.0**53
        found: Codes = (uniform[:, :, None] >= edges[None, :, :3]).sum(axis=2).astype(np.uint8)
        return found


def window_of(design: Design, items: Sequence[Item]) -> tuple[int, int]:
    """First base that an insertion may change, and the one after the last."""
    return design[0].start, design[-1].start + items[design[-1].item].width


def put(codes: Codes, sites: Sites, design: Design) -> Codes:
    """Backgrounds (n, L) with the sites of a design put in."""
    found = codes.copy()
    for site in design:
        bases = sites.bases(site)
        there = found[:, site.start : site.start + bases.shape[1]]
        there[...] = np.where(bases == UNKNOWN, there, bases)
    return found
