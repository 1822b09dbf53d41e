"""Scores of windows with either allele by one or several models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.attribution.compare import make_comparison
from drg_hpc.attribution.ism_recipe import IsmRecipe
from drg_hpc.attribution.targets import Statistic
from drg_hpc.attribution.targets_make import make_statistic
from drg_hpc.attribution.views import View, make_views
from drg_hpc.bodies.variants_near import Weights
from drg_hpc.bodies.variants_sums import GeneBins, GeneSums
from drg_hpc.experiments.variant_scores import Bins, aligned, profile_scores
from drg_hpc.genome.onehot import codes_to_onehot
from drg_hpc.models.compute import array_tensor, model_part, module_links, module_place, pad_block, partner_tracks
from drg_hpc.models.links import apply_links, totals_over_bins

Array = NDArray[Any]
Codes = NDArray[np.uint8]
_Genes = Sequence[tuple[str, Mapping[int, Weights]]]
"""Strand, and bins by shift, of each gene of a sequence."""


@dataclass(frozen=True)
class Scores:
    """What some alleles get.

    Attributes
    ----------
    alleles : ``ref``, ``alt``, ``effect`` and each of the scores of bins, float64 (n, k)
    genes : ``ref``, ``SED``, ``logSED`` of the genes of each allele, allele after allele, float64 (pairs, values)
    """

    alleles: dict[str, Array]
    genes: dict[str, Array]


@dataclass(frozen=True)
class _Asked:
    """What is wanted of a sequence besides its values.

    Attributes
    ----------
    gained : bases by which it is longer than the reference sequence
    """

    gained: int
    genes: _Genes


@dataclass(frozen=True)
class _Seen:
    """What one model says of some sequences, means over views.

    Attributes
    ----------
    values : of the statistic, (n, k)
    profiles : outputs (n, T, B) of the tracks in bins; None where no score needs them
    both : bins that can be compared, (n, B)
    sums : of the genes of each sequence, (genes, values)
    """

    values: Array
    profiles: Array | None = None
    both: NDArray[np.bool_] | None = None
    sums: Sequence[Array] = ()

    @staticmethod
    def joined(parts: Sequence[_Seen]) -> _Seen:
        """One after the other."""
        profiles = [part.profiles for part in parts if part.profiles is not None]
        both = [part.both for part in parts if part.both is not None]
        return _Seen(
            np.concatenate([part.values for part in parts]),
            np.concatenate(profiles) if profiles else None,
            np.concatenate(both) if both else None,
            [each for part in parts for each in part.sums],
        )

    def take(self, rows: NDArray[np.int64]) -> _Seen:
        """Some of the sequences."""
        profiles = None if self.profiles is None else self.profiles[rows]
        both = None if self.both is None else self.both[rows]
        return _Seen(self.values[rows], profiles, both, [self.sums[row] for row in rows.tolist()] if self.sums else ())


class Scorer:
    """Effects and scores of alleles: means over models, each by itself.

    Parameters
    ----------
    params : of the plan: target, compare, pseudo, stats, rc_average, shifts, length, bins, span; genes
    rows : sequences of a pass; the last one is filled up
    """

    def __init__(self, modules: Sequence[torch.nn.Module], params: Mapping[str, Any], *, rows: int) -> None:
        self._modules, self._target, self._rows = list(modules), params["target"], rows
        self._stats: list[str] = list(params["stats"])
        self._compare = make_comparison(IsmRecipe(compare=params["compare"], pseudo=params["pseudo"]))
        self._views = make_views(rc_average=params["rc_average"], shifts=params["shifts"])
        self._centre = params["length"] // 2
        self._bins = Bins.of(length=params["length"], span=params["span"], count=max(1, params["bins"]))
        self._genes = GeneSums(params["genes"], self._target["tracks"]) if "genes" in params else None
        self._statistics: dict[tuple[int, View], Statistic] = {}

    def score(
        self, ref: Codes, alt: Codes, gained: Sequence[int] | None, genes: Sequence[Sequence[GeneBins]] | None = None
    ) -> Scores:
        """Scores of some alleles.

        Parameters
        ----------
        ref, alt : base codes (n, length) with either allele
        gained : bases by which each alternative allele is longer; None: only ``ref``, ``alt`` and ``effect``
        genes : of each allele
        """
        step = self._rows if self._bins.count > 1 else len(ref)  # profiles are large
        found = []
        for first in range(0, len(ref), step):
            part = slice(first, first + step)
            asked = None
            if gained is not None:
                asked = _asked(gained[part], genes[part] if genes is not None else [()] * len(ref[part]))
            of_models = [self._pairs(model, ref[part], alt[part], asked) for model in range(len(self._modules))]
            alleles, pairs = (_means([getattr(each, side) for each in of_models]) for side in ("alleles", "genes"))
            found.append(Scores(alleles, pairs))
        alleles, pairs = (_joined([getattr(each, side) for each in found]) for side in ("alleles", "genes"))
        return Scores(alleles, pairs)

    def _pairs(self, model: int, ref: Codes, alt: Codes, asked: tuple[list[_Asked], list[_Asked]] | None) -> Scores:
        """Scores by one model. Alleles of one place have one reference sequence, which is computed once."""
        count = len(ref)
        if self._genes is None:
            ref, own = np.unique(ref, axis=0, return_inverse=True)
            own = own.reshape(count)  # numpy 2.0 gives (n, 1)
        else:
            own = np.arange(count)  # each has its own bins
        codes = np.concatenate([ref, alt])
        wanted = None if asked is None else [*asked[0][: len(ref)], *asked[1]]
        passes = [
            self._seen(model, codes[at : at + self._rows], None if wanted is None else wanted[at : at + self._rows])
            for at in range(0, len(codes), self._rows)
        ]
        seen = _Seen.joined(passes)
        return self._compared(seen.take(own), seen.take(len(ref) + np.arange(count)))

    def _compared(self, ref: _Seen, alt: _Seen) -> Scores:
        pairs = zip(alt.values, ref.values, strict=True)
        found = {"ref": ref.values, "alt": alt.values}
        found["effect"] = np.stack([self._compare(a[None], r)[0] for a, r in pairs])
        if ref.profiles is not None and alt.profiles is not None and alt.both is not None:
            rows = [
                profile_scores(r[:, both], a[:, both], self._stats)
                for r, a, both in zip(ref.profiles, alt.profiles, alt.both, strict=True)
            ]
            found |= {name: np.stack([row[name] for row in rows]) for name in self._stats}
        of_genes = self._genes.compared(ref.sums, alt.sums) if self._genes is not None and ref.sums else {}
        return Scores(found, of_genes)

    def _seen(self, model: int, codes: Codes, asked: Sequence[_Asked] | None) -> _Seen:
        """What a model says of at most ``rows`` sequences (n, length); values alone without ``asked``."""
        module, count = self._modules[model], len(codes)
        device, dtype = module_place(module)
        onehot = array_tensor(codes_to_onehot(codes).transpose(0, 2, 1)).to(dtype)
        plain = asked is None or not (self._stats or self._genes)
        values, profiles, sums = [], [], []
        both = np.ones((count, self._bins.count), np.bool_)
        for view in self._views:
            x = pad_block(view.apply(onehot), self._rows).to(device)
            with torch.inference_mode():
                if plain or asked is None:
                    values.append(_plain(self._statistic(model, view)([x])[:count]))
                    continue
                value, outputs = self._outputs(module, x, view, count)
                values.append(value)
                if self._genes is not None:
                    sums.append(self._sums_of(module, outputs, view, asked))
            if self._stats:
                profiles.append(self._aligned(_plain(outputs), view, asked, both))
        means = [np.mean(each, axis=0) for each in zip(*sums, strict=True)]
        mean = np.mean(profiles, axis=0) if profiles else None
        return _Seen(np.mean(values, axis=0), mean, both if profiles else None, means)

    def _aligned(
        self, profiles: Array, view: View, asked: Sequence[_Asked], both: NDArray[np.bool_]
    ) -> Array:  # fmt: skip
        """Profiles with the bins of indels moved back; ``both`` loses those that only one sequence shows."""
        at, found = self._bins.holding(self._centre + view.shift), []
        for row, one in enumerate(asked):
            there, known = aligned(profiles[row], at=at, moved=self._bins.moved(one.gained))
            found.append(there)
            both[row] &= known
        return np.stack(found)

    def _sums_of(
        self, module: torch.nn.Module, outputs: torch.Tensor, view: View, asked: Sequence[_Asked]
    ) -> list[Array]:
        assert self._genes is not None
        tracks = self._tracks_of(module, view)
        return [
            self._genes.of_row(row, tracks, [(strand, bins[view.shift]) for strand, bins in one.genes])
            for row, one in zip(outputs, asked, strict=True)
        ]

    def _tracks_of(self, module: torch.nn.Module, view: View) -> list[int]:
        tracks = list(self._target["tracks"])
        return partner_tracks(module, tracks) if view.reverse else tracks

    def _outputs(self, module: torch.nn.Module, x: torch.Tensor, view: View, count: int) -> tuple[Array, torch.Tensor]:
        """Of tracks: the values (n, k) as :class:`drg_hpc.attribution.targets.TrackStatistic` has them, and the outputs
        (n, k, B) as the sequence has them on its own strand, in one pass."""
        tracks = self._tracks_of(module, view)
        links = module_links(module, tracks)
        chosen = model_part(module, x, tracks=tracks)[:count]
        outputs = apply_links(chosen, links)
        if chosen.ndim == 2:
            return _plain(chosen if self._target["scale"] == "link" else outputs), outputs[..., None]
        values = totals_over_bins(chosen, links) if self._target["scale"] == "link" else outputs.sum(dim=-1)
        return _plain(values), outputs.flip(-1) if view.reverse else outputs

    def _statistic(self, model: int, view: View) -> Statistic:
        """The statistic of a model as a view is to be asked for it; made once."""
        if (model, view) not in self._statistics:
            chosen = make_statistic(self._target, self._modules[model]).shifted(view.shift)
            self._statistics[model, view] = chosen.mirrored() if view.reverse else chosen
        return self._statistics[model, view]


def _asked(gained: Sequence[int], genes: Sequence[Sequence[GeneBins]]) -> tuple[list[_Asked], list[_Asked]]:
    """What is wanted of the sequences with the reference alleles, and of those with the alternative ones."""
    refs = [_Asked(0, [(gene.strand, gene.ref) for gene in each]) for each in genes]
    pairs = zip(gained, genes, strict=True)
    return refs, [_Asked(more, [(gene.strand, gene.alt) for gene in each]) for more, each in pairs]


def _means(each: Sequence[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.mean([one[name] for one in each], axis=0) for name in each[0]}


def _joined(each: Sequence[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.concatenate([one[name] for one in each]) for name in each[0]}


def _plain(values: torch.Tensor) -> Array:
    found: Array = values.double().cpu().numpy()
    return found
