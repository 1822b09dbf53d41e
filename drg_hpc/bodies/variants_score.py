"""Scores of windows with either allele by one or several models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.attribution.compare import make_comparison
from drg_hpc.attribution.ism_recipe import IsmRecipe
from drg_hpc.attribution.targets import Statistic
from drg_hpc.attribution.targets_make import make_statistic
from drg_hpc.attribution.views import View, make_views
from drg_hpc.bodies.variants_passes import batches, shared_references
from drg_hpc.bodies.variants_seen import Alleles, Array, Asked, AskedPairs, Scores, Seen
from drg_hpc.bodies.variants_sums import GeneBins, GeneSums
from drg_hpc.experiments.variant_scores import Bins, aligned, profile_scores
from drg_hpc.genome.onehot import codes_to_onehot
from drg_hpc.models.compute import array_tensor, model_part, module_links, module_place, pad_block, partner_tracks
from drg_hpc.models.links import apply_links, totals_over_bins

Codes = NDArray[np.uint8]


class Scorer:
    """Effects and scores of alleles: means over models, each by itself.

    Parameters
    ----------
    params : of the plan: target, compare, pseudo, stats, rc_average, shifts, length, bins, span; genes
    rows : sequences of a pass; one with fewer is filled up to the next power of two
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
        """Scores of some alleles; what has none is NaN or infinite.

        Parameters
        ----------
        ref, alt : base codes (n, length) with either allele
        gained : bases by which each alternative allele is longer; None: only ``ref``, ``alt`` and ``effect``
        genes : of each allele
        """
        places = shared_references(ref, genes)
        # profiles are large
        parts = list(batches(places, self._rows)) if self._bins.count > 1 else [range(len(ref))]
        alleles = Alleles(ref, alt, places, None if gained is None else AskedPairs.of(gained, genes))
        known: list[dict[int, Seen]] = [{} for _ in self._modules]
        found = []
        for part in parts:
            with np.errstate(all="ignore"):
                of_models = [self._pairs(model, alleles, part=part, known=known[model]) for model in range(len(known))]
                found.append(Scores.mean(of_models))
        return Scores.joined(found)

    def _pairs(self, model: int, alleles: Alleles, *, part: range, known: dict[int, Seen]) -> Scores:
        """Scores of some alleles by one model.

        Parameters
        ----------
        known : of reference sequences by their place; the last one is left for the next part
        """
        places = [alleles.places[row] for row in part]
        refs = [place for place in dict.fromkeys(places) if place not in known]
        codes, asked = alleles.sequences(refs, part), alleles.wanted(refs, part)
        passes = [slice(at, at + self._rows) for at in range(0, len(codes), self._rows)]
        seen = Seen.joined(
            [self._seen(model, codes[rows], None if asked is None else asked[rows]) for rows in passes]
        )  # fmt: skip
        known |= {place: seen.part(slice(at, at + 1)) for at, place in enumerate(refs)}
        found = self._compared(Seen.joined([known[place] for place in places]), seen.part(slice(len(refs), None)))
        for place in set(known) - {places[-1]}:
            del known[place]
        return found

    def _compared(self, ref: Seen, alt: Seen) -> Scores:
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

    def _seen(self, model: int, codes: Codes, asked: Sequence[Asked] | None) -> Seen:
        """What a model says of at most ``rows`` sequences (n, length); values alone without ``asked``."""
        module, count = self._modules[model], len(codes)
        device, dtype = module_place(module)
        rows = min(self._rows, 1 << (count - 1).bit_length())
        onehot = array_tensor(codes_to_onehot(codes).transpose(0, 2, 1)).to(dtype)
        plain = asked is None or not (self._stats or self._genes)
        values, profiles, sums = [], [], []
        both = np.ones((count, self._bins.count), np.bool_)
        for view in self._views:
            x = pad_block(view.apply(onehot), rows).to(device)
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
        return Seen(np.mean(values, axis=0), mean, both if profiles else None, means)

    def _aligned(
        self, profiles: Array, view: View, asked: Sequence[Asked], both: NDArray[np.bool_]
    ) -> Array:  # fmt: skip
        """Profiles with the bins of indels moved back; ``both`` loses those that only one sequence shows."""
        at, found = self._bins.holding(self._centre + view.shift), []
        for row, one in enumerate(asked):
            there, known = aligned(profiles[row], at=at, moved=self._bins.moved(one.gained))
            found.append(there)
            both[row] &= known
        return np.stack(found)

    def _sums_of(
        self, module: torch.nn.Module, outputs: torch.Tensor, view: View, asked: Sequence[Asked]
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
            self._statistics[model, view] = make_statistic(self._target, self._modules[model]).seen_by(view)
        return self._statistics[model, view]


def _plain(values: torch.Tensor) -> Array:
    found: Array = values.double().cpu().numpy()
    return found
