"""Target statistics: the scalars of a model's output that are attributed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from drg_hpc.config import nearest
from drg_hpc.errors import UsageError
from drg_hpc.models.compute import Scale, model_output, module_links
from drg_hpc.models.links import apply_links, totals_over_bins


@dataclass(frozen=True)
class TrackStatistic:
    """Each of some tracks; of one with bins its total: summed over bins, on the link scale the link of that sum.

    Called with ``(n, 4, length)`` it gives ``(n, len(tracks))``.
    """

    module: torch.nn.Module
    tracks: tuple[int, ...]
    scale: Scale

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        chosen = model_output(self.module, x)[:, list(self.tracks)]
        links = module_links(self.module, self.tracks)
        if self.scale == "link":
            return totals_over_bins(chosen, links) if chosen.ndim == 3 else chosen
        chosen = apply_links(chosen, links)
        return chosen.sum(dim=-1) if chosen.ndim == 3 else chosen


def choose_tracks(module: torch.nn.Module, tracks: Sequence[int | str] | None, *, length: int) -> tuple[int, ...]:
    """Indices of the tracks asked for, by number or name; None is every track.

    Raises
    ------
    UsageError : no such track
    """
    names: list[str] | None = getattr(module, "tracks", None)
    count = len(names) if names is not None else _count_tracks(module, length)
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


def _count_tracks(module: torch.nn.Module, length: int) -> int:
    example = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(()))
    with torch.no_grad():
        return int(model_output(module, example.new_zeros((1, 4, length))).shape[1])
