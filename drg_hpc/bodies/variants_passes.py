"""Which alleles are scored together, and which of them share the pass of a reference sequence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.bodies.variants_sums import GeneBins


def shared_references(ref: NDArray[np.uint8], genes: Sequence[Sequence[GeneBins]] | None) -> list[int]:
    """The first allele with the same reference sequence, and the same bins of genes in it, for each allele.

    Parameters
    ----------
    ref : base codes (n, length)
    genes : of each allele
    """
    firsts: dict[bytes, list[int]] = {}
    read: list[Any] = [[(gene.strand, gene.ref) for gene in each] for each in genes or [()] * len(ref)]
    found = []
    for row, codes in enumerate(ref):
        alike = firsts.setdefault(codes.tobytes(), [])
        first = next((other for other in alike if read[other] == read[row]), row)
        if first == row:
            alike.append(row)
        found.append(first)
    return found


def batches(places: Sequence[int], rows: int) -> Iterator[range]:
    """Cut alleles so that each batch is one pass, each time as many of them as it holds.

    A pass holds the alternative sequences and one reference sequence for each place, but for the place of the allele
    before it, which is known by then. A place that is alone too much for a pass takes two.

    Parameters
    ----------
    places : of each allele, see :func:`shared_references`
    rows : sequences of a pass
    """
    first, size, there = 0, 0, set[int]()
    for row, place in enumerate(places):
        needed = 1 if place in there else 2
        if row > first and size + needed > rows:
            yield range(first, row)
            first, size, there = row, 0, {places[row - 1]}
            needed = 1 if place in there else 2
        size += needed
        there.add(place)
    if places:
        yield range(first, len(places))
