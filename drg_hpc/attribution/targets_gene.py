"""Borzoi's gene statistics as target statistics: log expression, log ratios at polyA sites, exons and junctions.

Linder et al. 2025 (Nat Genet 57:949). With q[b] the mean over the tracks of the gene's strand of the coverage of bin b
(:mod:`drg_hpc.attribution.untransform`), weights w (numerator) and v (denominator) that are shares of bins:

- expression: ``ln(sum_b w q + pseudo + 1e-6)``
- polya, splice: ``ln(N + pseudo + 1e-6) - ln(D + pseudo + 1e-6)``, where N and D are the means of q over w and over v

With ``compat`` the ratio is ``ln((N + pseudo) / (D + pseudo) + 1e-6)``, and expression of values that are not
transformed back the plain sum.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.attribution.gene_tracks import TrackTransform, Value, from_json
from drg_hpc.attribution.gene_windows import Geometry
from drg_hpc.attribution.gene_words import Order
from drg_hpc.attribution.genes import GeneRow
from drg_hpc.attribution.targets import Inputs, Statistic, as_given
from drg_hpc.attribution.untransform import Untransform
from drg_hpc.models.compute import model_part, module_links, partner_tracks
from drg_hpc.models.links import apply_links

_TINY = 1e-6


class GeneStatistic(Statistic):
    """A statistic of the gene of each row.

    Of the model only the tracks of the statistic are computed, and of each row only its bins: as many as the row with
    most of them has, so that all passes have one shape. What a row does not need has weight 0.

    Parameters
    ----------
    rows : of the whole run
    values : what is computed of each row
    transforms : of every track in ``values`` and of its partner
    geometry : where the model's bins lie
    """

    def __init__(
        self,
        module: torch.nn.Module,
        rows: Sequence[GeneRow],
        values: Sequence[Value],
        transforms: Mapping[int, TrackTransform],
        *,
        order: Order,
        geometry: Geometry,
        pseudo: float = 0.0,
        compat: bool = False,
    ) -> None:
        self.module, self.rows, self.values = module, rows, tuple(values)
        self.names = tuple(value.name for value in values)
        self.pseudo, self.compat, self.geometry = pseudo, compat, geometry
        self._strands = sorted({row.strand for row in rows if row.kept})
        self.tracks = self._needed()
        self._transforms, self._order, self._turned = dict(transforms), order, False
        self._read = list(self.tracks)
        self._ratio = any(row.denominator for row in rows)
        self._width = max([1, *(row.bins for row in rows)])

    def _needed(self) -> list[int]:
        """Tracks that the genes' strands have a part in."""
        return sorted({track for value in self.values for strand in self._strands for track in value.of(strand)})

    @classmethod
    def from_params(cls, module: torch.nn.Module, params: Mapping[str, Any], rows: Sequence[GeneRow]) -> GeneStatistic:
        """The statistic of a plan.

        Parameters
        ----------
        params : ``genes`` of the plan's, made by :func:`drg_hpc.bodies.gene_options.plan_genes`
        rows : of :class:`drg_hpc.bodies.gene_rows.GeneRows`
        """
        values = [Value.from_record(record) for record in params["values"]]
        return cls(
            module,
            rows,
            values,
            from_json(params["transforms"]),
            order=params["order"],
            geometry=Geometry(**params["geometry"]),
            pseudo=params["pseudo"],
            compat=params["compat"],
        )

    def params(self, rows: Sequence[int]) -> tuple[NDArray[Any], ...]:
        """Bins ``(n, m)`` int64, their weights in numerator and denominator ``(n, m)``, and those of tracks in each
        value ``(n, values, tracks)``. Weights of a mean sum to 1."""
        n = len(rows)
        bins = np.zeros((n, self._width), np.int64)
        weights, against = np.zeros((2, n, self._width))
        tracks = np.zeros((n, len(self.values), len(self.tracks)))
        for i, row in enumerate(self.rows[number] for number in rows):
            if not row.kept:
                continue
            sides = row.weights(self.geometry)
            found = sorted({*sides[0], *sides[1]})
            bins[i, : len(found)] = found
            for out, side in zip((weights, against), sides, strict=True):
                whole = sum(side.values()) if self._ratio else 1.0
                out[i, : len(found)] = [side.get(number, 0.0) / whole for number in found]
            for j, value in enumerate(self.values):
                members = value.of(row.strand)
                tracks[i, j, [self.tracks.index(track) for track in members]] = 1 / len(members)
        if self._turned:
            bins = self.geometry.bins - 1 - bins
        return bins, weights, against, tracks

    def __call__(self, xs: Inputs, params: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        bins, weights, against, tracks = params
        output = model_part(self.module, as_given(xs), tracks=self._read, bins=bins)
        coverage = self._undo(apply_links(output, module_links(self.module, self._read)))
        means = tracks.to(coverage) @ coverage  # (b, values, m)
        numerator = (means * weights.to(coverage)[:, None]).sum(dim=-1)
        if not self._ratio:
            plain = self.compat and self._order == "none"
            return numerator if plain else torch.log(numerator + (self.pseudo + _TINY))
        denominator = (means * against.to(coverage)[:, None]).sum(dim=-1)
        if self.compat:
            blank = (against.sum(dim=-1, keepdim=True) == 0).to(coverage)  # rows that only fill a batch up
            return torch.log((numerator + self.pseudo) / (denominator + self.pseudo + blank) + _TINY)
        return torch.log(numerator + (self.pseudo + _TINY)) - torch.log(denominator + (self.pseudo + _TINY))

    @property
    def _undo(self) -> Untransform:
        return Untransform(self._order, [self._transforms[track] for track in self._read])

    def mirrored(self) -> GeneStatistic:
        turned = copy.copy(self)
        turned._turned = not self._turned
        turned._read = partner_tracks(self.module, self._read)
        return turned

    def subset(self, values: Sequence[int]) -> GeneStatistic:
        chosen = [self.values[value] for value in values]
        found = copy.copy(self)
        found.values, found.names = tuple(chosen), tuple(value.name for value in chosen)
        found.tracks = found._needed()
        found._read = partner_tracks(self.module, found.tracks) if self._turned else list(found.tracks)
        return found
