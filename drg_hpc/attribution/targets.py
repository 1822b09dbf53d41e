"""Target statistics: the scalars of a model's output that are attributed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from drg_hpc.config import nearest
from drg_hpc.errors import UsageError
from drg_hpc.models.compute import Scale, model_output, on_scale
from drg_hpc.models.links import totals_over_bins


@dataclass(frozen=True)
class TrackStatistic:
    """Each of some tracks; of one with bins its total: summed over bins, on the link scale the link of that sum.

    Called with ``(n, 4, length)`` it gives ``(n, len(tracks))``.
    """

    module: torch.nn.Module
    tracks: tuple[int, ...]
    scale: Scale

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        output = model_output(self.module, x)
        tracks = list(self.tracks)
        if self.scale == "link" and output.ndim == 3:
            links = getattr(self.module, "links", None) or [getattr(self.module, "link", "identity")] * output.shape[1]
            return totals_over_bins(output[:, tracks], [str(links[track]) for track in tracks])
        chosen = on_scale(output, self.module, self.scale)[:, tracks]
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
