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
from drg_hpc.attribution.gene_windows import Geometry, count_bins
from drg_hpc.attribution.gene_words import Order
from drg_hpc.attribution.genes import GeneRow
from drg_hpc.attribution.targets import Inputs, Statistic, as_given
from drg_hpc.attribution.untransform import Untransform
from drg_hpc.models.compute import model_part, module_links, partner_tracks
from drg_hpc.models.links import apply_links

_TINY = 1e-6
_FEW = 2
"""Tracks of a value that are read by index."""


class _TrackMeans:
    """Means over the tracks of each value, by the strand of a row.

    Values of one or two tracks, as single tracks and pairs are, are read by index: with thousands of them, a matrix of
    values by tracks takes hundreds of MB a row.

    Parameters
    ----------
    tracks : all that are read, in order
    """

    def __init__(self, values: Sequence[Value], strands: Sequence[str], tracks: Sequence[int]) -> None:
        place = {track: number for number, track in enumerate(tracks)}
        self.strands = {strand: number for number, strand in enumerate(strands)}
        members = [[[place[track] for track in value.of(strand)] for value in values] for strand in strands]
        self._most = max((len(each) for some in members for each in some), default=1)
        self._index: torch.Tensor | None = None
        if self._most <= _FEW:
            padded = [[each + each[:1] * (self._most - len(each)) for each in some] for some in members]
            self._index = torch.tensor(padded, dtype=torch.int64)
            counts = torch.tensor([[len(each) for each in some] for some in members])[..., None]
            self._members = (torch.arange(self._most) < counts).float()
            return
        self._members = torch.zeros(len(strands), len(values), len(tracks))
        for number, some in enumerate(members):
            for value, each in enumerate(some):
                self._members[number, value, each] = 1.0

    def __call__(self, coverage: torch.Tensor, strands: torch.Tensor) -> torch.Tensor:
        """``(b, tracks, m)`` and numbers of strands ``(b,)`` -> ``(b, values, m)``."""
        if self._index is None:
            return self._shares(coverage, strands) @ coverage
        index = self._index.to(strands.device).index_select(0, strands).flatten(1)
        found = coverage.gather(1, index[:, :, None].expand(-1, -1, coverage.shape[2]))
        if self._most == 1:
            return found
        shares = self._shares(coverage, strands)
        return (found.reshape(*shares.shape, -1) * shares[..., None]).sum(dim=2)

    def _shares(self, coverage: torch.Tensor, strands: torch.Tensor) -> torch.Tensor:
        chosen = self._members.to(coverage).index_select(0, strands)
        return chosen / chosen.sum(dim=-1, keepdim=True)


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
        self._transforms, self._order, self._turned, self._shift = dict(transforms), order, False, 0
        self._ratio = any(row.denominator for row in rows)
        self._widths: dict[int, int] = {}
        self._settle()

    def _settle(self) -> None:
        """Tracks that the genes' strands have a part in, and their means."""
        self.tracks = sorted({track for value in self.values for strand in self._strands for track in value.of(strand)})
        self._read = partner_tracks(self.module, self.tracks) if self._turned else list(self.tracks)
        self._means = _TrackMeans(self.values, self._strands, self.tracks)

    @property
    def _width(self) -> int:
        """Bins of the row with most of them, where the sequences are."""
        shift = self._shift
        if shift not in self._widths:
            sides = ((row.start, (*row.numerator, *row.denominator)) for row in self.rows if row.kept)
            counts = (count_bins(side, start - shift, self.geometry) for start, side in sides)
            self._widths[shift] = max([1, *counts])
        return self._widths[shift]

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
        """Bins ``(n, m)`` int64, their weights in numerator and denominator ``(n, m)``, and numbers of the genes'
        strands ``(n,)`` int64. Weights of a mean sum to 1. A row that is not kept has weights 0 and no value.

        Raises
        ------
        UsageError : the shift moves a gene out of the bins
        """
        n = len(rows)
        bins, strands = np.zeros((n, self._width), np.int64), np.zeros(n, np.int64)
        weights, against = np.zeros((2, n, self._width))
        for i, row in enumerate(self.rows[number] for number in rows):
            if not row.kept:
                continue
            row.require_inside(self.geometry, self._shift)
            sides = row.weights(self.geometry, self._shift)
            found = sorted({*sides[0], *sides[1]})
            bins[i, : len(found)] = found
            for out, side in zip((weights, against), sides, strict=True):
                whole = sum(side.values()) if self._ratio else 1.0
                out[i, : len(found)] = [side.get(number, 0.0) / whole for number in found]
            strands[i] = self._means.strands[row.strand]
        if self._turned:
            bins = self.geometry.bins - 1 - bins
        return bins, weights, against, strands

    def __call__(self, xs: Inputs, params: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        bins, weights, against, strands = params
        output = model_part(self.module, as_given(xs), tracks=self._read, bins=bins)
        coverage = self._undo(apply_links(output, module_links(self.module, self._read)))
        means = self._means(coverage, strands)
        numerator = (means * weights.to(coverage)[:, None]).sum(dim=-1)
        if not self._ratio:
            plain = self.compat and self._order == "none"
            return numerator if plain else torch.log(numerator + (self.pseudo + _TINY))
        denominator = (means * against.to(coverage)[:, None]).sum(dim=-1)
        if self.compat:
            return torch.log((numerator + self.pseudo) / (denominator + self.pseudo) + _TINY)
        return torch.log(numerator + (self.pseudo + _TINY)) - torch.log(denominator + (self.pseudo + _TINY))

    @property
    def _undo(self) -> Untransform:
        return Untransform(self._order, [self._transforms[track] for track in self._read])

    def mirrored(self) -> GeneStatistic:
        turned = copy.copy(self)
        turned._turned = not self._turned
        turned._read = partner_tracks(self.module, self._read)
        return turned

    def shifted(self, shift: int) -> GeneStatistic:
        moved = copy.copy(self)
        moved._shift += shift
        return moved

    def subset(self, values: Sequence[int]) -> GeneStatistic:
        chosen = [self.values[value] for value in values]
        found = copy.copy(self)
        found.values, found.names = tuple(chosen), tuple(value.name for value in chosen)
        found._settle()
        return found
