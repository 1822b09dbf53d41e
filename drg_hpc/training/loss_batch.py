"""Losses that compare the rows of a global batch, exact on any number of ranks: sums are gathered, means before what is
centred on them."""

from __future__ import annotations

import torch

from drg_hpc.models.config import Link
from drg_hpc.models.links import apply_link
from drg_hpc.training.loss_base import PerBatch, cosine, count, fill, varying
from drg_hpc.training.terms import Ranks

_OFFSET = 0.1


class _OfTracks(PerBatch):
    """Mean over the columns (tracks, or tracks and bins) with enough rows of the loss of a column."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def loss(
        self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor, *, ranks: Ranks
    ) -> torch.Tensor:
        losses, enough = self.each(prediction, target, valid, ranks=ranks)
        return fill(losses, enough).sum() / enough.sum().clamp(min=1)

    def each(
        self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor, *, ranks: Ranks
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss of each column over the rows of all ranks, and whether it has enough of them: (tracks[, bins])."""
        raise NotImplementedError

    def _columns(
        self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return fill(apply_link(prediction, self._link), valid), target


class BatchCosine(_OfTracks):
    """1 - cosine of outputs and targets over the rows of the global batch; 1 where either are all 0."""

    def each(
        self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor, *, ranks: Ranks
    ) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = self._columns(prediction, target, valid)
        rows = ranks.all_sum(valid.sum(0).to(x.dtype))
        xx, yy, xy = ranks.all_sum(torch.stack([(x * x).sum(0), (y * y).sum(0), (x * y).sum(0)]))
        return 1.0 - cosine(xx, yy, xy), rows >= 1


class BatchCorrelation(_OfTracks):
    """1 - Pearson correlation of outputs and targets over the rows of the global batch; 1, without a gradient, where
    either do not vary."""

    def each(
        self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor, *, ranks: Ranks
    ) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = self._columns(prediction, target, valid)
        with torch.no_grad():
            # No gradient by way of the means: sums of centred values, hence of their derivatives, are 0.
            sums = [valid.sum(0).to(x.dtype), x.sum(0), y.sum(0), (x * x).sum(0), (y * y).sum(0)]
            rows, sum_x, sum_y, raw_x, raw_y = ranks.all_sum(torch.stack(sums))
            there = rows.clamp(min=1)
        u, v = fill(x - sum_x / there, valid), fill(y - sum_y / there, valid)
        xx, yy, xy = ranks.all_sum(torch.stack([(u * u).sum(0), (v * v).sum(0), (u * v).sum(0)]))
        return 1.0 - cosine(varying(xx, raw_x), varying(yy, raw_y), xy), rows >= 2


class ContrastRatio(PerBatch):
    """Mean over values j of the mean over tracks i of the row, j among them, of ``(a_i / a_j - b_i / b_j)^2``.

    a and b are outputs and targets less the smallest of both in the global batch, plus 0.1. (rows, tracks)
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    def loss(
        self, prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor, *, ranks: Ranks
    ) -> torch.Tensor:
        output = apply_link(prediction, self._link)
        low = _smallest(torch.cat([output[valid], target[valid]]), ranks)
        each, slope = self.each(output, target, valid, low)
        # The minimum is an output too, with a gradient of its own; all ranks' losses hang on it.
        tied = valid & (output == low)
        ties, slope = ranks.all_sum(torch.stack([(tied.sum() + (valid & (target == low)).sum()).to(low.dtype), slope]))
        lowest = fill(output, tied).sum() / ties.clamp(min=1)
        moved = slope.detach() * (lowest - lowest.detach())
        values = ranks.all_sum(valid.sum().to(low.dtype)).clamp(min=1)
        return ranks.all_sum(each.sum() + moved) / values

    def each(
        self, output: torch.Tensor, target: torch.Tensor, valid: torch.Tensor, low: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss of each value, 0 where it is missing, and the derivative of their sum by ``low``."""
        a, b = (fill(values - low + _OFFSET, valid, 1.0) for values in (output, target))
        r, s = (values[..., :, None] / values[..., None, :] for values in (a, b))
        pairs = valid[..., :, None] & valid[..., None, :]
        tracks = count(valid, output.dtype)
        each = fill((r - s) ** 2, pairs).sum(-2) / tracks
        with torch.no_grad():
            slopes = 2.0 * (r - s) * ((r - 1.0) / a[..., None, :] - (s - 1.0) / b[..., None, :])
            slope = (fill(slopes, pairs).sum(-2) / tracks).sum()
        return each, slope


def _smallest(values: torch.Tensor, ranks: Ranks) -> torch.Tensor:
    """The smallest value on any rank, infinite where there is none; without a gradient."""
    mine = values.new_zeros(ranks.world)
    mine[ranks.rank] = values.detach().min() if len(values) else torch.inf
    return ranks.all_sum(mine).min()
