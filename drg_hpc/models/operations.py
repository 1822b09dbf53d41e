"""Count the multiply-adds of a network, for plans that turn rows into hours."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from drg_hpc.models.base import ModelShape
from drg_hpc.models.blocks import AttentionWeights, StrandScan
from drg_hpc.models.borzoi_blocks import RelativeLogits, WeightedValues
from drg_hpc.models.drg_long_range import DotProduct

_COMPOSED = (DotProduct,)
"""Layers with layers of their own that multiply by themselves."""


def _macs(layer: nn.Module, output: torch.Tensor) -> int:
    if isinstance(layer, StrandScan | RelativeLogits | WeightedValues | DotProduct):
        return layer.macs(output)
    if isinstance(layer, nn.Conv1d | nn.Conv2d):
        return output[0].numel() * (layer.in_channels // layer.groups) * math.prod(layer.kernel_size)
    if isinstance(layer, nn.Linear):
        return output[0].numel() * layer.in_features
    return 0


def _run(module: nn.Module, shape: ModelShape) -> None:
    """One forward pass of one row of zeros. Shapes do for ours; a user's module may keep what it computes."""
    if all(type(layer).__module__.partition(".")[0] in ("drg_hpc", "torch") for layer in module.modules()):
        state = {name: value.to("meta") for name, value in (*module.named_parameters(), *module.named_buffers())}
        functional_call(module, state, (shape.zeros(1, "meta"),))
    else:
        module(shape.zeros(1, next((p.device for p in module.parameters()), torch.device("cpu"))))


@contextmanager
def _watching(module: nn.Module, see: Callable[[str, nn.Module, torch.Tensor], None]) -> Iterator[None]:
    """Call ``see`` with name, layer and output of every layer that runs and can be counted, in eval mode."""

    def hook(name: str) -> Callable[..., None]:
        return lambda layer, _inputs, output: see(name, layer, output)

    counted = [(name, layer) for name, layer in module.named_modules()
               if isinstance(layer, _COMPOSED) or not list(layer.children())]  # fmt: skip
    hooks = [layer.register_forward_hook(hook(name)) for name, layer in counted]
    was_training = module.training
    try:
        module.eval()
        with torch.no_grad():
            yield
    finally:
        module.train(was_training)
        for each in hooks:
            each.remove()


def macs_per_row(module: nn.Module, shape: ModelShape) -> int:
    """Multiply-adds of one forward pass of one row through convolutions and matrix products.

    Parameters
    ----------
    module : run once on one row of zeros, in eval mode
    shape : its inputs
    """
    return int(describe_operations(module, shape)["macs_per_row"])


def describe_operations(module: nn.Module, shape: ModelShape) -> dict[str, Any]:
    """What plans need to know of the operations of a network, from one row of zeros.

    Returns
    -------
    ``macs_per_row``, see :func:`macs_per_row`; ``embedding``: what the last layer takes, if it is a linear one that
    gives the tracks, else 0; ``attention``: name, heads, queries and keys of each layer of attention weights, in the
    order in which they run
    """
    macs, embedding = 0, 0
    attention: list[dict[str, Any]] = []

    def see(name: str, layer: nn.Module, output: torch.Tensor) -> None:
        nonlocal macs, embedding
        macs += _macs(layer, output)
        gives_tracks = tuple(output.shape) == (1, shape.n_tracks)
        embedding = layer.in_features if isinstance(layer, nn.Linear) and gives_tracks else 0
        if isinstance(layer, AttentionWeights):
            heads, queries, keys = (int(size) for size in output.shape[1:])
            attention.append({"name": name, "heads": heads, "queries": queries, "keys": keys})

    with _watching(module, see):
        _run(module, shape)
    return {"macs_per_row": macs, "embedding": embedding, "attention": attention}
