"""Which tensors of a network hold rows of their own for each track, whatever the architecture."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import torch

from drg_hpc.errors import DrgError, UsageError
from drg_hpc.models.base import ModelShape
from drg_hpc.models.config import AnyConfig
from drg_hpc.models.registry import build

POSITION = "init.head = 'position', and --exclude the tensors of the head where its tracks are others"


@dataclass(frozen=True)
class TrackRows:
    """Where the tracks are in one tensor.

    Parameters
    ----------
    axis : dimension that goes over the tracks
    each : neighbouring rows of one track
    tracks : numbers of the tracks among all, in the order of the rows
    """

    axis: int
    each: int
    tracks: tuple[int, ...]

    def pick(self, tensor: torch.Tensor, tracks: list[int]) -> torch.Tensor:
        """The rows of some of the tracks, in the order asked for."""
        rows = [self.tracks.index(track) * self.each + i for track in tracks for i in range(self.each)]
        return tensor.index_select(self.axis, torch.tensor(rows, dtype=torch.int64, device=tensor.device))


def _shapes(config: AnyConfig, shape: ModelShape) -> dict[str, torch.Size]:
    """Shapes of all tensors, without making them."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # weights read for a part of a network find no room on this device
        return {name: tensor.shape for name, tensor in build(config, shape).state_dict().items()}


def find_track_rows(config: AnyConfig, shape: ModelShape) -> dict[str, TrackRows]:
    """Tensors that get longer in one dimension when a head gets one track more, by name.

    Raises
    ------
    UsageError : the network cannot be built with another number of tracks, or grows in some other way
    """
    plain = _shapes(config, shape)
    grown: dict[str, list[tuple[int, int, int]]] = {}
    for number, head in enumerate(shape.heads):
        heads = (*shape.heads[:number], replace(head, tracks=head.tracks + 1), *shape.heads[number + 1 :])
        try:
            larger = _shapes(config, replace(shape, heads=heads))
        except DrgError as error:
            raise _unclear(f"with one track more it cannot be built ({error})") from None
        if larger.keys() != plain.keys():
            raise _unclear("with one track more it has other tensors")
        for name, size in larger.items():
            if size != plain[name]:
                grown.setdefault(name, []).append((number, *_growth(name, plain[name], size)))
    return {name: _rows(name, found, shape, plain[name]) for name, found in grown.items()}


def _unclear(why: str) -> UsageError:
    return UsageError(f"which tensors hold the tracks cannot be told: {why}", fix=POSITION)


def _growth(name: str, before: torch.Size, after: torch.Size) -> tuple[int, int]:
    """Dimension that got longer, and by how much."""
    axes = [axis for axis, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    if len(axes) != 1 or after[axes[0]] < before[axes[0]]:
        raise _unclear(f"{name} becomes {tuple(after)} instead of {tuple(before)} with one track more")
    return axes[0], after[axes[0]] - before[axes[0]]


def _rows(name: str, found: list[tuple[int, int, int]], shape: ModelShape, size: torch.Size) -> TrackRows:
    slices = shape.head_slices()
    tracks = tuple(track for number, _, _ in found for track in range(slices[number].start, slices[number].stop))
    if len({(axis, each) for _, axis, each in found}) != 1:
        raise _unclear(f"{name} grows differently with the tracks of different heads")
    _, axis, each = found[0]
    if size[axis] != each * len(tracks):
        raise _unclear(f"{name} has {size[axis]} rows for {len(tracks)} tracks")
    return TrackRows(axis, each, tracks)
