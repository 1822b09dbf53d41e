"""The weights of attention layers, as a model computes them for each sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.attribution.targets import as_given
from drg_hpc.errors import InputError, UsageError
from drg_hpc.models.blocks import AttentionWeights
from drg_hpc.models.compute import array_tensor, module_place, pad_block
from drg_hpc.runs.spec import BLOCK_ROWS


def attention_layers(module: torch.nn.Module) -> list[str]:
    """Names of the layers of attention weights of a model, in the order of its modules.

    Raises
    ------
    InputError : it has none
    """
    found = [name for name, layer in module.named_modules() if isinstance(layer, AttentionWeights)]
    if not found:
        raise InputError(
            "the model has no attention layers whose weights can be read",
            fix="a module of your own needs drg_hpc.models.blocks.AttentionWeights in place of its softmax",
        )
    return found


def attention_block(
    module: torch.nn.Module, sequences: Sequence[NDArray[Any]], *, layers: Sequence[str], batch: int = BLOCK_ROWS
) -> NDArray[np.float32]:
    """Attention weights of up to 64 rows.

    Parameters
    ----------
    module : in eval mode
    sequences : one-hot (n, 4, L) of each input
    layers : names, from :func:`attention_layers`
    batch : rows of a pass

    Returns
    -------
    (n, layers, heads, queries, keys), each sum over keys 1; the order of axes is that of gReLU's
    ``get_attention_scores``

    Raises
    ------
    UsageError : layers of different shapes, which have no one array
    """
    device, dtype = module_place(module)
    kept: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_layer: torch.nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            kept[name] = output.detach()

        return hook

    hooks = [module.get_submodule(name).register_forward_hook(keep(name)) for name in layers]
    parts = []
    try:
        for at in range(0, len(sequences[0]), batch):
            xs = [pad_block(array_tensor(x[at : at + batch]).to(device=device, dtype=dtype), batch) for x in sequences]
            with torch.inference_mode():
                module(as_given(xs))
            shapes = {tuple(kept[name].shape[1:]) for name in layers}
            if len(shapes) > 1:
                shown = ", ".join(f"{name} {tuple(kept[name].shape[1:])}" for name in layers)
                raise UsageError(f"attention layers differ in shape: {shown}", fix="choose one with --block")
            live = len(sequences[0][at : at + batch])
            parts.append(torch.stack([kept[name] for name in layers], dim=1)[:live].cpu().float().numpy())
    finally:
        for hook in hooks:
            hook.remove()
    return np.concatenate(parts)
