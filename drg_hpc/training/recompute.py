"""Activation checkpointing: parts of a network keep their input alone, and are computed again for the gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from drg_hpc.errors import UsageError
from drg_hpc.models.base import SequenceModel


@contextmanager
def _same_statistics(layers: Sequence[nn.Module]) -> Iterator[None]:
    """The second pass of batch norms that train: what it does to the running statistics is forgotten."""
    norms = {layer for part in layers for layer in part.modules() if isinstance(layer, _BatchNorm) and layer.training}
    kept = {layer: dict(layer._buffers) for layer in norms}
    try:
        for layer, buffers in kept.items():
            layer._buffers.update({name: None if b is None else b.clone() for name, b in buffers.items()})
        yield
    finally:
        for layer, buffers in kept.items():
            layer._buffers.update(buffers)


def _contexts(layers: Sequence[nn.Module]) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _same_statistics(layers)


def _twice(layers: Sequence[nn.Module], run: Callable[..., Any], *given: Any) -> Any:
    """Run, keeping the input alone where a gradient will be asked for."""
    if not torch.is_grad_enabled():
        return run(*given)
    return checkpoint(run, *given, use_reentrant=False, context_fn=partial(_contexts, layers))


def _in_turn(layers: Sequence[nn.Module], x: Any) -> Any:
    for layer in layers:
        x = layer(x)
    return x


def _by_segments(chain: nn.Sequential, x: Any) -> Any:
    """``chain(x)`` in about as many segments as each has layers, which needs the least memory."""
    layers = list(chain)
    size = math.ceil(math.sqrt(len(layers)))
    for start in range(0, len(layers), size):
        segment = layers[start : start + size]
        x = _twice(segment, partial(_in_turn, segment), x)
    return x


def _longest_chains(model: nn.Module) -> list[nn.Sequential]:
    chains = [layer for layer in model.modules() if isinstance(layer, nn.Sequential)]
    longest = max((len(chain) for chain in chains), default=0)
    found: list[nn.Sequential] = []
    for chain in chains:
        if len(chain) == longest and not any(chain is inner for outer in found for inner in outer.modules()):
            found.append(chain)
    return found if longest > 1 else []


def recompute_activations(model: SequenceModel) -> int:
    """Let parts of a network be computed again for the gradient, each on its own; changed in place.

    The gradients are the same: dropout is keyed on rows, other random numbers are drawn again from the same state, and
    batch norms count a batch once.

    Returns
    -------
    how many blocks: those of ``model.checkpoint_blocks()``, else the segments of its longest ``nn.Sequential``

    Raises
    ------
    UsageError : a network without either
    """
    blocks = list(model.checkpoint_blocks())
    for block in blocks:
        block.forward = partial(_twice, [block], block.forward)
    if blocks:
        return len(blocks)
    chains = _longest_chains(model)
    if not chains:
        raise UsageError("train.checkpoint_activations: this model has no chain of layers (nn.Sequential)")
    for chain in chains:
        chain.forward = partial(_by_segments, chain)  # type: ignore[method-assign]
    return sum(math.ceil(len(chain) / math.ceil(math.sqrt(len(chain)))) for chain in chains)
