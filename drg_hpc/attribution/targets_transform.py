"""Statistics of several tracks and bins: group means, gReLU's transforms, profile shape.

Predictions are seen as ``(n, T, L)``: tracks by bins, L = 1 where a track has one value. The statistic of the reverse
complement (:meth:`Transformed.mirrored`) is the same function of the predictions turned back: bins from the last to the
first, each track's values those of its partner on the other strand.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch

from drg_hpc.attribution.targets import Inputs, Statistic, as_given
from drg_hpc.errors import UsageError
from drg_hpc.models.base import ModelShape, SequenceModel, take_part
from drg_hpc.models.compute import Scale, model_output, module_links, partner_tracks
from drg_hpc.models.links import apply_links, log_rates, totals_over_bins

Function = Literal["sum", "mean", "min", "max"]


def _reduce(values: torch.Tensor, function: Function | None, dim: int) -> torch.Tensor:
    """``values`` with ``dim`` kept as one place; as they are where there is no function."""
    if function is None:
        return values
    if function == "sum":
        return values.sum(dim=dim, keepdim=True)
    if function == "mean":
        return values.mean(dim=dim, keepdim=True)
    return values.amin(dim=dim, keepdim=True) if function == "min" else values.amax(dim=dim, keepdim=True)


class Transformed(Statistic):
    """A function of the predictions of some tracks.

    Parameters
    ----------
    tracks : indices, in the order in which :meth:`transform` sees them
    scale : of the predictions it sees: link, or output (through the link of each track)
    bins : indices of the bins it sees, None for all
    """

    def __init__(
        self,
        module: torch.nn.Module,
        tracks: Sequence[int],
        scale: Scale,
        *,
        names: Sequence[str],
        bins: Sequence[int] | None = None,
    ) -> None:
        self.module, self.names, self.scale = module, tuple(names), scale
        self._tracks, self._bins = list(tracks), None if bins is None else list(bins)
        self._links = module_links(module, self._tracks)
        self._values: list[int] | None = None
        self._turned, self._by_place = False, bins is not None

    def predictions(self, xs: Inputs) -> torch.Tensor:
        """``(n, T, L)`` along the strand that the statistic was made for."""
        tracks = partner_tracks(self.module, self._tracks) if self._turned else self._tracks
        bins = int(getattr(self.module, "bins", 0))
        chosen = [bins - 1 - i for i in self._bins] if self._bins and self._turned else self._bins
        x, numbers = as_given(xs), None
        if chosen is not None:
            numbers = torch.tensor(chosen, device=xs[0].device).expand(len(xs[0]), -1)
        if isinstance(self.module, SequenceModel):
            found = self.module.part(x, tracks=tracks, bins=numbers)
        else:
            found = take_part(model_output(self.module, x), tracks, numbers)
        if self.scale == "output":
            found = apply_links(found, self._links)  # partners have one link
        found = found if found.ndim == 3 else found[:, :, None]
        return found.flip(-1) if self._turned and chosen is None else found

    @abstractmethod
    def transform(self, predictions: torch.Tensor) -> torch.Tensor:
        """Values ``(n, k)`` of predictions ``(n, T, L)``."""

    def __call__(self, xs: Inputs, params: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        found = self.transform(self.predictions(xs))
        return found if self._values is None else found[:, self._values]

    def mirrored(self) -> Statistic:
        partner_tracks(self.module, self._tracks)
        other = copy.copy(self)
        other._turned = not self._turned
        return other

    def shifted(self, shift: int) -> Statistic:
        """Itself: bins chosen by their place stay, which holds for less than a bin.

        Raises
        ------
        UsageError : a larger shift
        """
        shape, bins = getattr(self.module, "shape", None), int(getattr(self.module, "bins", 0))
        covered = shape.covered if isinstance(shape, ModelShape) else int(getattr(self.module, "length", 0))
        if self._by_place and abs(shift) * bins >= max(covered, 1):
            size = f"below one bin, of {covered / bins:g} bases"
            raise UsageError(f"--shifts {shift}: chosen bins stay where they are, so shifts must be {size}")
        return self

    def subset(self, values: Sequence[int]) -> Statistic:
        other = copy.copy(self)
        other._values = [value if self._values is None else self._values[value] for value in values]
        other.names = tuple(self.names[value] for value in values)
        return other

    def _over_bins(self, predictions: torch.Tensor, function: Function | None) -> torch.Tensor:
        """(n, T, 1), or (n, T, L) without a function. A sum on the link scale is the link of the track's total, as for
        single tracks; other functions are of the values as they are."""
        if predictions.shape[-1] == 1:
            return predictions
        if function == "sum" and self.scale == "link":
            return totals_over_bins(predictions, self._links)[:, :, None]
        return _reduce(predictions, function, -1)


class GroupMeans(Transformed):
    """Mean over the tracks of each group of each track's value; a track with bins by its total, as
    :class:`TrackStatistic` takes it.

    Parameters
    ----------
    groups : indices of the tracks of each; a track by itself is a group of one
    """

    def __init__(
        self, module: torch.nn.Module, groups: Sequence[Sequence[int]], scale: Scale, *, names: Sequence[str]
    ) -> None:
        tracks = sorted({track for group in groups for track in group})
        super().__init__(module, tracks, scale, names=names)
        place = {track: number for number, track in enumerate(tracks)}
        self._weights = torch.zeros(len(groups), len(tracks), dtype=torch.float64)
        for number, group in enumerate(groups):
            self._weights[number, [place[track] for track in group]] = 1 / len(group)

    def transform(self, predictions: torch.Tensor) -> torch.Tensor:
        values = self._over_bins(predictions, "sum")[:, :, 0]
        return values @ self._weights.to(values).T


class Aggregate(Transformed):
    """gReLU's ``Aggregate``: bins chosen, tracks chosen, a function over the bins, one over the tracks, a weight.

    Without a function over the bins (tracks) each bin (track) is a value, bins counting faster. gReLU applies it to
    predictions, which is ``--scale output``.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        tracks: Sequence[int],
        scale: Scale,
        *,
        names: Sequence[str],
        bins: Sequence[int] | None = None,
        over_bins: Function | None = "sum",
        over_tracks: Function | None = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__(module, tracks, scale, names=names, bins=bins)
        self._functions, self._weight = (over_bins, over_tracks), weight
        self._by_place |= over_bins is None

    def transform(self, predictions: torch.Tensor) -> torch.Tensor:
        over_bins, over_tracks = self._functions
        values = _reduce(self._over_bins(predictions, over_bins), over_tracks, -2)
        return (values * self._weight).flatten(1)


class Specificity(Transformed):
    """gReLU's ``Specificity``: tracks ``on`` against ``off``, of each side a function over tracks of one over bins.

    ``off`` is multiplied by a weight, with a threshold only where it is above that (all of the value, not what exceeds
    it). Then on / off, on - off, or log2(on / off).
    """

    def __init__(
        self,
        module: torch.nn.Module,
        on: Sequence[int],
        off: Sequence[int],
        scale: Scale,
        *,
        names: Sequence[str],
        bins: Sequence[int] | None = None,
        over_bins: Function | None = "sum",
        on_fn: Function = "mean",
        off_fn: Function = "mean",
        off_weight: float = 1.0,
        off_threshold: float | None = None,
        compare: Literal["divide", "subtract", "log2fc"] = "divide",
    ) -> None:
        super().__init__(module, [*on, *off], scale, names=names, bins=bins)
        self._on, self._over_bins_fn, self._side = len(on), over_bins, (on_fn, off_fn)
        self._by_place |= over_bins is None
        self._weight, self._threshold, self._compare = off_weight, off_threshold, compare

    def transform(self, predictions: torch.Tensor) -> torch.Tensor:
        values = self._over_bins(predictions, self._over_bins_fn)
        on = _reduce(values[:, : self._on], self._side[0], -2)[:, 0]
        off = _reduce(values[:, self._on :], self._side[1], -2)[:, 0]
        weighted = off * self._weight
        off = weighted if self._threshold is None else torch.where(off > self._threshold, weighted, off)
        if self._compare == "subtract":
            return on - off
        return on / off if self._compare == "divide" else torch.log2(on / off)


class ProfileShape(Transformed):
    """BPNet's statistic of a profile: ``sum_j softmax(l)_j (l_j - mean(l))`` over the bins, l the profile's logits.

    Logits are the log rates of a model of rates, whose total the mean takes out; where the link is identity, the
    outputs as they are. Methods that use gradients hold the softmax fixed, as BPNet does (it is detached), so they do
    not have the gradient of the value above; DeepLIFT sees a product whose two factors both vary, and its attributions
    sum to the difference of the values.

    Parameters
    ----------
    joint : one softmax over the bins of all tracks, one value; for the strands of one profile
    """

    def __init__(
        self,
        module: torch.nn.Module,
        tracks: Sequence[int],
        *,
        names: Sequence[str],
        bins: Sequence[int] | None = None,
        joint: bool = False,
    ) -> None:
        super().__init__(module, tracks, "link", names=names, bins=bins)
        self._joint = joint

    def transform(self, predictions: torch.Tensor) -> torch.Tensor:
        logits = torch.cat(
            [
                log_rates(predictions[:, i : i + 1], link) if link == "softplus" else predictions[:, i : i + 1]
                for i, link in enumerate(self._links)
            ],
            dim=1,
        )
        logits = logits.flatten(1)[:, None] if self._joint else logits
        shares = torch.softmax(logits, dim=-1).detach()
        return (shares * (logits - logits.mean(dim=-1, keepdim=True))).sum(dim=-1)
