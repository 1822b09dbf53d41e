"""The views of a sequence that an ensemble averages over: strands and shifts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


def _moved(x: torch.Tensor, by: int) -> torch.Tensor:
    """Values at position l + ``by``, zeros where nothing comes from."""
    if by == 0:
        return x
    length = x.shape[-1]
    out = torch.zeros_like(x)
    if by > 0:
        out[..., by:] = x[..., : length - by]
    else:
        out[..., : length + by] = x[..., -by:]
    return out


@dataclass(frozen=True)
class View:
    """One way to show a sequence to a model: moved to the right by ``shift`` bases, then on the other strand.

    Bases that come in at an end are unknown ones (all-zero columns).
    """

    reverse: bool = False
    shift: int = 0

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """A sequence ``(…, 4, length)`` as the model sees it."""
        moved = _moved(x, self.shift)
        # with bases in the order A, C, G, T the reverse complement turns both axes round
        return moved.flip(-2, -1) if self.reverse else moved

    def undo(self, values: torch.Tensor) -> torch.Tensor:
        """Values ``(…, 4, length)`` of what the model saw, back at the bases of the sequence; 0 at bases it did not."""
        return _moved(values.flip(-2, -1) if self.reverse else values, -self.shift)

    def covered(self, length: int) -> torch.Tensor:
        """1 at the bases of the sequence that the model saw, ``(length,)``."""
        return _moved(torch.ones(length), -self.shift)


def make_views(*, rc_average: bool, shifts: Sequence[int]) -> tuple[View, ...]:
    """The views of an average over strands and shifts in bases, to the right where positive; () is no shift."""
    strands = [False, True] if rc_average else [False]
    return tuple(View(reverse, shift) for reverse in strands for shift in tuple(shifts) or (0,))
