"""The bases of sites, and sequences with sites put in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from drg_hpc.experiments.marginal_designs import Design, Item, Site
from drg_hpc.experiments.perturb_copies import Codes
from drg_hpc.experiments.sequences import thresholds
from drg_hpc.genome.onehot import UNKNOWN, encode, reverse_complement
from drg_hpc.rng import row_keys

_HELD = 256
"""Items whose sites are kept: designs of an item or a pair, at many places, follow one another."""


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
        self._drawn = lru_cache(maxsize=_HELD)(self._draw)

    def bases(self, site: Site) -> Codes:
        """Codes (n, width) for each background, or (1, width) where all have the same; unknown ones keep the base of
        the background. What is drawn for a motif and a background is the same at every place and on either strand."""
        item = self._items[site.item]
        if site.item not in self._matrices:
            found = encode(item.letters.encode())[None]
        else:
            found = self._drawn(site.item, second=site.second)
        return reverse_complement(found) if site.strand == "-" else found

    def _draw(self, number: int, *, second: bool) -> Codes:
        """Sites (n, width) of an item on the forward strand."""
        matrix, name = self._matrices[number], f"{self._items[number].name}:{2 if second else 1}"
        limits = thresholds(matrix / matrix.sum(axis=1, keepdims=True))
        bits = np.empty((len(self._rows), len(matrix)), np.int64)
        for copy in np.unique(self._copies).tolist():
            own = self._copies == copy
            for position in range(len(matrix)):
                keys = row_keys(self._seed, self._rows[own], f"marginalize:site:{name}:{copy}", step=position)
                bits[own, position] = (keys >> np.uint64(11)).astype(np.int64)
        found: Codes = (bits[:, :, None] >= limits).sum(axis=2).astype(np.uint8)
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
