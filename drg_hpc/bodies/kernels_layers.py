"""The first layers of a network, and what follows them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from drg_hpc.errors import InputError
from drg_hpc.interpretation.kernel_ablation import Branch
from drg_hpc.models.base import SequenceModel
from drg_hpc.models.basset import Basset
from drg_hpc.models.blocks import KeyedDropout, StrandMax, StrandMean, StrandScan, StrandWeighted
from drg_hpc.models.blocks_activations import Clamp, ClampedExp, ClampedPower, OffsetReLU, Sine
from drg_hpc.models.blocks_pooling import MaskedWeightedPool, WeightedPool
from drg_hpc.models.cnn import DrgCnn
from drg_hpc.models.dilated import DilatedResidual
from drg_hpc.models.multi import MultiInput

_ACTIVATIONS = (
    nn.GELU, nn.ReLU, nn.Sigmoid, nn.Tanh, nn.Identity, nn.ELU, nn.Softplus, ClampedExp, ClampedPower, Clamp,
    OffsetReLU, Sine,
)  # fmt: skip
_APART = (
    StrandMax, StrandMean, StrandWeighted, nn.BatchNorm1d, nn.MaxPool1d, nn.AvgPool1d, WeightedPool,
    MaskedWeightedPool, KeyedDropout, *_ACTIVATIONS,
)  # fmt: skip
_SCANS = (StrandScan, nn.Conv1d)


def find_branches(module: SequenceModel) -> tuple[list[Branch], bool]:
    """The first layers of a network, and whether sequences reach its output through them alone.

    Raises
    ------
    InputError : a network of the user's own without a convolution of sequences
    """
    if isinstance(module, DrgCnn | Basset):
        return [_chain("", module.layers)], True
    if isinstance(module, DilatedResidual):
        return [_chain("", module.trunk)], module.bias_model is None
    if isinstance(module, MultiInput):
        branches = []
        for number, network in enumerate(module.networks):
            assert isinstance(network, nn.Sequential)
            inputs = tuple(i for i, used in enumerate(module.network_of) if used == number)
            branches.append(_chain(f"CNN{number}", network, inputs=inputs))
        return branches, True
    return _searched(module), False


def _chain(name: str, whole: nn.Sequential, *, inputs: tuple[int, ...] = (0,)) -> Branch:
    layers = list(whole)
    at = next(i for i, layer in enumerate(layers) if isinstance(layer, _SCANS))
    scan, rest = layers[at], layers[at + 1 :]
    apart: list[nn.Module] = []
    while rest and _keeps_apart(rest[0]):
        apart.append(rest.pop(0))
    mixer: nn.Linear | nn.Conv1d | None = None
    if len(rest) > 1 and isinstance(rest[0], nn.Flatten) and isinstance(rest[1], nn.Linear):
        mixer, rest = rest[1], rest[2:]
    elif rest and isinstance(rest[0], nn.Conv1d) and _is_plain(rest[0]):
        mixer, rest = rest[0], rest[1:]
    return Branch(
        name=name, whole=whole, scan=scan, inputs=inputs, apart=tuple(apart), mixer=mixer, rest=tuple(rest),
        both_strands=isinstance(scan, StrandScan),
    )  # fmt: skip


def _is_plain(layer: nn.Conv1d) -> bool:
    return layer.groups == 1 and layer.padding_mode == "zeros"


def _keeps_apart(layer: nn.Module) -> bool:
    """Whether a layer treats every channel by itself."""
    if isinstance(layer, nn.Sequential):
        return all(_keeps_apart(part) for part in layer)
    return isinstance(layer, _APART)


def _searched(module: SequenceModel) -> list[Branch]:
    """All convolutions of four channels, in the order of their names."""
    found = [(name, layer) for name, layer in module.named_modules()
             if isinstance(layer, _SCANS) and layer.weight.ndim == 3 and layer.weight.shape[1] == 4]  # fmt: skip
    if not found:
        raise InputError(
            f"no first layer to be found in {type(module).__name__}: it has no convolution of four channels",
            fix="kernels are the weights of a torch.nn.Conv1d(4, …) that scans the sequence",
        )
    return [
        Branch(name if len(found) > 1 else "", layer, layer, both_strands=isinstance(layer, StrandScan))
        for name, layer in found
    ]


def own_activation(branches: Sequence[Branch]) -> list[nn.Module]:
    """The activation after each first layer.

    Raises
    ------
    InputError : it is not in a chain with it
    """
    found = []
    for branch in branches:
        layer = next((layer for layer in branch.apart if _is_activation(layer)), None)
        if layer is None:
            raise InputError("--activated model: what activates the kernels of this network cannot be told",
                             fix="use --activated none or exp")  # fmt: skip
        found.append(layer)
    return found


def _is_activation(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Sequential):
        return len(layer) > 0 and all(_is_activation(part) for part in layer)
    return isinstance(layer, _ACTIVATIONS)
