"""Networks as laboratories write them: the incremental engine gives what the whole model gives, or says it cannot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from attribution.random_nets import Layer
from attribution.test_incremental import Codes, onehot, sequence
from torch import nn
from torch.nn import functional

from drg_hpc.attribution.edits import Edits, concatenated, deletions, insertions, replacements, substitutions, unchanged
from drg_hpc.attribution.evaluators import choose
from drg_hpc.attribution.full import FullEvaluator
from drg_hpc.attribution.incremental.evaluator import IncrementalEvaluator
from drg_hpc.attribution.incremental.traces import Untraceable
from drg_hpc.attribution.targets import Statistic
from drg_hpc.attribution.trace import op_name


class AllNumbers(Statistic):
    """Everything that a module gives, one value a number."""

    names = ()

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, xs: Sequence[torch.Tensor], params: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        out: torch.Tensor = self.module(xs[0])
        return out.flatten(1) if out.ndim > 1 else out[:, None]

    def mirrored(self) -> Statistic:
        return self

    def subset(self, values: Sequence[int]) -> Statistic:
        raise NotImplementedError


def conv(channels: int, out: int, size: int = 5, **numbers: int) -> nn.Conv1d:
    return nn.Conv1d(channels, out, size, **{"padding": size // 2, **numbers})


def numbers(*shape: int) -> torch.Tensor:
    return torch.linspace(-1, 1.5, int(np.prod(shape)), dtype=torch.float64).view(shape)


def crop(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return x[..., : like.shape[-1]]


def u_net(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    """Odd lengths, cropped; up by nearest neighbour once, by a transposed convolution once."""
    high = torch.relu(layer.a(x))
    middle = torch.relu(layer.b(functional.max_pool1d(high, 2)))
    low = torch.relu(layer.c(functional.max_pool1d(middle, 2)))
    up = layer.d(torch.cat([functional.interpolate(low, size=middle.shape[-1]), middle], 1))
    up = layer.up(up)
    return layer.e(torch.cat([up, crop(high, up)], 1))[..., 3:-3]


def conv_next(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    x = layer.stem(x)
    inner = layer.norm(layer.depthwise(x).permute(0, 2, 1))
    inner = layer.narrow(functional.gelu(layer.wide(inner))) * numbers(6)
    return (x + inner.permute(0, 2, 1)).mean(-1)


def both_strands(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    """Channels of the other strand in the second half."""
    y = torch.relu(torch.cat([layer.a(x), layer.a(x.flip((1, 2))).flip(2)], 1))
    other = layer.b(torch.cat([y[:, 3:], y[:, :3]], 1).flip(2)).flip(2)
    one, other = functional.max_pool1d(torch.cat([layer.b(y), other], 1), 4).chunk(2, 1)
    return torch.maximum(one, other.flip(2)).flatten(1)


def blocks(layer: Layer, x: torch.Tensor, *shape: int) -> torch.Tensor:
    out: torch.Tensor = layer.a(x).reshape(len(x), *shape)
    return out


def softmax_mean(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    cut = blocks(layer, x, 4, 8, 5)
    return (cut * cut.softmax(-1)).mean(-1)


def doubled(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    """Every position twice, in a row of reshapes, and back."""
    y = layer.a(x)[..., None].expand(-1, -1, -1, 2).reshape(len(x), 4, -1)
    return torch.relu(y + numbers(80)).view(len(x), 4, 40, 2).amax(-1)


def masked(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    open_places = torch.arange(40) % 7 != 0
    return functional.max_pool1d(torch.where(open_places, layer.a(x), -torch.inf) + numbers(4, 1), 5, 3)


def squeeze_excite(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    y = layer.a(x)
    return (y * torch.sigmoid(layer.gate(y.mean(2)))[..., None]).amax(2)


def square(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    """As many channels as positions: only the place of an axis tells which is which."""
    y = layer.a(x)
    y = (y * numbers(20, 1) + numbers(1, 20)) * numbers(20) - numbers(20, 20)
    turned = torch.tanh(y).transpose(1, 2) * numbers(20, 1) + numbers(20)
    return torch.cat([turned.reshape(len(x), 20, 20), turned + y], 1).sum(2)


# name -> (what it does, its modules, operations that are computed in full: None where that does not matter)
NETS: dict[str, tuple[Callable[[Layer, torch.Tensor], torch.Tensor], dict[str, nn.Module], int | None]] = {
    "u-net": (
        u_net,
        {"a": conv(4, 5), "b": conv(5, 6, 3), "c": conv(6, 6, 3), "d": conv(12, 5, 3),
         "up": nn.ConvTranspose1d(5, 5, 2, stride=2), "e": conv(10, 2, 3)},
        0,
    ),
    "convnext": (
        conv_next,
        {"stem": conv(4, 6), "depthwise": conv(6, 6, 7, groups=6), "norm": nn.LayerNorm(6), "wide": nn.Linear(6, 12),
         "narrow": nn.Linear(12, 6, bias=False)},
        0,
    ),
    "both strands": (both_strands, {"a": conv(4, 3), "b": conv(6, 2, 3)}, 0),
    "2d, rows of the sequence": (
        lambda net, x: functional.max_pool2d(torch.relu(net.b(net.a(x[:, None]))), (1, 4), stride=4),
        {"a": nn.Conv2d(1, 3, (4, 5)), "b": nn.BatchNorm2d(3)},
        0,
    ),
    "2d, height 1": (
        lambda net, x: functional.avg_pool2d(torch.relu(net.a(x[:, :, None])), (1, 4)),
        {"a": nn.Conv2d(4, 6, (1, 5), padding=(0, 2), groups=2)},
        0,
    ),
    "2d, width 1": (
        lambda net, x: functional.max_pool2d(net.a(x[..., None]), (4, 1)),
        {"a": nn.Conv2d(4, 3, (5, 1), padding=(2, 0), stride=(2, 1))},
        0,
    ),
    "2d pool over features": (lambda net, x: functional.max_pool2d(net.a(x)[:, None], 2), {"a": conv(4, 4)}, None),
    "adaptive": (
        lambda net, x: functional.adaptive_avg_pool1d(net.a(x), 8) + functional.adaptive_max_pool1d(net.a(x), 8),
        {"a": conv(4, 4)},
        0,
    ),
    "uneven adaptive": (lambda net, x: functional.adaptive_avg_pool1d(net.a(x), 7), {"a": conv(4, 4)}, None),
    "chosen positions": (
        lambda net, x: torch.relu(net.a(x)[:, :, torch.tensor([3, 3, 17, 39])]).flatten(1)
        + net.a(x).index_select(2, torch.tensor([0, 5, 6, -1 % 40])).flatten(1),
        {"a": conv(4, 4)},
        None,
    ),
    "positions out of order": (lambda net, x: net.a(x)[:, :, torch.tensor([9, 2, 30])], {"a": conv(4, 4)}, None),
    "flat values are given": (lambda net, x: torch.relu(net.a(x)).flatten(1), {"a": conv(4, 3)}, None),
    "mean of softmax blocks": (softmax_mean, {"a": conv(4, 4)}, None),
    "blocks of mixed channels": (
        lambda net, x: (blocks(net, x, 4, 20, 2).reshape(len(x), 2, 40, 2) * numbers(40, 1)).relu().amax(2),
        {"a": conv(4, 4)},
        None,
    ),
    "doubled": (doubled, {"a": conv(4, 4)}, 0),
    "truth values": (lambda net, x: (net.a(x) > 0).sum(2).to(x) + (net.a(x) > 0).any(2), {"a": conv(4, 4)}, None),
    "whole numbers": (
        lambda net, x: ((net.a(x) * 4).long() % 3 + (net.b(x) > 0)).sum(2).to(x),
        {"a": conv(4, 4), "b": conv(4, 4)},
        None,
    ),
    "one position beside constants": (
        lambda net, x: torch.cat([torch.relu(net.a(x)), numbers(1, 2, 1).expand(len(x), -1, -1)], 1),
        {"a": nn.Conv1d(4, 3, 40)},
        None,
    ),
    "infinite and shifted": (masked, {"a": conv(4, 4)}, None),
    "logarithm of zero": (lambda net, x: (net.a(x).relu().log() + numbers(4, 1)).amax(2), {"a": conv(4, 4)}, None),
    "group norm": (lambda net, x: net.norm(net.a(x)).amax(2), {"a": conv(4, 6), "norm": nn.GroupNorm(2, 6)}, None),
    "layer norm of all": (lambda net, x: net.n(net.a(x)), {"a": conv(4, 3), "n": nn.LayerNorm([3, 40])}, None),
    "squeeze and excitation": (squeeze_excite, {"a": conv(4, 6), "gate": nn.Linear(6, 6)}, None),
    "circular": (lambda net, x: net.a(x), {"a": nn.Conv1d(4, 3, 5, padding=2, padding_mode="circular")}, None),
    "recurrent": (
        lambda net, x: net.r(functional.max_pool1d(net.a(x), 8).permute(2, 0, 1))[0][-1],
        {"a": conv(4, 6), "r": nn.GRU(6, 4)},
        None,
    ),
    "gated": (lambda net, x: functional.glu(net.a(x), 1).amax(2), {"a": conv(4, 6)}, 0),
    "gated along positions": (lambda net, x: functional.glu(net.a(x)), {"a": conv(4, 6)}, None),
    "square": (square, {"a": conv(4, 20)}, None),
    "linear layer along positions": (lambda net, x: net.b(net.a(x)), {"a": conv(4, 20), "b": nn.Linear(20, 20)}, None),
    "one base": (lambda net, x: torch.relu(net.a(x)).flatten(1), {"a": nn.Conv1d(4, 3, 1)}, None),
}  # fmt: skip
LENGTHS = {"u-net": 43, "square": 20, "linear layer along positions": 20, "one base": 1}


def made(name: str) -> tuple[AllNumbers, Codes, list[torch.Tensor]]:
    function, modules, _ = NETS[name]
    net = Layer(function, **modules).double().eval()
    torch.manual_seed(3)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.5)
    codes = sequence(LENGTHS.get(name, 40), unknown=2 * (name not in LENGTHS))
    return AllNumbers(net), codes, [onehot(codes)]


def all_edits(codes: Codes) -> Edits:
    """Of every kind: substitutions, windows at both ends, the whole sequence, as it is, none."""
    length, drawn = len(codes), np.random.default_rng(1)
    width, at = max(1, length // 5), np.unique([0, length // 2, length - 1])
    starts = np.unique([0, length // 3, length - width])
    return concatenated([
        substitutions(codes, np.arange(length)),
        replacements(starts, drawn.integers(0, 5, (len(starts), width)).astype(np.uint8)),
        replacements(np.array([0]), drawn.integers(0, 5, (1, length)).astype(np.uint8)),
        replacements(np.array([0]), codes[None]),
        deletions(codes, at, 1),
        insertions(codes, at, np.ones((len(at), 2), np.uint8)),
        unchanged(2),
    ])  # fmt: skip


def error_of(evaluator: Any, statistic: Statistic, xs: list[torch.Tensor], edits: Edits) -> float:
    """Largest difference from the whole model, as a share of its largest finite value; equal infinities agree."""
    found = evaluator.values(xs, (), edits)
    wanted = FullEvaluator(statistic, batch=16).values(xs, (), edits)
    scale = float(wanted[1].abs().nan_to_num(0, 0, 0).max())
    pairs = zip(found, wanted, strict=True)
    return max(float(torch.where(a == b, 0.0, (a - b).abs() / scale).nan_to_num(torch.inf).max()) for a, b in pairs)


@pytest.mark.parametrize("name", NETS)
def test_values_of_the_whole_model(name: str) -> None:
    statistic, codes, xs = made(name)
    evaluator = IncrementalEvaluator(statistic, xs)
    assert error_of(evaluator, statistic, xs, all_edits(codes)) <= 1e-10
    in_full = NETS[name][2]
    assert in_full is None or len(evaluator.plan.whole) == in_full, [op_name(node) for node in evaluator.plan.whole]
    assert len(evaluator.values(xs, (), all_edits(codes)[0:0])[1]) == 0


class Strided(nn.Module):
    """Looks at memory, not at values."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = (2 * x).contiguous()
        return y.as_strided((len(x), 4, 18, 5), (160, 40, 2, 1)).amax(-1).flatten(1)


class RowsAsChannels(nn.Module):
    """Puts all rows of a pass next to each other."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(2 * x).reshape(1, -1, x.shape[2]).cumsum(2).reshape(x.shape)


@pytest.mark.parametrize("module", [Strided(), RowsAsChannels()])
def test_what_cannot_be_put_together_is_run_in_full(module: nn.Module) -> None:
    statistic, codes = AllNumbers(module.double()), sequence(40)
    xs = [onehot(codes)]
    with pytest.raises(Untraceable, match="number of rows"):
        IncrementalEvaluator(statistic, xs)
    assert choose(statistic, xs, (), engine="auto", batch=8).engine == "full"


def test_a_sequence_changed_in_place_is_another() -> None:
    statistic, codes, xs = made("both strands")
    evaluator, edits = IncrementalEvaluator(statistic, xs), substitutions(codes, np.arange(3, 6))
    before = evaluator.values(xs, (), edits)[0]
    other = sequence(40, seed=8)
    xs[0].copy_(onehot(other))
    assert error_of(evaluator, statistic, xs, substitutions(other, np.arange(40))) <= 1e-10
    assert not torch.equal(before, evaluator.values(xs, (), edits)[0])
