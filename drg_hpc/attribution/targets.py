"""Target statistics: the scalars of a model's output that are attributed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray

from drg_hpc.attribution.views import View
from drg_hpc.config import nearest
from drg_hpc.errors import UsageError
from drg_hpc.models.compute import Scale, model_output, model_part, module_links, partner_tracks
from drg_hpc.models.links import apply_links, totals_over_bins

Inputs = Sequence[torch.Tensor]
"""One-hot ``(b, 4, length)`` of each input of a model."""


def as_given(xs: Inputs) -> torch.Tensor | Inputs:
    """What a model takes: a tensor, or a list of several inputs."""
    return xs[0] if len(xs) == 1 else list(xs)


class Statistic(ABC):
    """Some scalars of a model's output, for each row.

    Attributes
    ----------
    module : in eval mode
    names : one per value; the names of tracks in result files
    """

    module: torch.nn.Module
    names: tuple[str, ...]

    def params(self, rows: Sequence[int]) -> tuple[NDArray[Any], ...]:
        """What the values of each of some rows depend on besides the sequence: arrays ``(len(rows), …)``.

        Parameters
        ----------
        rows : global row numbers
        """
        return ()

    @abstractmethod
    def __call__(self, xs: Inputs, params: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        """Values ``(b, len(names))``, differentiable.

        Parameters
        ----------
        xs : one-hot of each input
        params : of these rows, see :meth:`params`
        """

    @abstractmethod
    def mirrored(self) -> Statistic:
        """The statistic of the reverse complement that equals this one of the sequence, for a model that treats both
        strands alike: bins turned round, stranded tracks swapped by their partners.

        Raises
        ------
        UsageError : the model lacks the track of the other strand
        """

    def shifted(self, shift: int) -> Statistic:
        """The statistic of the sequence moved to the right by ``shift`` bases, as a view moves it: bins that were
        chosen by their place follow the sequence. One of whole tracks stays as it is.

        Raises
        ------
        UsageError : the bins cannot follow that far
        """
        return self

    def seen_by(self, view: View) -> Statistic:
        """The statistic as a view is to be asked for it.

        Raises
        ------
        UsageError : see :meth:`mirrored` and :meth:`shifted`
        """
        moved = self.shifted(view.shift)
        return moved.mirrored() if view.reverse else moved

    @abstractmethod
    def subset(self, values: Sequence[int]) -> Statistic:
        """Some of the values, by their number."""


class TrackStatistic(Statistic):
    """Each of some tracks; of one with bins its total: summed over bins, on the link scale the link of that sum.

    Parameters
    ----------
    tracks : indices
    scale : link, or output (through the link of each track)
    names : of the values, None for the module's own names of the tracks
    """

    def __init__(
        self, module: torch.nn.Module, tracks: Sequence[int], scale: Scale, *, names: Sequence[str] | None = None
    ) -> None:
        self.module, self.tracks, self.scale = module, tuple(tracks), scale
        known: list[str] | None = getattr(module, "tracks", None)
        self.names = tuple(names or (known[t] if known else str(t) for t in self.tracks))

    def __call__(self, xs: Inputs, params: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        chosen = model_part(self.module, as_given(xs), tracks=self.tracks)
        links = module_links(self.module, self.tracks)
        if self.scale == "link":
            return totals_over_bins(chosen, links) if chosen.ndim == 3 else chosen
        chosen = apply_links(chosen, links)
        return chosen.sum(dim=-1) if chosen.ndim == 3 else chosen

    def mirrored(self) -> TrackStatistic:
        return TrackStatistic(self.module, partner_tracks(self.module, self.tracks), self.scale, names=self.names)

    def subset(self, values: Sequence[int]) -> TrackStatistic:
        names = [self.names[value] for value in values]
        return TrackStatistic(self.module, [self.tracks[value] for value in values], self.scale, names=names)


def choose_tracks(
    module: torch.nn.Module, tracks: Sequence[int | str] | None, *, lengths: Sequence[int]
) -> tuple[int, ...]:
    """Indices of the tracks asked for, by number or name; None is every track.

    Parameters
    ----------
    lengths : bases of each input

    Raises
    ------
    UsageError : no such track
    """
    names: list[str] | None = getattr(module, "tracks", None)
    count = len(names) if names is not None else _count_tracks(module, lengths)
    found = []
    for track in range(count) if tracks is None else tracks:
        if isinstance(track, str):
            if names is None or track not in names:
                raise UsageError(f"no track {track!r}", fix=nearest(track, names or []))
            found.append(names.index(track))
        elif 0 <= track < count:
            found.append(int(track))
        else:
            raise UsageError(f"no track {track}", fix=f"the model has {count} tracks, numbered from 0")
    return tuple(found)


def _count_tracks(module: torch.nn.Module, lengths: Sequence[int]) -> int:
    example = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(()))
    with torch.no_grad():
        return int(model_output(module, as_given([example.new_zeros((1, 4, n)) for n in lengths])).shape[1])
