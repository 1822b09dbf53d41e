"""Optimizers of an ``[optim]`` table, with learning rates by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from drg_hpc.errors import UsageError
from drg_hpc.models.base import SequenceModel
from drg_hpc.training.config_optim import OptimTable
from drg_hpc.training.motif_kernels import first_convolutions

_KINDS: Mapping[str, tuple[Callable[..., torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {}),
    "nag": (torch.optim.SGD, {"nesterov": True}),
    "adagrad": (torch.optim.Adagrad, {}),
    "adadelta": (torch.optim.Adadelta, {}),
    "adam": (torch.optim.Adam, {}),
    "nadam": (torch.optim.NAdam, {}),
    "adamw": (torch.optim.AdamW, {}),
    "amsgrad": (torch.optim.AdamW, {"amsgrad": True}),
}


def make_optimizer(model: SequenceModel, optim: OptimTable) -> torch.optim.Optimizer:
    """The optimizer of the parameters that are not frozen.

    Each of its groups has ``lr_scale``: at every step its learning rate is to be that of the schedule times this.

    Raises
    ------
    UsageError : every parameter is frozen, or ``kernel_lr`` for a model whose first convolutions cannot be told
    """
    layers = _layers(model)
    if not layers:
        raise UsageError("nothing to train: every parameter of the model is frozen", fix="freeze less")
    scales = _scales(model, optim, layers)
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameters in layers.items():
        groups.setdefault(scales[name], []).extend(parameters)
    kind, fixed = _KINDS[optim.name]
    chosen = {key: getattr(optim, key) for key in ("weight_decay", "momentum", "betas", "rho")}
    settings = {key: value for key, value in chosen.items() if value is not None}
    listed = [{"params": some, "lr": optim.lr * scale, "lr_scale": scale} for scale, some in groups.items()]
    return kind(listed, lr=optim.lr, **settings, **fixed)


def _layers(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Parameters that are not frozen by the module that owns them, in order; shared ones once."""
    found: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            found.setdefault(name.rpartition(".")[0], []).append(parameter)
    return found


def _scales(model: SequenceModel, optim: OptimTable, layers: Mapping[str, Any]) -> dict[str, float]:
    """Learning rate of each layer over ``lr``."""
    if optim.kernel_lr is None:
        return dict.fromkeys(layers, 1.0)
    low = optim.kernel_lr / optim.lr
    if optim.kernel_lr_reach == "first":
        kernels = set(first_convolutions(model).values())
        if not kernels:
            raise UsageError("optim.kernel_lr: no convolution of this model scans the sequence", fix="leave it out")
        return {name: low if name in kernels else 1.0 for name in layers}
    part = 1.0 / max(len(layers) - 1, 1)
    if optim.kernel_lr_reach == "log-gradual":
        return {name: float(low ** (1.0 - i * part)) for i, name in enumerate(layers)}
    return {name: low + (1.0 - low) * i * part for i, name in enumerate(layers)}
