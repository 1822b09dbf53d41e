"""Random networks of one sequence, from numbers that hypothesis draws: every kind of layer the engine knows, and some
that it does not."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

MINIMUM = 6
"""Positions that a layer must leave."""


class Layer(nn.Module):
    """``(batch, channels, length)`` in and out."""

    def __init__(self, call: Any, **modules: nn.Module) -> None:
        super().__init__()
        self.call = call
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.call(self, x)
        return out


def _weighted(_: Layer, x: torch.Tensor) -> torch.Tensor:
    size = 4
    padded = functional.pad(x, (1, 2), value=-0.5)
    windows = padded[..., : padded.shape[-1] // size * size].reshape(*x.shape[:2], -1, size)
    return (windows * torch.softmax(windows, -1)).sum(-1)


def _both_strands(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    return torch.maximum(layer.conv(x), layer.conv(x.flip(1, 2)).flip(2))


def _concatenated(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    return torch.cat([layer.wide(x), x, layer.narrow(x)], dim=1)


def _strided(_: Layer, x: torch.Tensor) -> torch.Tensor:
    return x[..., 1::2] - 0.5 * x[..., : x.shape[-1] // 2 * 2 : 2]


def _channel_norm(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    return layer.norm(x.transpose(1, 2)).transpose(1, 2)


def _gated(_: Layer, x: torch.Tensor) -> torch.Tensor:
    return functional.glu(x.repeat(1, 2, 1) * torch.linspace(0.5, 1.5, 2 * x.shape[1]).to(x)[:, None], dim=1)


def _placed(_: Layer, x: torch.Tensor) -> torch.Tensor:
    return x * torch.linspace(0.5, 2.0, x.shape[-1]).to(x) + torch.arange(x.shape[-1]).to(x).cos()


def _attended(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    weights = torch.softmax(layer.key(x).transpose(1, 2) @ layer.query(x), dim=-1)
    return x + layer.value(x) @ weights


@st.composite
def layers(draw: st.DrawFn, channels: int, length: int) -> tuple[Layer, int]:
    """A layer for ``channels`` and ``length``, and the channels that come out."""
    kind = draw(st.sampled_from((
        "conv", "conv", "conv", "residual", "transposed", "grouped", "max", "mean", "weighted", "strands", "norm",
        "channel norm", "activation", "concatenated", "strided", "crop", "gated", "placed", "attention",
    )))  # fmt: skip
    size = draw(st.integers(1, 5))
    out = draw(st.integers(1, 7))
    if kind == "conv":
        conv = nn.Conv1d(channels, out, size, stride=draw(st.integers(1, 3)), padding=draw(st.integers(0, size)),
                         dilation=draw(st.integers(1, 3)), bias=draw(st.booleans()))  # fmt: skip
        parts = [conv, nn.BatchNorm1d(out), nn.ReLU()][: draw(st.integers(1, 3))]
        if draw(st.booleans()):
            parts = [part for part in parts if not isinstance(part, nn.BatchNorm1d)]
        return Layer(lambda layer, x: layer.chain(x), chain=nn.Sequential(*parts)), out
    if kind == "residual":
        dilation = draw(st.integers(1, 4))
        conv = nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)
        return Layer(lambda layer, x: x + functional.gelu(layer.conv(x)), conv=conv), channels
    if kind == "transposed":
        step = draw(st.integers(1, 3))
        return Layer(lambda layer, x: layer.conv(x), conv=nn.ConvTranspose1d(channels, out, size, stride=step)), out
    if kind == "grouped":
        return Layer(lambda layer, x: layer.conv(x), conv=nn.Conv1d(channels, 2 * channels, 3, groups=channels)), (
            2 * channels
        )
    if kind in ("max", "mean"):
        size = max(2, size)
        pool = nn.MaxPool1d if kind == "max" else nn.AvgPool1d
        made = pool(size, stride=draw(st.integers(1, size)), padding=draw(st.integers(0, size // 2)),
                    ceil_mode=draw(st.booleans()))  # fmt: skip
        return Layer(lambda layer, x: layer.pool(x), pool=made), channels
    if kind == "strands":
        conv = nn.Conv1d(channels, out, size | 1, padding=size // 2)
        return Layer(_both_strands, conv=conv), out
    if kind == "norm":
        return Layer(lambda layer, x: layer.norm(x), norm=nn.BatchNorm1d(channels)), channels
    if kind == "channel norm":
        return Layer(_channel_norm, norm=nn.LayerNorm(channels)), channels
    if kind == "activation":
        made = draw(st.sampled_from((nn.GELU, nn.SiLU, nn.Tanh, nn.Softplus, nn.ELU, nn.Hardtanh)))()
        return Layer(lambda layer, x: layer.made(x), made=made), channels
    if kind == "concatenated":
        wide = nn.Conv1d(channels, out, 5, padding=2)
        return Layer(_concatenated, wide=wide, narrow=nn.Conv1d(channels, 2, 1)), out + channels + 2
    if kind == "crop":
        left, right = draw(st.integers(0, 3)), draw(st.integers(0, 3))
        return Layer(lambda _, x: x[..., left : x.shape[-1] - right]), channels
    if kind == "attention":
        convs = {name: nn.Conv1d(channels, 3, 1) for name in ("key", "query")}
        return Layer(_attended, **convs, value=nn.Conv1d(channels, channels, 1)), channels
    plain = {"weighted": _weighted, "strided": _strided, "gated": _gated, "placed": _placed}[kind]
    return Layer(plain), channels


class Net(nn.Module):
    """Layers, and an end that gives 3 values."""

    def __init__(self, body: nn.Sequential, end: str, channels: int, length: int) -> None:
        super().__init__()
        self.body, self.end = body, end
        self.head = nn.Linear(channels * (length if end == "flat" else 1), 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.body(x)
        if self.end == "flat":
            x = x.flatten(1)
        elif self.end == "mean":
            x = x.mean(-1)
        elif self.end == "max":
            x = x.amax(-1)
        elif self.end == "adaptive":
            x = functional.adaptive_max_pool1d(x, 1).flatten(1)
        else:
            x = torch.logsumexp(x, dim=-1)
        out: torch.Tensor = self.head(x)
        return out


@st.composite
def nets(draw: st.DrawFn) -> tuple[nn.Module, int]:
    """A network in eval mode with random weights in double precision, and its sequences' length."""
    length = draw(st.integers(24, 57))
    torch.manual_seed(draw(st.integers(0, 1000)))
    body, channels = nn.Sequential(), 4
    x = torch.zeros(1, 4, length)
    for _ in range(draw(st.integers(1, 6))):
        layer, out = draw(layers(channels, x.shape[-1]))
        try:
            with torch.no_grad():
                found = layer.eval()(x)
        except RuntimeError:
            continue  # too short for it
        if found.shape[-1] < MINIMUM or found.shape[-1] > 200:
            continue
        body.append(layer)
        x, channels = found, out
    end = draw(st.sampled_from(("flat", "mean", "max", "adaptive", "logsumexp")))
    net = Net(body, end, channels, x.shape[-1]).double().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.normal_(module.running_mean)
            nn.init.normal_(module.weight)
    return net, length
