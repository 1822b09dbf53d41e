"""Target statistics: the scalars of a model's output that are attributed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from drg_hpc.config import nearest
from drg_hpc.errors import InputError, UsageError
from drg_hpc.models.links import apply_link

Scale = Literal["link", "output"]


def on_scale(values: torch.Tensor, module: torch.nn.Module, scale: Scale) -> torch.Tensor:
    """A module's output on the scale asked for; a module without ``.link`` gives its output scale already."""
    return apply_link(values, str(getattr(module, "link", "identity"))) if scale == "output" else values


@dataclass(frozen=True)
class TrackStatistic:
    """Each of some tracks, summed over its bins if it has any.

    Called with ``(n, 4, length)`` it gives ``(n, len(tracks))``.
    """

    module: torch.nn.Module
    tracks: tuple[int, ...]
    scale: Scale

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        output = model_output(self.module, x)
        chosen = on_scale(output[:, list(self.tracks)], self.module, self.scale)
        return chosen.sum(dim=-1) if chosen.ndim == 3 else chosen


def model_output(module: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Output ``(n, tracks[, bins])``; a plain ``(n,)`` counts as one track.

    Raises
    ------
    InputError : the module returns something else
    """
    output = module(x)
    if not isinstance(output, torch.Tensor) or output.ndim not in (1, 2, 3) or len(output) != len(x):
        shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise InputError(f"model output is {shape}, expected (batch, tracks) or (batch, tracks, bins)")
    return output[:, None] if output.ndim == 1 else output


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
