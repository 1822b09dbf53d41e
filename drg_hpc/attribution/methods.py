"""Attribution methods. Each gives multipliers ``m``, ``(n, 4, length)`` per track; forms are made of them elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from captum.attr import IntegratedGradients

from drg_hpc.attribution.catalogue import SPECS
from drg_hpc.attribution.targets import TrackStatistic
from drg_hpc.errors import InputError


@dataclass(frozen=True)
class Block:
    """What a method works on: one padded block of rows.

    Parameters
    ----------
    statistic : maps sequences to the tracks attributed, (n, tracks)
    x, reference : (n, 4, length); the reference is zero where ``x`` has no base
    rows : global numbers of the rows (padding excluded), for methods that draw random numbers
    seed : their seed
    """

    statistic: TrackStatistic
    x: torch.Tensor
    reference: torch.Tensor
    rows: tuple[int, ...]
    seed: int


Result = tuple[torch.Tensor, Iterator[torch.Tensor]]
"""Statistics (n, tracks), and multipliers track by track, so that memory does not grow with the tracks."""


def gradient(block: Block) -> Result:
    """One forward pass, and a backward pass per track."""
    x = block.x.detach().requires_grad_()
    values = block.statistic(x)
    if not values.requires_grad:
        raise InputError("the model's output does not depend on its input", fix="is the model in inference mode?")

    def tracks() -> Iterator[torch.Tensor]:
        count = values.shape[1]
        for i in range(count):
            yield torch.autograd.grad(values[:, i].sum(), x, retain_graph=i + 1 < count)[0]

    return values.detach(), tracks()


def integrated_gradients(block: Block) -> Result:
    """Mean gradient on the path from the reference: Gauss-Legendre with the number of points in the catalogue.

    Each point of the path is one pass over the whole block, so that batch shapes are the same everywhere.
    """
    with torch.no_grad():
        values = block.statistic(block.x)

    def tracks() -> Iterator[torch.Tensor]:
        for i in range(values.shape[1]):
            one = TrackStatistic(block.statistic.module, (block.statistic.tracks[i],), block.statistic.scale)
            explainer = IntegratedGradients(lambda x, f=one: f(x)[:, 0], multiply_by_inputs=False)
            yield explainer.attribute(
                block.x,
                baselines=block.reference,
                n_steps=SPECS["integrated-gradients"].passes,
                method="gausslegendre",
                internal_batch_size=len(block.x),
            ).detach()

    return values, tracks()


METHODS: dict[str, Callable[[Block], Result]] = {
    "gradient": gradient,
    "inputxgradient": gradient,
    "tism": gradient,
    "integrated-gradients": integrated_gradients,
}
"""Gradient, input x gradient and TISM have the same multipliers; they differ in the forms made of them."""
