"""Borzoi written down once more, from its description: functions of a state_dict of borzoi-pytorch, in float64."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch.nn import functional as f

State = Mapping[str, torch.Tensor]
EPS = 1e-3


def gelu(x: torch.Tensor) -> torch.Tensor:
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def norm_act_conv(x: torch.Tensor, state: State, name: str, *, conv: bool = True) -> torch.Tensor:
    mean, var = state[f"{name}.norm.running_mean"], state[f"{name}.norm.running_var"]
    weight, bias = state[f"{name}.norm.weight"], state[f"{name}.norm.bias"]
    x = (x - mean[:, None]) / torch.sqrt(var[:, None] + EPS) * weight[:, None] + bias[:, None]
    x = gelu(x)
    return same_conv(x, state, f"{name}.conv_layer") if conv else x


def same_conv(x: torch.Tensor, state: State, name: str) -> torch.Tensor:
    return f.conv1d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=state[f"{name}.weight"].shape[-1] // 2)


def halve(x: torch.Tensor) -> torch.Tensor:
    return torch.maximum(x[..., 0::2], x[..., 1::2])


def layer_norm(x: torch.Tensor, state: State, name: str) -> torch.Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return (
        centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + EPS) * state[f"{name}.weight"]
        + state[f"{name}.bias"]
    )


def distance_features(d: int, count: int, mask_tokens: int) -> torch.Tensor:
    half = count // 2
    rho = math.exp(math.log(mask_tokens + 1) / half)
    masks = [1.0 if rho**i - 1 > abs(d) else 0.0 for i in range(1, half + 1)]
    sign = (d > 0) - (d < 0)
    return torch.tensor(masks + [sign * m for m in masks], dtype=torch.float64)


def attention(x: torch.Tensor, state: State, name: str, *, heads: int, mask_tokens: int) -> torch.Tensor:
    """(tokens, channels) of one row; every pair of tokens on its own."""
    tokens = len(x)
    q, k, v = (x @ state[f"{name}.to_{part}.weight"].T for part in "qkv")
    key, value = q.shape[1] // heads, v.shape[1] // heads
    u, w = state[f"{name}.rel_content_bias"], state[f"{name}.rel_pos_bias"]
    rel = state[f"{name}.to_rel_k.weight"]
    outs = []
    for h in range(heads):
        keys, values = slice(h * key, (h + 1) * key), slice(h * value, (h + 1) * value)
        logits = torch.zeros(tokens, tokens, dtype=torch.float64)
        for i in range(tokens):
            query = q[i, keys] * key**-0.5
            for j in range(tokens):
                r = rel[keys] @ distance_features(j - i, rel.shape[1], mask_tokens)
                logits[i, j] = (query + u[0, h, 0]) @ k[j, keys] + (query + w[0, h, 0]) @ r
        outs.append(torch.softmax(logits, dim=1) @ v[:, values])
    return torch.cat(outs, dim=1) @ state[f"{name}.to_out.weight"].T + state[f"{name}.to_out.bias"]


def transformer(x: torch.Tensor, state: State, block: int, *, heads: int, mask_tokens: int) -> torch.Tensor:
    first, second = f"transformer.{block}.0.fn", f"transformer.{block}.1.fn"
    x = x + attention(layer_norm(x, state, f"{first}.0"), state, f"{first}.1", heads=heads, mask_tokens=mask_tokens)
    y = layer_norm(x, state, f"{second}.0") @ state[f"{second}.1.weight"].T + state[f"{second}.1.bias"]
    return x + torch.relu(y) @ state[f"{second}.4.weight"].T + state[f"{second}.4.bias"]


def forward(
    state: State, x: torch.Tensor, *, tower: int, depth: int, heads: int, unet: int, mask_tokens: int, crop: int,
    upsample_conv: bool = True, final: bool = True, head: str = "human",
) -> torch.Tensor:  # fmt: skip
    """(batch, 4, length) -> (batch, tracks, bins) before the softplus."""
    x = halve(same_conv(x, state, "conv_dna.conv_layer"))
    plain, skips = tower - max(0, unet - 1), []
    for i in range(tower):
        x = norm_act_conv(x, state, f"res_tower.{2 * i}" if i < plain else f"unet{i - plain + 1}.1")
        skips.append(x)
        x = halve(x)
    rows = []
    for row in x.transpose(1, 2):
        for block in range(depth):
            row = transformer(row, state, block, heads=heads, mask_tokens=mask_tokens)
        rows.append(row)
    x = torch.stack(rows).transpose(1, 2)
    for number in reversed(range(unet)):
        up = norm_act_conv(x, state, f"upsampling_unet{number}.0", conv=upsample_conv)
        up = torch.stack([up, up], dim=-1).flatten(-2)
        x = up + norm_act_conv(skips.pop(), state, f"horizontal_conv{number}")
        depthwise = state[f"separable{number}.conv_layer.0.weight"]
        x = f.conv1d(x, depthwise, padding=depthwise.shape[-1] // 2, groups=len(depthwise))
        x = same_conv(x, state, f"separable{number}.conv_layer.1")
    x = x[..., crop : x.shape[-1] - crop]
    if final:
        x = norm_act_conv(x, state, "final_joined_convs.0")
    return same_conv(gelu(x), state, f"{head}_head")
