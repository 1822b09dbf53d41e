"""Coverage summed over the bins of genes, of windows with either allele."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.attribution.gene_tracks import Value, from_json
from drg_hpc.attribution.gene_windows import Geometry
from drg_hpc.attribution.untransform import Untransform
from drg_hpc.bodies.gene_places import GenePlace, Weights, allele_weights
from drg_hpc.experiments.variant_scores import Bins
from drg_hpc.experiments.variant_windows import Window

Sums = NDArray[np.float64]


@dataclass(frozen=True)
class GeneBins:
    """The bins of a gene in the window of an allele, by the shift of a view.

    Attributes
    ----------
    ref, alt : with the reference and the alternative allele
    """

    strand: str
    ref: Mapping[int, Weights]
    alt: Mapping[int, Weights]


def gene_bins(
    window: Window, genes: Iterable[GenePlace], params: Mapping[str, Any], *, shifts: Sequence[int]
) -> list[GeneBins]:
    """Where to read the genes of a window.

    Parameters
    ----------
    params : ``genes`` of a plan
    shifts : of all views
    """
    geometry, found = Geometry(**params["geometry"]), []
    bins = Bins.of(length=geometry.length, span=geometry.size * geometry.bins, count=geometry.bins)
    at = {shift: bins.holding(geometry.length // 2 + shift) for shift in shifts}
    moved = bins.moved(window.gained)
    for gene in genes:
        pairs = {
            shift: allele_weights(gene, window.start - shift, geometry, at=at[shift], moved=moved) for shift in shifts
        }
        ref, alt = ({shift: pair[side] for shift, pair in pairs.items()} for side in (0, 1))
        found.append(GeneBins(gene.strand, ref, alt))
    return found


class GeneSums:
    """Sums over bins of what outputs become when their transforms are undone.

    Parameters
    ----------
    params : ``genes`` of a plan
    tracks : whose outputs are given, in order
    """

    def __init__(self, params: Mapping[str, Any], tracks: Sequence[int]) -> None:
        self._order, self._transforms = params["order"], from_json(params["transforms"])
        values = [Value.from_record(record) for record in params["values"]]
        self._count, self._pseudo, self._scores = len(values), float(params["pseudo"]), list(params["scores"])
        place = {track: number for number, track in enumerate(tracks)}
        self._members = {strand: _members(values, strand, place) for strand in ("+", "-", ".")}

    def of_row(self, outputs: torch.Tensor, tracks: Sequence[int], genes: Sequence[tuple[str, Weights]]) -> Sums:
        """Sums (genes, values) of one sequence.

        Parameters
        ----------
        outputs : (T, B), on the output scale
        tracks : whose they are: those that were given, or their partners
        genes : strand and bins of each
        """
        numbers = sorted({number for _, weights in genes for number in weights})
        if not numbers:
            return np.zeros((len(genes), self._count))
        columns = {number: at for at, number in enumerate(numbers)}
        shares = np.zeros((len(numbers), len(genes)))
        for gene, (_, weights) in enumerate(genes):
            for number, weight in weights.items():
                shares[columns[number], gene] = weight
        read = outputs[:, torch.tensor(numbers, device=outputs.device)]
        undo = Untransform(self._order, [self._transforms[track] for track in tracks])
        coverage = undo(read[None])[0].double()
        sums = (coverage @ torch.from_numpy(shares).to(coverage.device)).cpu().numpy()
        found = np.empty((len(genes), self._count))
        for gene, (strand, _) in enumerate(genes):
            members, shares_of = self._members[strand]
            found[gene] = (sums[members, gene] * shares_of).sum(axis=1)
        return found

    def compared(self, ref: Sequence[Sums], alt: Sequence[Sums]) -> dict[str, Sums]:
        """Scores (pairs, values) from the sums of each allele's genes, and the sums with the reference allele."""
        one, other = (np.concatenate([*each, np.zeros((0, self._count))]) for each in (ref, alt))
        found = {"ref": one, "SED": other - one}
        if "logSED" in self._scores:
            found["logSED"] = np.log2(other + self._pseudo) - np.log2(one + self._pseudo)
        return found


def _members(values: Sequence[Value], strand: str, place: Mapping[int, int]) -> tuple[NDArray[np.int64], Sums]:
    """Where the tracks of each value stand, and their shares in its mean: (values, most of them) each."""
    rows = [[place[track] for track in value.of(strand)] for value in values]
    most = max(1, *(len(row) for row in rows))
    padded = [row + [0] * (most - len(row)) for row in rows]
    shares = [[1 / len(row)] * len(row) + [0.0] * (most - len(row)) for row in rows]
    return np.array(padded, np.int64), np.array(shares)
