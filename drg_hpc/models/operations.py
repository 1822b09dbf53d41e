"""Count the multiply-adds of a network, for plans that turn rows into hours."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from drg_hpc.models.base import ModelShape
from drg_hpc.models.blocks import StrandScan


def _macs(layer: nn.Module, output: torch.Tensor) -> int:
    if isinstance(layer, StrandScan):
        return layer.macs(output)
    if isinstance(layer, nn.Conv1d):
        return output[0].numel() * (layer.in_channels // layer.groups) * layer.kernel_size[0]
    if isinstance(layer, nn.Linear):
        return output[0].numel() * layer.in_features
    return 0


def macs_per_row(module: nn.Module, shape: ModelShape) -> int:
    """Multiply-adds of one forward pass of one row through convolutions and matrix products.

    Parameters
    ----------
    module : run once on one row of zeros, in eval mode, on its own device
    shape : its inputs
    """
    total = 0

    def count(layer: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        nonlocal total
        total += _macs(layer, output)

    hooks = [layer.register_forward_hook(count) for layer in module.modules() if not list(layer.children())]
    was_training = module.training
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    try:
        module.eval()
        with torch.no_grad():
            module(shape.zeros(1, device))
    finally:
        module.train(was_training)
        for hook in hooks:
            hook.remove()
    return total
