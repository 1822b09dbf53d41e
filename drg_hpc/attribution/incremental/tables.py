"""Running largest values and softmax sums of a reference, from both sides: what edits leave as it is."""

from __future__ import annotations

import torch
from torch import Tensor

from drg_hpc.attribution.incremental.kernels import SoftmaxTables

_SHORT = 8
"""Blocks of so few positions are summed as a whole: tables would take six times the memory of the reference."""


def outer_max(ref: Tensor) -> tuple[Tensor, Tensor]:
    """See :meth:`drg_hpc.attribution.incremental.kernels.Kernels.outer_max`."""
    none = ref.new_full((1, ref.shape[1]), -torch.inf)
    if not len(ref):
        return none, none.clone()
    after = ref.flip(0).cummax(0).values.flip(0)
    return torch.cat([none, ref.cummax(0).values]), torch.cat([after, none])


def _joined(state: Tensor, a: Tensor, v: Tensor) -> Tensor:
    """Take one more logit into (max, sum exp(a - max), sum v exp(a - max)), (3, …)."""
    top = torch.maximum(state[0], a)
    # where both are -inf there is nothing: no difference of infinities
    shift = torch.where(top == -torch.inf, torch.zeros_like(top), top)
    kept, share = (state[0] - shift).exp(), (a - shift).exp()
    return torch.stack([top, state[1] * kept + share, state[2] * kept + v * share])


def softmax_tables(a: Tensor, v: Tensor, size: int) -> SoftmaxTables:
    """See :meth:`drg_hpc.attribution.incremental.kernels.Kernels.softmax_tables`.

    A sum keeps the largest logit so far as its scale, so that no part of it is a difference of larger sums.
    """
    if size <= _SHORT:
        return SoftmaxTables(a, v)
    length, features = a.shape
    blocks = -(-length // size)
    padded_a = a.new_full((blocks * size, features), -torch.inf)
    padded_v = v.new_zeros((blocks * size, features))
    padded_a[:length], padded_v[:length] = a, v
    logits, values = padded_a.view(blocks, size, features), padded_v.view(blocks, size, features)
    nothing = torch.stack([logits.new_full((blocks, features), -torch.inf), *logits.new_zeros((2, blocks, features))])
    before, after = (logits.new_empty((3, blocks, size, features)) for _ in range(2))
    state = nothing
    for j in range(size):
        before[:, :, j] = state
        state = _joined(state, logits[:, j], values[:, j])
    state = nothing
    for j in reversed(range(size)):
        state = _joined(state, logits[:, j], values[:, j])
        after[:, :, j] = state
    shape = (3, blocks * size, features)
    shaped = (table.view(shape)[:, :length].contiguous() for table in (before, after))
    return SoftmaxTables(a, v, *shaped)
