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
from drg_hpc.experiments.variant_scores import Bins, aligned, profile_scores
from drg_hpc.genome.onehot import codes_to_onehot
from drg_hpc.models.compute import array_tensor, model_part, module_links, module_place, pad_block, partner_tracks
from drg_hpc.models.links import apply_links, totals_over_bins

Array = NDArray[Any]
Codes = NDArray[np.uint8]


@dataclass(frozen=True)
class _Seen:
    """What one model says of some sequences, means over views.

    Attributes
    ----------
    values : of the statistic, (n, k)
    profiles : outputs (n, T, B) of the tracks in bins; None where no score needs them
    both : bins that can be compared, (n, B)
    """

    values: Array
    profiles: Array | None = None
    both: NDArray[np.bool_] | None = None


class Scorer:
    """Effects and scores of alleles: means over models, each by itself.

    Parameters
    ----------
    params : of the plan: target, compare, pseudo, stats, rc_average, shifts, length, bins, span
    rows : sequences of a pass; the last one is filled up
    """

    def __init__(self, modules: Sequence[torch.nn.Module], params: Mapping[str, Any], *, rows: int) -> None:
        self._modules, self._target, self._rows = list(modules), params["target"], rows
        self._stats: list[str] = list(params["stats"])
        self._compare = make_comparison(IsmRecipe(compare=params["compare"], pseudo=params["pseudo"]))
        self._views = make_views(rc_average=params["rc_average"], shifts=params["shifts"])
        self._centre = params["length"] // 2
        self._bins = Bins.of(length=params["length"], span=params["span"], count=max(1, params["bins"]))
        self._statistics: dict[tuple[int, View], Statistic] = {}

    def score(self, ref: Codes, alt: Codes, gained: Sequence[int] | None) -> dict[str, Array]:
        """``ref``, ``alt``, ``effect`` and each of the scores, float64 (n, k).

        Parameters
        ----------
        ref, alt : base codes (n, length) with either allele
        gained : bases by which each alternative allele is longer; None: without the scores, which alone need them
        """
        found: list[dict[str, Array]] = []
        for first in range(0, len(ref), self._rows):
            part = slice(first, first + self._rows)
            moved = (None, None) if gained is None else ([0] * len(ref[part]), gained[part])
            of_models = [
                self._compared(self._seen(model, ref[part], moved[0]), self._seen(model, alt[part], moved[1]))
                for model in range(len(self._modules))
            ]
            found.append({name: np.mean([each[name] for each in of_models], axis=0) for name in of_models[0]})
        return {name: np.concatenate([each[name] for each in found]) for name in found[0]}

    def _compared(self, ref: _Seen, alt: _Seen) -> dict[str, Array]:
        pairs = zip(alt.values, ref.values, strict=True)
        found = {"ref": ref.values, "alt": alt.values}
        found["effect"] = np.stack([self._compare(a[None], r)[0] for a, r in pairs])
        if ref.profiles is None or alt.profiles is None or alt.both is None:
            return found
        rows = [
            profile_scores(r[:, both], a[:, both], self._stats)
            for r, a, both in zip(ref.profiles, alt.profiles, alt.both, strict=True)
        ]
        return found | {name: np.stack([row[name] for row in rows]) for name in self._stats}

    def _seen(self, model: int, codes: Codes, gained: Sequence[int] | None) -> _Seen:
        """What a model says of at most ``rows`` sequences (n, length); no profiles without ``gained``."""
        module, count = self._modules[model], len(codes)
        device, dtype = module_place(module)
        onehot = array_tensor(codes_to_onehot(codes).transpose(0, 2, 1)).to(dtype)
        values, profiles = [], []
        both = np.ones((count, self._bins.count), np.bool_)
        for view in self._views:
            x = pad_block(view.apply(onehot), self._rows).to(device)
            with torch.no_grad():
                if not self._stats:
                    values.append(_plain(self._statistic(model, view)([x])[:count]))
                    continue
                value, profile = self._tracks(module, x, view, count)
            values.append(value)
            if gained is None:
                continue
            at, turned = self._bins.holding(self._centre + view.shift), []
            for row, more in enumerate(gained):
                there, known = aligned(profile[row], at=at, moved=self._bins.moved(more))
                turned.append(there)
                both[row] &= known
            profiles.append(np.stack(turned))
        mean = np.mean(values, axis=0)
        return _Seen(mean, np.mean(profiles, axis=0), both) if profiles else _Seen(mean)

    def _tracks(self, module: torch.nn.Module, x: torch.Tensor, view: View, count: int) -> tuple[Array, Array]:
        """Of tracks: the values (n, k) as :class:`drg_hpc.attribution.targets.TrackStatistic` has them, and the outputs
        (n, k, B) as the sequence has them on its own strand, in one pass."""
        tracks = list(self._target["tracks"])
        if view.reverse:
            tracks = partner_tracks(module, tracks)
        links = module_links(module, tracks)
        chosen = model_part(module, x, tracks=tracks)[:count]
        outputs = apply_links(chosen, links)
        if chosen.ndim == 2:
            return _plain(chosen if self._target["scale"] == "link" else outputs), _plain(outputs)[..., None]
        values = totals_over_bins(chosen, links) if self._target["scale"] == "link" else outputs.sum(dim=-1)
        return _plain(values), _plain(outputs.flip(-1) if view.reverse else outputs)

    def _statistic(self, model: int, view: View) -> Statistic:
        """The statistic of a model as a view is to be asked for it; made once."""
        if (model, view) not in self._statistics:
            chosen = make_statistic(self._target, self._modules[model]).shifted(view.shift)
            self._statistics[model, view] = chosen.mirrored() if view.reverse else chosen
        return self._statistics[model, view]


def _plain(values: torch.Tensor) -> Array:
    found: Array = values.double().cpu().numpy()
    return found
