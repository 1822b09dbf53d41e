"""Predictions of a network with one kernel of its first layer at a constant, computed from one cached pass.

The pass is run once. For a kernel only what follows its channel is computed again: layers that treat channels
apart from each other are not run at all, since a constant channel leaves a constant; the first layer that mixes
channels is linear, so its output changes by what that one channel adds; what comes after is run for several kernels
at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional

_VALUES_AT_ONCE = {"cpu": 1 << 22, "cuda": 1 << 26}
"""Of the layer that is replaced, for the kernels that are run together."""


@dataclass(frozen=True, eq=False)
class Branch:
    """One first layer of a network and what follows it, up to where other branches join.

    Parameters
    ----------
    name : empty, or what tells the branches of a network apart
    whole : what is run for the branch: the first layer alone, or a chain that has it
    scan : the first layer, with ``weight`` (K, 4, w) and ``bias``; gives (batch, K, L), or (batch, 2, K, L) of both
        strands
    inputs : numbers of the sequences that it takes, in the order of its calls
    apart : layers after it that treat each channel by itself
    mixer : the linear layer or convolution after those, that joins channels, where it is known
    rest : what is left of the chain
    both_strands : the kernels scan both strands
    """

    name: str
    whole: nn.Module
    scan: nn.Module
    inputs: tuple[int, ...] = (0,)
    apart: tuple[nn.Module, ...] = ()
    mixer: nn.Linear | nn.Conv1d | None = None
    rest: tuple[nn.Module, ...] = ()
    both_strands: bool = False

    @property
    def kernels(self) -> int:
        """Number of kernels."""
        weight: Any = self.scan.weight
        return int(weight.shape[0])

    @property
    def last(self) -> nn.Module:
        """The last layer with a channel for each kernel."""
        return self.apart[-1] if self.apart else self.scan


@dataclass
class _Pass:
    """What a pass gave, by layer and call."""

    outputs: dict[nn.Module, list[torch.Tensor]] = field(default_factory=dict)


@contextmanager
def _recording(layers: Sequence[nn.Module]) -> Iterator[_Pass]:
    found = _Pass()
    with ExitStack() as stack:
        for layer in dict.fromkeys(layers):
            outputs = found.outputs.setdefault(layer, [])

            def keep(_: nn.Module, __: Any, output: torch.Tensor, outputs: list[torch.Tensor] = outputs) -> None:
                outputs.append(output)

            stack.callback(layer.register_forward_hook(keep).remove)
        yield found


@contextmanager
def _instead(layers: dict[nn.Module, list[torch.Tensor]]) -> Iterator[None]:
    """Let layers give tensors, one for each call."""
    with ExitStack() as stack:
        for layer, outputs in layers.items():
            calls = iter(outputs)

            def give(*_: Any, calls: Iterator[torch.Tensor] = calls) -> torch.Tensor:
                return next(calls)

            layer.forward = give
            stack.callback(layer.__dict__.pop, "forward")
        yield


class Ablation:
    """Predictions without each kernel, block after block.

    Parameters
    ----------
    branches : of the module
    constants : (K,) of each branch, that take the place of ``w . x + b`` at every position and on both strands
    predict : the module's predictions (batch, tracks) of a list of inputs
    closed : sequences reach the output through the branches alone
    """

    def __init__(
        self, branches: Sequence[Branch], constants: Sequence[torch.Tensor], *,
        predict: Callable[[list[torch.Tensor]], torch.Tensor], closed: bool,
    ) -> None:  # fmt: skip
        self.branches, self._constants, self._predict, self._closed = list(branches), list(constants), predict, closed
        self._x: list[torch.Tensor] = []
        self._pass = _Pass()
        self._flat: dict[tuple[int, tuple[int, ...]], torch.Tensor] = {}

    def block(self, x: list[torch.Tensor]) -> torch.Tensor:
        """Run a block with all kernels: predictions (batch, tracks)."""
        wanted: list[nn.Module] = []
        for branch in self.branches:
            wanted += [branch.whole, branch.scan, branch.last, *([branch.mixer] if branch.mixer is not None else [])]
        with torch.inference_mode(), _recording(wanted) as found:
            output = self._predict(x)
        self._x, self._pass = x, found
        return output

    def without(self, number: int) -> Iterator[tuple[slice, torch.Tensor]]:
        """Predictions of the block without some kernels of a branch: which, and (kernels, batch, tracks)."""
        branch = self.branches[number]
        seat = branch.last if branch.mixer is None else branch.mixer
        per_kernel = sum(value.numel() for value in self._pass.outputs[seat])
        step = max(1, min(branch.kernels, _VALUES_AT_ONCE[self._x[0].device.type] // per_kernel))
        for first in range(0, branch.kernels, step):
            chosen = slice(first, min(first + step, branch.kernels))
            with torch.inference_mode():
                yield chosen, self._without(number, chosen)

    def _without(self, number: int, chosen: slice) -> torch.Tensor:
        branch, times = self.branches[number], chosen.stop - chosen.start
        outputs = {
            other.whole: [_repeated(value, times) for value in self._pass.outputs[other.whole]]
            for other in self.branches
            if other is not branch
        }
        outputs[branch.whole] = [
            _run(branch.rest, self._replaced(number, call, chosen)) for call in range(len(branch.inputs))
        ]
        x = [value[:, :, :1].new_zeros(1).expand(times * len(value), 4, 1) if self._closed else _repeated(value, times)
             for value in self._x]  # fmt: skip
        with _instead(outputs):
            found = self._predict(x)
        return found.view(times, -1, *found.shape[1:])

    def _replaced(self, number: int, call: int, chosen: slice) -> torch.Tensor:
        """The output of the mixer, or of the last layer before it, for each of some kernels: (kernels * batch, …)."""
        branch = self.branches[number]
        values = self._pass.outputs[branch.last][call]
        flat = self._constant_channels(number, call)
        times = chosen.stop - chosen.start
        if branch.mixer is None:
            every = values.expand(times, *values.shape).clone()
            channel = values.ndim - 2  # of (batch, K, L) or (batch, 2, K, L)
            for at, kernel in enumerate(range(chosen.start, chosen.stop)):
                every[at].select(channel, kernel).copy_(flat.select(channel - 1, kernel).expand_as(
                    every[at].select(channel, kernel)))  # fmt: skip
            return every.flatten(0, 1)
        change = flat[chosen] - values[:, chosen]
        mixed = self._pass.outputs[branch.mixer][call]
        return (mixed + _mixed_alone(branch.mixer, change, chosen)).flatten(0, 1)

    def _constant_channels(self, number: int, call: int) -> torch.Tensor:
        """What comes out of the last layer before the mixer where all kernels have their constants: (…, K, L')."""
        branch = self.branches[number]
        shape = tuple(self._pass.outputs[branch.scan][call].shape[1:])
        if (number, shape) not in self._flat:
            constant = self._constants[number][:, None].expand(shape)[None]
            self._flat[number, shape] = _run(branch.apart, constant)[0]
        return self._flat[number, shape]


def _run(layers: Sequence[nn.Module], value: torch.Tensor) -> torch.Tensor:
    for layer in layers:
        value = layer(value)
    return value


def _repeated(value: torch.Tensor, times: int) -> torch.Tensor:
    return value.expand(times, *value.shape).flatten(0, 1)


def _mixed_alone(mixer: nn.Linear | nn.Conv1d, change: torch.Tensor, chosen: slice) -> torch.Tensor:
    """What the changes (batch, kernels, L') of single channels change of a mixer's output: (kernels, batch, …)."""
    batch, times, length = change.shape
    if isinstance(mixer, nn.Linear):
        weight = mixer.weight.view(mixer.out_features, -1, length)[:, chosen]
        return torch.bmm(change.transpose(0, 1), weight.permute(1, 2, 0))
    weight = mixer.weight[:, chosen].transpose(0, 1).reshape(times * mixer.out_channels, 1, -1)
    padding: Any = mixer.padding
    found = functional.conv1d(
        change, weight, stride=mixer.stride, padding=padding, dilation=mixer.dilation, groups=times
    )
    return found.view(batch, times, mixer.out_channels, -1).transpose(0, 1)
