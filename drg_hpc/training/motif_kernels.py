"""First-layer kernels that begin as known motifs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from drg_hpc.errors import UsageError
from drg_hpc.genome.motifs import Motif
from drg_hpc.models.base import SequenceModel

_BACKGROUND = 0.25


def log_odds(motif: Motif) -> NDArray[np.float64]:
    """``ln(p / 0.25)``, (4, width), with one site of the background added to those the motif was made from."""
    sites = max(motif.nsites, 1.0)
    found: NDArray[np.float64] = np.log((motif.pfm * sites + _BACKGROUND) / (sites + 1) / _BACKGROUND)
    return found


def information(motif: Motif) -> NDArray[np.float64]:
    """Bits of each position against a uniform background, (width,)."""
    p = motif.pfm
    found: NDArray[np.float64] = 2 + (p * np.log2(np.maximum(p, 1e-12))).sum(0)
    return found


def as_kernel(motif: Motif, width: int) -> NDArray[np.float64]:
    """Log-odds in the middle of a kernel, (4, width), zeros beside them; of a longer motif, the ``width`` neighbouring
    positions with the most information."""
    odds = log_odds(motif)
    if motif.width > width:
        sums = np.convolve(information(motif), np.ones(width), mode="valid")
        first = int(sums.argmax())
        return odds[:, first : first + width]
    kernel = np.zeros((4, width))
    left = (width - motif.width) // 2
    kernel[:, left : left + motif.width] = odds
    return kernel


class _Found(Exception):
    """Every input has met its first convolution."""


def _is_scan(layer: nn.Module) -> bool:
    weight = getattr(layer, "weight", None)
    return isinstance(weight, torch.Tensor) and weight.ndim == 3 and weight.shape[1] == 4


def first_convolutions(model: SequenceModel) -> dict[str, str]:
    """For each input that a convolution of four channels sees, the name of the first one that does.

    A model of several inputs must give them to their convolutions as they are; of one input, anything may come before.
    """
    generator = torch.Generator().manual_seed(0)
    lengths = model.shape.inputs
    device = next(model.parameters()).device
    inputs = {name: torch.rand(1, 4, length, generator=generator).to(device) for name, length in lengths.items()}
    names = {layer: name for name, layer in model.named_modules()}
    found: dict[str, str] = {}

    def look(layer: nn.Module, given: tuple[Any, ...]) -> None:
        for name, x in inputs.items():
            if name not in found and (len(inputs) == 1 or torch.equal(given[0], x)):
                found[name] = names[layer]
        if len(found) == len(inputs):
            raise _Found

    hooks = [layer.register_forward_pre_hook(look) for layer in model.modules() if _is_scan(layer)]
    was_training = model.training
    try:
        model.eval()
        with torch.no_grad():
            model(next(iter(inputs.values())) if len(inputs) == 1 else list(inputs.values()))
    except _Found:
        pass
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return found


def place_motifs(
    model: SequenceModel, motifs: Sequence[Motif], *, scale: float, input_name: str | None
) -> tuple[str, int]:
    """Put motifs into the first kernels of the first convolution; the others, and biases, stay as they are.

    Parameters
    ----------
    model : on the CPU; changed in place
    scale : factor of the log-odds
    input_name : whose convolution, where several inputs have different ones

    Returns
    -------
    name of the convolution, and how many kernels it has

    Raises
    ------
    UsageError : no such convolution, more than one, or more motifs than kernels
    """
    convolutions = first_convolutions(model)
    if input_name is not None and input_name not in model.shape.inputs:
        raise UsageError(
            f"init.motif_input = {input_name!r} is no input", fix=f"inputs: {', '.join(model.shape.inputs)}"
        )
    chosen = {convolutions[name] for name in convolutions if input_name in (None, name)}
    if not chosen:
        of = f"input {input_name!r}" if input_name else "the sequence"
        raise UsageError(f"init.motifs: no convolution of this model scans {of} itself")
    if len(chosen) > 1:
        listed = ", ".join(f"{layer} of {name}" for name, layer in convolutions.items())
        raise UsageError(f"init.motifs: there are several first convolutions: {listed}", fix="set init.motif_input")
    name = chosen.pop()
    weight = model.get_submodule(name).weight
    assert isinstance(weight, torch.Tensor)
    if len(motifs) > len(weight):
        raise UsageError(f"init.motifs has {len(motifs)} motifs for {len(weight)} kernels of {name}", fix="keep fewer")
    with torch.no_grad():
        for kernel, motif in zip(weight, motifs, strict=False):
            kernel.copy_(torch.from_numpy(scale * as_kernel(motif, weight.shape[2])))
    return name, len(weight)
