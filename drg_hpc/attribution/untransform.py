"""Coverage from a model's output: Borzoi's transforms undone, differentiable.

The inverses of :mod:`drg_hpc.genome.transforms` (Linder et al. 2025, Nat Genet 57:949), per track, with y on the
model's output scale, scale s, exponent t and soft clip c:

- ``old``: p = y / s; above c, p <- (p - c)^2 + c; p <- p^(1/t).
- ``new``: p = y; above c, p <- (p - c + 1)^2 + c - 1; p <- (p + 1)^(1/t) - 1; p <- p / s.
- ``none``: p = y.

The hard clip is not undone. At c the derivative jumps from 1 to 0 (old) or to 2 (new), as the functions do. A root is
only undone where it could be drawn: what is below 0 (below -1 in the new order) counts as that.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from drg_hpc.attribution.gene_tracks import TrackTransform
from drg_hpc.attribution.gene_words import Order


class Untransform:
    """``(batch, tracks, bins)`` on the output scale -> coverage, of a fixed list of tracks."""

    def __init__(self, order: Order, transforms: Sequence[TrackTransform]) -> None:
        self.order, self.transforms = order, tuple(transforms)

    def __call__(self, y: torch.Tensor) -> torch.Tensor:
        if self.order == "none":
            return y
        scale = self._column(y, [t.scale for t in self.transforms])
        if self.order == "old":
            return self._root(self._clip(y / scale, y), 0.0)
        return self._root(self._clip(y, y), 1.0) / scale

    def _column(self, like: torch.Tensor, values: Sequence[float]) -> torch.Tensor:
        return like.new_tensor(values)[:, None]

    def _clip(self, p: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """With ``over = max(p - c, 0)``: old ``p - over + over^2``, new ``p + over + over^2``."""
        if all(t.clip_soft is None for t in self.transforms):
            return p
        never = torch.finfo(like.dtype).max
        clips = [never if t.clip_soft is None else t.clip_soft for t in self.transforms]
        over = torch.relu(p - self._column(like, clips))
        return p + over.square() + (over if self.order == "new" else -over)

    def _root(self, p: torch.Tensor, offset: float) -> torch.Tensor:
        """(p + offset)^(1/t) - offset, where t is not 1."""
        exponents = [t.exponent for t in self.transforms]
        different = sorted(set(exponents))
        if different == [1.0]:
            return p
        base = torch.clamp(p + offset, min=0.0)
        out = torch.zeros_like(p) if len(different) > 1 else None
        for exponent in different:
            part = p if exponent == 1.0 else base.pow(1.0 / exponent) - offset
            if out is None:
                return part
            out = out + part * self._column(p, [float(each == exponent) for each in exponents])
        assert out is not None
        return out
