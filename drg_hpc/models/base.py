"""What every network of the registry promises, and the shape it is built for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import nn

from drg_hpc.models.config import Link

MIXED = "mixed"
"""The link of a model whose heads have different ones; ``links`` has that of each track."""
Sequences: TypeAlias = torch.Tensor | Sequence[torch.Tensor]
"""What a network takes: one-hot ``(batch, 4, length)``, or a list of them, one an input."""


@dataclass(frozen=True)
class HeadShape:
    """The tracks of one modality, which lie next to each other in the output.

    Parameters
    ----------
    name : of the modality
    tracks : how many
    link : how their output scale is reached: identity, logit (sigmoid) or log (exp)
    """

    name: str
    tracks: int
    link: Link = "identity"


@dataclass(frozen=True)
class ModelShape:
    """What goes in and what comes out.

    Parameters
    ----------
    inputs : length in bases of each input, by name, in order
    heads : modalities, in the order of the tracks
    bins : positions per track, 0 for one value
    span : bases around the centre of the first input that the bins are of, 0 for all of them
    """

    inputs: Mapping[str, int]
    heads: tuple[HeadShape, ...]
    bins: int = 0
    span: int = 0

    @classmethod
    def single(cls, length: int, n_tracks: int, *, bins: int = 0, link: Link = "identity", span: int = 0) -> ModelShape:
        """One input, ``seq``, and one head, ``main``."""
        return cls({"seq": length}, (HeadShape("main", n_tracks, link),), bins, span)

    @property
    def covered(self) -> int:
        """Bases that the bins are of."""
        return self.span or next(iter(self.inputs.values()))

    @property
    def n_tracks(self) -> int:
        """Tracks of all heads."""
        return sum(head.tracks for head in self.heads)

    @property
    def links(self) -> list[Link]:
        """Link of each track."""
        return [head.link for head in self.heads for _ in range(head.tracks)]

    @property
    def link(self) -> str:
        """The link of all tracks, or ``mixed``."""
        found = {head.link for head in self.heads}
        return found.pop() if len(found) == 1 else MIXED

    @property
    def length(self) -> int:
        """Length of the one input.

        Raises
        ------
        ValueError : there are several
        """
        if len(self.inputs) != 1:
            raise ValueError(f"a model with {len(self.inputs)} inputs has no one length: {dict(self.inputs)}")
        return next(iter(self.inputs.values()))

    def head_slices(self) -> list[slice]:
        """Where each head's tracks are among all tracks."""
        found, first = [], 0
        for head in self.heads:
            found.append(slice(first, first + head.tracks))
            first += head.tracks
        return found

    def zeros(self, rows: int, device: torch.device | str = "cpu") -> Sequences:
        """Input of zeros, as ``forward`` takes it."""
        found = [torch.zeros(rows, 4, length, device=device) for length in self.inputs.values()]
        return found[0] if len(found) == 1 else found


def take_part(output: torch.Tensor, tracks: Sequence[int], bins: torch.Tensor | None) -> torch.Tensor:
    """Some tracks, and of each row some bins, of an output.

    Parameters
    ----------
    output : ``(batch, tracks, bins)``, or ``(batch, tracks)`` where ``bins`` is None
    bins : int64 ``(batch, m)``; None: all
    """
    chosen = output[:, list(tracks)]
    return chosen if bins is None else take_bins(chosen, bins)


def take_bins(values: torch.Tensor, bins: torch.Tensor) -> torch.Tensor:
    """``(batch, channels, bins)`` and int64 ``(batch, m) -> (batch, channels, m)``: of each row its own bins."""
    return values.gather(2, bins[:, None, :].expand(-1, values.shape[1], -1))


class SequenceModel(nn.Module):
    """``(batch, 4, length) -> (batch, tracks)`` or ``(batch, tracks, bins)`` on the link scale.

    A model of several inputs takes a list of tensors, in the order of ``inputs``.

    Attributes
    ----------
    shape : what it was built for
    tracks : names
    strand_partners : for each track, the one that takes its place on the other strand; None where the model does not
        have it
    """

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        self.tracks: list[str] = [f"track{i}" for i in range(shape.n_tracks)]
        self.strand_partners: list[int | None] = list(range(shape.n_tracks))

    @property
    def length(self) -> int:
        """Bases of the one input."""
        return self.shape.length

    @property
    def bins(self) -> int:
        """Positions per track, 0 for one value."""
        return self.shape.bins

    @property
    def link(self) -> str:
        """The link of all tracks, or ``mixed``."""
        return self.shape.link

    @property
    def links(self) -> list[Link]:
        """Link of each track."""
        return self.shape.links

    def checkpoint_blocks(self) -> Sequence[nn.Module]:
        """Modules that activation checkpointing computes again as a whole, none of them inside another; none: segments
        of the longest ``nn.Sequential``."""
        return ()

    def part(self, x: Sequences, *, tracks: Sequence[int], bins: torch.Tensor | None = None) -> torch.Tensor:
        """Some tracks, and of each row some bins, of the output: ``(batch, len(tracks), m)``.

        A network whose last layers treat each position by itself computes nothing else there.

        Parameters
        ----------
        bins : int64 ``(batch, m)``; None: all
        """
        return take_part(self(x), tracks, bins)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError
