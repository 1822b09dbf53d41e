"""Random sequences in double precision, and how far attributions are from complete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from drg_hpc.attribution.deeplift import DeepLift, Pairs


def onehot(*shape: int, seed: int) -> torch.Tensor:
    """(…, 4, L) for a shape (…, L)."""
    codes = torch.randint(0, 4, shape, generator=torch.Generator().manual_seed(seed))
    return torch.eye(4, dtype=torch.float64)[codes].transpose(-1, -2).contiguous()


def pairs_of(
    function: Callable[..., torch.Tensor], lengths: Sequence[int], *, rows: int, copies: int, params: Sequence[Any] = ()
) -> tuple[Pairs, list[torch.Tensor], list[torch.Tensor]]:
    """Pairs of random sequences and references of some inputs, with these."""
    xs = [onehot(rows, length, seed=i) for i, length in enumerate(lengths)]
    references = [onehot(rows, copies, length, seed=100 + i) for i, length in enumerate(lengths)]
    lift = DeepLift(function, xs, params)
    return lift.pairs(xs, references, params), xs, references


def incompleteness(
    function: Callable[..., torch.Tensor], lengths: Sequence[int], *, rows: int, copies: int, params: Sequence[Any] = ()
) -> float:
    """Largest ``|sum of attributions - (f(x) - f(r))|`` of a pair over the largest ``|f(x) - f(r)|``, over all values.

    The function's values are computed again, by itself.
    """
    pairs, xs, references = pairs_of(function, lengths, rows=rows, copies=copies, params=params)
    repeated = [p.repeat_interleave(copies, 0) for p in params]
    with torch.no_grad():
        values = function(xs, params)
        others = function([r.flatten(0, 1) for r in references], repeated).view(rows, copies, -1)
    torch.testing.assert_close(pairs.values, values, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(pairs.reference_values, others, rtol=1e-9, atol=1e-9)
    worst = 0.0
    for value in range(values.shape[1]):
        cotangent = torch.eye(values.shape[1], dtype=torch.float64)[value]
        parts = zip(pairs.multipliers(cotangent), xs, references, strict=True)
        total = sum(((m * (x[:, None] - r)).sum((2, 3)) for m, x, r in parts), torch.zeros(rows, copies))
        wanted = values[:, None, value] - others[..., value]
        assert wanted.abs().max() > 0
        error = (total - wanted).abs().max() / wanted.abs().max()
        assert not torch.isnan(error)
        worst = max(worst, float(error))
        torch.testing.assert_close(pairs.accumulate(cotangent)[2], total - wanted, rtol=0, atol=1e-9)
    return worst
