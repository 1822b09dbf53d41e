"""DRG's deep network written out by the formulas of its description, in float64 and without our layers.

Pads, windows and residuals are computed position by position or with plain tensor operations; convolutions by einsum.
"""

from __future__ import annotations

import math

import torch

Tensors = dict[str, torch.Tensor]


def conv(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, dilation: int = 1, stride: int = 1):
    """Zero padding: half of the span on the right, as much or one less on the left."""
    size = weight.shape[-1]
    extent = dilation * (size - 1) + 1
    left, right = extent // 2 - (extent % 2 == 0), extent // 2
    zeros = [x.new_zeros(*x.shape[:2], n) for n in (left, right)]
    padded = torch.cat([zeros[0], x, zeros[1]], dim=-1)
    count = (padded.shape[-1] - extent) // stride + 1
    out = 0
    for tap in range(size):
        first = tap * dilation
        out = out + torch.einsum("oc,bcl->bol", weight[..., tap], padded[..., first : first + stride * count : stride])
    return out if bias is None else out + bias[:, None]


def gelu(x: torch.Tensor) -> torch.Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def norm(x: torch.Tensor, t: Tensors, name: str) -> torch.Tensor:
    shape = (1, -1, *[1] * (x.ndim - 2))
    mean, var, scale, shift = (
        t[f"{name}.{key}"].view(shape) for key in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / torch.sqrt(var + 1e-5) * scale + shift


def pool(x: torch.Tensor, kind: str, size: int, beyond: float | None = None) -> torch.Tensor:
    """Pool one row at a time; ``beyond``: value of positions that are not there (None: they do not count)."""
    length = x.shape[-1]
    pad = math.ceil((size - length % size) / 2) if length % size else 0
    windows = []
    for w in range(math.ceil(length / size)):
        positions = range(w * size - pad, (w + 1) * size - pad)
        real = x[..., [p for p in positions if 0 <= p < length]]
        if kind == "weighted":
            beyond_each = x.amin(dim=(1, 2), keepdim=True).expand(-1, x.shape[1], 1)
            real = torch.cat([real, *[beyond_each] * (size - real.shape[-1])], dim=-1)
            value = (real * torch.softmax(real, dim=-1)).sum(-1)
        elif kind == "mean":
            value = real.mean(-1)
        else:
            value = real.amax(-1)
            if beyond is not None and real.shape[-1] < size:
                value = value.clamp(min=beyond)
        windows.append(value)
    return torch.stack(windows, dim=-1)


def covered_mean(x: torch.Tensor, size: int, stride: int, dilation: int) -> torch.Tensor:
    """Mean over the positions that a strided kernel covers."""
    kernel = torch.eye(x.shape[1], dtype=x.dtype)[..., None].expand(-1, -1, size)
    ones = torch.ones_like(x)
    return conv(x, kernel, None, dilation, stride) / conv(ones, kernel, None, dilation, stride)


def tower(x: torch.Tensor, t: Tensors, stem: str, layers: list[dict], act=gelu) -> torch.Tensor:
    """``layers``: dilation, stride, pool (kind, size) or None, residual or not, batch norm or not."""
    kept, past = x, []
    for i, layer in enumerate(layers):
        h = norm(x, t, f"{stem}.Bnorm{i}") if layer["norm"] else x
        weight = t[f"{stem}.Conv{i}.conv1d.weight"]
        out = conv(act(h), weight, t.get(f"{stem}.Conv{i}.conv1d.bias"), layer["dilation"], layer["stride"])
        if layer["stride"] > 1:
            past.append(("stride", weight.shape[-1], layer))
        x = out
        if layer["residual"]:
            r = kept
            if (key := f"{stem}.ResiduallayerConv{i}.rconv.conv.weight") in t:
                r = conv(r, t[key])
            for kind, size, of in past:
                if kind == "stride":
                    r = covered_mean(r, size, of["stride"], of["dilation"])
                else:
                    r = pool(r, kind, size, beyond=0.0)
            x, kept, past = out + r, out, []
        if layer["pool"]:
            x = pool(x, *layer["pool"])
            past.append((*layer["pool"], layer))
    return x


def fc(x: torch.Tensor, t: Tensors, stem: str, layers: int, act=gelu) -> torch.Tensor:
    if f"{stem}.EmbeddtoFully.weight" in t:
        x = x @ t[f"{stem}.EmbeddtoFully.weight"].T + t[f"{stem}.EmbeddtoFully.bias"]
    for i in range(layers):
        if f"{stem}.Bnorm_fullyconnected{i}.weight" in t:
            x = norm(x, t, f"{stem}.Bnorm_fullyconnected{i}")
        x = act(x @ t[f"{stem}.Fullyconnected{i}.weight"].T + t[f"{stem}.Fullyconnected{i}.bias"])
    return x


def head(x: torch.Tensor, t: Tensors, stem: str) -> torch.Tensor:
    return x @ t[f"{stem}.Linear.weight"].T + t[f"{stem}.Linear.bias"]


def scan(x: torch.Tensor, t: Tensors, stem: str, *, strands: bool, act=gelu) -> torch.Tensor:
    """Kernels on one strand, or the larger of both."""
    weight, bias = t[f"{stem}.weight"], t.get(f"{stem}.bias")
    found = conv(x, weight, bias)
    if strands:
        found = torch.maximum(found, conv(x.flip(1, 2), weight, bias).flip(-1))
    return act(found)
