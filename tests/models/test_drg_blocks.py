"""Layers of the DRG family against formulas, or against torch's own layers with the same weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from drg_hpc.errors import UsageError
from drg_hpc.models import blocks_pooling as pools
from drg_hpc.models.blocks import StrandWeighted
from drg_hpc.models.blocks_activations import activation, activation_minimum
from drg_hpc.models.blocks_layout import RepeatChannels, SumChannels, in_order, same_conv, same_length
from drg_hpc.models.config_drg import TrunkTable
from drg_hpc.models.config_drg_tables import AttentionTable, GappedTable, TransformerTable
from drg_hpc.models.drg_long_range import (
    DistanceAttention,
    DotProduct,
    PositionCode,
    gapped_stage,
    transformer_stage,
)
from drg_hpc.models.drg_trunk import Chain, FcStyle, fc_stack, fc_widths

X = np.linspace(-30, 30, 4001)
PHI = np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in X])
FORMULAS = {
    "gelu": X * PHI, "relu": np.maximum(X, 0), "relu-offset": np.maximum(X, 0) + 0.01, "sigmoid": 1 / (1 + np.exp(-X)),
    "tanh": np.tanh(X), "sin": np.sin(X), "identity": X, "clamp": np.clip(X, -2056, 2056),
    "exp": np.exp(np.minimum(X, 32 * np.log(2))), "exp128": np.exp(np.minimum(X, np.log(128))),
    "squared": np.minimum(X, 128**0.5) ** 2, "cubed": np.minimum(X, 128 ** (1 / 3)) ** 3, "clamped-gelu": X * PHI,
    "clamped-relu": np.maximum(X, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_activations(name: str) -> None:
    found = activation(name)(torch.from_numpy(X))
    np.testing.assert_allclose(found.numpy(), FORMULAS[name], rtol=1e-9, atol=1e-12)
    least = activation_minimum(name)
    if least is None:
        assert name in ("identity", "clamp", "cubed")
    else:
        assert FORMULAS[name].min() == pytest.approx(least, abs=2e-5)
        assert (FORMULAS[name] >= least - 1e-12).all()
    large = activation(name)(torch.tensor([1e4, -1e4]))
    assert torch.isfinite(large).all()
    if "clamp" in name:
        assert large[0] == 2056


def test_weighted_strands() -> None:
    x = torch.randn(2, 2, 3, 7, dtype=torch.float64)
    f, r = x[:, 0].numpy(), x[:, 1].numpy()
    share = np.exp(f) / (np.exp(f) + np.exp(r))
    np.testing.assert_allclose(StrandWeighted()(x).numpy(), f * share + r * (1 - share), rtol=1e-12)


@pytest.mark.parametrize(("length", "size"), [(20, 5), (21, 5), (24, 5), (9, 10), (7, 2)])
def test_weighted_pooling_without_a_batch(length: int, size: int) -> None:
    """Of the real positions alone, or with each row's own minimum: rows do not see each other."""
    x = torch.randn(3, 2, length, dtype=torch.float64)
    pad = pools.pooling_pad(length, size)
    for row in range(3):
        for kind, least in (("mask", None), ("batch-minimum", x[row].min())):
            pool = pools.pooling("weighted", size, length=length, floor=None, pad_with=kind)  # type: ignore[arg-type]
            found = pool(x)[row]
            for window in range(pools.pooled_length(length, size)):
                positions = range(window * size - pad, (window + 1) * size - pad)
                real = x[row][:, [p for p in positions if 0 <= p < length]]
                if least is not None:
                    missing = size - real.shape[1]
                    real = torch.cat([real, least.expand(2, missing)], dim=1)
                wanted = (real * torch.softmax(real, dim=1)).sum(1)
                torch.testing.assert_close(found[:, window], wanted, rtol=1e-12, atol=1e-12)


def test_pooling_with_a_minimum_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="no minimum that a weighted pooling of 21 positions in windows of 5"):
        pools.pooling("weighted", 5, length=21, floor=None)
    assert pools.pooling("weighted", 5, length=20, floor=None)(torch.ones(1, 1, 20)).tolist() == [[[1.0] * 4]]


def test_both_poolings_and_steps() -> None:
    x = torch.randn(2, 3, 200)
    both = pools.pooling("max+mean", 10, length=200, floor=None)(x)
    windows = x.reshape(2, 3, 20, 10)
    torch.testing.assert_close(both, torch.cat([windows.mean(-1), windows.amax(-1)], dim=1))
    for length, size, step in [(200, 5, 3), (201, 5, 3), (50, 7, 7), (50, 9, 2)]:
        pool = pools.pooling("max", size, length=length, floor=None, step=step)
        assert pool(torch.randn(1, 1, length)).shape[-1] == pools.pooled_length(length, size, step)


@pytest.mark.parametrize(("size", "stride", "dilation"), [(3, 2, 1), (4, 3, 2), (5, 1, 3), (2, 4, 1)])
def test_mean_past_a_strided_convolution(size: int, stride: int, dilation: int) -> None:
    """The mean is a convolution with equal weights, divided by the share of the kernel that is on the sequence."""
    length = 23
    x = torch.randn(2, 1, length, dtype=torch.float64)
    layers = in_order(same_conv(1, 1, size, dilation=dilation, stride=stride, bias=False)).double()
    layers.conv.weight.data.fill_(1 / size)
    wanted = layers(x) / layers(torch.ones_like(x))
    mean = pools.DilatedMean(size, stride=stride, dilation=dilation, length=length).double()
    torch.testing.assert_close(mean(x), wanted, rtol=1e-12, atol=1e-12)
    assert mean(x).shape[-1] == same_length(length, size, dilation=dilation, stride=stride)
    assert not mean.state_dict()


def test_position_code() -> None:
    code = PositionCode(6, 31)(torch.zeros(2, 6, 31))[1, 6:].numpy()
    for j in (1, 2, 3):
        wave = 31 / (0.8 + 1.2**j)
        for x in (0, 1, 17, 30):
            assert code[j - 1, x] == pytest.approx(math.sin(2 * math.pi * x / wave), abs=1e-5)
            assert code[j + 2, x] == pytest.approx(math.cos(2 * math.pi * x / wave), abs=1e-5)


def test_dot_product_is_torchs() -> None:
    q, k, v = (torch.randn(2, 12, 9, dtype=torch.float64) for _ in range(3))
    found = DotProduct(3, keys=4)(q, k, v)

    def split(x: torch.Tensor) -> torch.Tensor:
        return x.reshape(2, 3, 4, 9).transpose(2, 3)

    wanted = functional.scaled_dot_product_attention(split(q), split(k), split(v))
    torch.testing.assert_close(found, wanted.transpose(2, 3).reshape(2, 12, 9), rtol=1e-10, atol=1e-10)
    assert DotProduct(3, keys=4).macs(found) == 2 * 3 * 4 * 81


@pytest.mark.parametrize("values", [0, 5])
@pytest.mark.parametrize("sums", [False, True])
def test_attention_by_its_formula(values: int, sums: bool) -> None:
    table = AttentionTable(heads=3, key_factor=1.5, value_size=values, sum_heads=sums)
    block = DistanceAttention(table, channels=4, length=11, dropout=0.0, batch_norm=False).double().eval()
    x = torch.randn(2, 4, 11, dtype=torch.float64)
    placed = torch.cat([x, block.position.code.expand(2, -1, -1)], dim=1)
    width = values or 6
    heads = []
    for h in range(3):
        q, k, v = (
            torch.einsum("oc,bcl->bol", layer.weight[h * n : (h + 1) * n, :, 0], placed)
            for layer, n in ((block.queries, 6), (block.keys, 6), (block.values, width))
        )
        weights = torch.softmax(torch.einsum("bci,bcj->bij", q, k) / math.sqrt(6), dim=-1)
        heads.append(torch.einsum("bij,bcj->bci", weights, v))
    seen = torch.stack(heads).sum(0) if sums else torch.cat(heads, dim=1)
    past = x if width == 4 else torch.einsum("oc,bcl->bol", block.project.weight[:, :, 0], x)  # type: ignore[index,union-attr]
    h = functional.layer_norm((torch.einsum("oc,bcl->bol", block.combine.weight[:, :, 0], seen) + past).mT, (width,)).mT
    wide, narrow = (block.feedforward.inner.get_submodule(name).weight[:, :, 0] for name in ("wide", "narrow"))
    fed = torch.einsum("oc,bcl->bol", narrow, functional.gelu(torch.einsum("oc,bcl->bol", wide, h)))
    wanted = functional.layer_norm((h + fed).mT, (width,)).mT
    torch.testing.assert_close(block(x), wanted, rtol=1e-8, atol=1e-10)


def test_attention_needs_pairs_of_channels() -> None:
    with pytest.raises(UsageError, match="even number of channels, 5 come in"):
        DistanceAttention(AttentionTable(), channels=5, length=11, dropout=0.0, batch_norm=False)


@pytest.mark.parametrize("sums", [False, True])
def test_transformer_is_torchs(sums: bool) -> None:
    table = TransformerTable(layers=2, heads=2, width_factor=1.5, sum_heads=sums)
    config = TrunkTable(transformer=table, activation="gelu", attention_dropout=0.3)
    ((_, ours),), width = transformer_stage(config, channels=5)
    assert width == (5 if sums else 10)
    layer = nn.TransformerEncoderLayer(10, 2, dim_feedforward=15, activation="gelu", batch_first=True)
    theirs = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(10), enable_nested_tensor=False)
    state = {}
    names = {
        "attend.inner.attention.split": "self_attn.in_proj_", "attend.inner.attention.combine": "self_attn.out_proj.",
        "attend_norm": "norm1.", "feed.inner.wide": "linear1.", "feed.inner.narrow": "linear2.", "feed_norm": "norm2.",
    }  # fmt: skip
    for name, value in ours.state_dict().items():
        module, _, leaf = name.rpartition(".")
        number, _, rest = module.removeprefix("layer").partition(".")
        there = f"norm.{leaf}" if module == "norm" else f"layers.{number}.{names[rest]}{leaf}"
        drawn = torch.randn_like(value)
        value.copy_(drawn)
        state[there] = drawn.squeeze(-1) if drawn.ndim == 3 else drawn
    theirs.load_state_dict(state)
    x = torch.randn(3, 5, 8)
    wanted = theirs.eval()(torch.cat([x, x], dim=1).transpose(1, 2)).transpose(1, 2)
    if sums:
        wanted = wanted[:, :5] + wanted[:, 5:]
    torch.testing.assert_close(ours.eval()(x), wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(SumChannels(2)(RepeatChannels(2)(x)), 2 * x)
    assert not torch.allclose(ours.train()(x), wanted if sums else ours(x))  # dropout draws anew


@pytest.mark.parametrize(("size", "gap", "stride"), [(2, 3, 1), (3, 0, 1), (1, 4, 2), (3, 1, 3)])
def test_gapped_convolution_is_one_with_zeros_between(size: int, gap: int, stride: int) -> None:
    table = GappedTable(channels=4, size=size, gap=gap, stride=stride)
    config = TrunkTable(gapped=(table,), activation="relu")
    ((_, branches),), channels, length = gapped_stage(config, channels=3, length=17)
    main, past = branches[0][0].halves, branches[0][1]  # type: ignore[index]
    left, right = main[0].conv, main[1].conv
    weight = torch.cat([left.weight, torch.zeros(4, 3, gap), right.weight], dim=2)
    x = torch.randn(2, 3, 17)
    dense = in_order(same_conv(3, 4, 2 * size + gap, stride=stride))
    dense.conv.weight.data, dense.conv.bias.data = weight, left.bias.data  # type: ignore[union-attr]
    torch.testing.assert_close(branches(x), torch.relu(dense(x)) + past(x), rtol=1e-5, atol=1e-6)
    assert branches(x).shape == (2, channels, length)


def test_gapped_convolutions_that_do_not_fit() -> None:
    tables = (GappedTable(channels=2, size=2, gap=1), GappedTable(channels=2, size=2, gap=1, stride=2))
    with pytest.raises(UsageError, match="same stride"):
        gapped_stage(TrunkTable(gapped=tables), channels=3, length=17)
    with pytest.raises(UsageError, match="spans 5 positions, 4 are left"):
        gapped_stage(TrunkTable(gapped=tables[:1]), channels=3, length=4)


@pytest.mark.parametrize(
    ("size", "layers", "widths"),
    [(512, 3, [563, 563, 512]), (16, 3, [17, 17, 16]), (24, 2, [26, 24]), (24, 4, [26, 28, 25, 24]), (9, 1, [9])],
)
def test_widths_of_the_stack(size: int, layers: int, widths: list[int]) -> None:
    assert fc_widths(TrunkTable(fc_layers=layers, fc_size=size), size) == widths


def test_residuals_of_the_stack() -> None:
    chain = Chain(6, 0)
    fc_stack(chain, TrunkTable(hidden=(5, 4, 3), fc_residual=2), FcStyle("tanh", 0.0, batch_norm=False))
    layers = in_order(chain.layers)
    block, last = layers.fc_block0, layers.fc2
    x = torch.randn(2, 6)
    inner = torch.tanh(block[0].fc1(torch.tanh(block[0].fc0(x)))) + x @ block[1].weight.T  # type: ignore[index,union-attr]
    torch.testing.assert_close(layers(x), torch.tanh(last(inner)))  # type: ignore[operator]
    assert block[1].bias is None  # type: ignore[index,union-attr]
