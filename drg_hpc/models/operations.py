"""Count the multiply-adds of a network, for plans that turn rows into hours."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from drg_hpc.models.base import ModelShape
from drg_hpc.models.blocks import StrandScan
from drg_hpc.models.borzoi_blocks import RelativeLogits, WeightedValues
from drg_hpc.models.drg_long_range import DotProduct


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


def macs_per_row(module: nn.Module, shape: ModelShape) -> int:
    """Multiply-adds of one forward pass of one row through convolutions and matrix products.

    Parameters
    ----------
    module : run once on one row of zeros, in eval mode
    shape : its inputs
    """
    total = 0

    def count(layer: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        nonlocal total
        total += _macs(layer, output)

    hooks = [layer.register_forward_hook(count) for layer in module.modules() if not list(layer.children())]
    was_training = module.training
    try:
        module.eval()
        with torch.no_grad():
            _run(module, shape)
    finally:
        module.train(was_training)
        for hook in hooks:
            hook.remove()
    return total
