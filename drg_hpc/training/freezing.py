"""Tensors that training leaves as they are."""

from __future__ import annotations

import types
from collections.abc import Sequence

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from drg_hpc.errors import UsageError
from drg_hpc.training.name_maps import matching


def _stay(layer: nn.Module, mode: bool = True) -> nn.Module:
    """In place of ``train``: the mode stays."""
    return layer


def freeze(model: nn.Module, globs: Sequence[str]) -> list[str]:
    """Freeze the tensors that fit any of the globs, and say which.

    Parameters get no gradient. A batch norm whose running statistics are frozen stays in eval mode: it would change
    them, and the statistics of batches would go past them. Dropout stays as it is.

    Raises
    ------
    UsageError : a glob that fits none, or nothing left to train
    """
    names = list(model.state_dict())
    found = matching(globs, names, option="--freeze")
    for name, parameter in model.named_parameters():
        if name in found:
            parameter.requires_grad_(False)
    for name, layer in model.named_modules():
        if isinstance(layer, _BatchNorm) and {f"{name}.running_mean", f"{name}.running_var"} & found:
            layer.eval()
            layer.train = types.MethodType(_stay, layer)  # type: ignore[method-assign]
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UsageError("--freeze leaves nothing to train", fix="freeze less")
    return [name for name in names if name in found]


def stays(layer: nn.Module) -> bool:
    """Whether a layer is kept in its mode."""
    return "train" in vars(layer)
