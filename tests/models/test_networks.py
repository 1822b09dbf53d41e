"""Shapes, strands, pooling and dropout of the networks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from drg_hpc.errors import UsageError
from drg_hpc.models import blocks
from drg_hpc.models.base import ModelShape
from drg_hpc.models.config import DilatedResidualConfig, DrgCnnConfig
from drg_hpc.models.links import apply_link
from drg_hpc.models.operations import macs_per_row
from drg_hpc.models.registry import build


def onehot(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    codes = torch.from_numpy(np.random.default_rng(seed).integers(0, 4, (rows, length)))
    return functional.one_hot(codes, 4).permute(0, 2, 1).float()


def reverse_complement(x: torch.Tensor) -> torch.Tensor:
    return x.flip(1, 2)


@pytest.mark.parametrize("strands", ["max", "mean", "off"])
@pytest.mark.parametrize("pooling", ["max", "mean", "weighted"])
@pytest.mark.parametrize("length", [50, 57])
def test_cnn_shapes(strands: str, pooling: str, length: int) -> None:
    config = DrgCnnConfig.model_validate(
        {"kernels": 6, "strands": strands, "pooling": pooling, "conv_channels": (5,), "conv_pool_size": 2,
         "conv_pooling": pooling, "hidden": (7, 8), "dropout": 0.1, "pool_size": 7}
    )  # fmt: skip
    assert build(config, ModelShape.single(length, 3))(onehot(2, length)).shape == (2, 3)
    assert build(config, ModelShape.single(length, 3, bins=4))(onehot(2, length)).shape == (2, 3, 4)


@pytest.mark.parametrize("activation", ["gelu", "relu", "exp"])
@pytest.mark.parametrize("kernel_size", [1, 7, 15])
def test_strand_max_mirrors_activations(activation: str, kernel_size: int) -> None:
    torch.manual_seed(1)
    layers = torch.nn.Sequential(
        blocks.StrandScan(8, kernel_size, bias=True), blocks.StrandMax(), blocks.activation(activation)
    ).double()
    x = onehot(3, 41).double()
    torch.testing.assert_close(layers(reverse_complement(x)), layers(x).flip(-1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kernel_size", [6, 7])
def test_strand_scan_is_drgs_definition(kernel_size: int) -> None:
    """Forward scan, and flip(scan(flip(x))) with the same asymmetric padding (spec of DRG's first layer)."""
    torch.manual_seed(2)
    scan = blocks.StrandScan(5, kernel_size, bias=True)
    x = onehot(2, 23)
    pad = (kernel_size // 2 - (kernel_size % 2 == 0), kernel_size // 2)

    def plain(y: torch.Tensor) -> torch.Tensor:
        return functional.conv1d(functional.pad(y, pad), scan.weight, scan.bias)

    found = scan(x)
    torch.testing.assert_close(found[:, 0], plain(x))
    torch.testing.assert_close(found[:, 1], plain(reverse_complement(x)).flip(-1))


@pytest.mark.parametrize(("length", "size"), [(20, 5), (21, 5), (22, 5), (24, 5), (421, 81), (9, 10)])
def test_pooling_lengths_and_values(length: int, size: int) -> None:
    x = torch.randn(2, 3, length)
    for kind in ("max", "mean", "weighted"):
        pool = blocks.pooling(kind, size, length=length, floor=blocks.GELU_MINIMUM)
        assert pool(x).shape == (2, 3, blocks.pooled_length(length, size)), kind
    pad = blocks.pooling_pad(length, size)
    padded = functional.pad(x, (pad, pad), value=blocks.GELU_MINIMUM).numpy().astype(np.float64)
    window = padded[0, 0, :size]
    weights = np.exp(window) / np.exp(window).sum()
    weighted = blocks.pooling("weighted", size, length=length, floor=blocks.GELU_MINIMUM)(x)
    assert weighted[0, 0, 0].item() == pytest.approx(float((window * weights).sum()), rel=1e-5)


def test_gelu_minimum() -> None:
    x = np.linspace(-0.7518, -0.7517, 1001)
    gelu = [v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x]
    assert abs(blocks.GELU_MINIMUM - min(gelu)) < 1e-12


def test_exp_does_not_overflow() -> None:
    assert blocks.activation("exp")(torch.tensor([1e4])).item() == pytest.approx(2.0**32, rel=1e-5)


def test_dilated_heads_and_log_rate() -> None:
    config = DilatedResidualConfig(channels=8, layers=3)
    model = build(config, ModelShape.single(64, 2, bins=16, link="log"))
    x = onehot(3, 64)
    heads = model.heads(x)  # type: ignore[operator]
    assert heads["profile"].shape == (3, 2, 16)
    assert heads["counts"].shape == (3, 2)
    total = apply_link(model(x), "log").sum(-1)
    torch.testing.assert_close(total, heads["counts"].exp())


@pytest.mark.parametrize(("bins", "link"), [(0, "log"), (7, "log"), (16, "identity")])
def test_dilated_refuses_what_does_not_fit(bins: int, link: str) -> None:
    with pytest.raises(UsageError):
        build(DilatedResidualConfig(layers=2), ModelShape.single(64, 1, bins=bins, link=link))  # type: ignore[arg-type]


def test_pool_wider_than_sequence_is_refused() -> None:
    with pytest.raises(UsageError, match="pool_size"):
        build(DrgCnnConfig(pool_size=60), ModelShape.single(50, 1))


def test_operations_are_counted() -> None:
    config = DrgCnnConfig(kernels=3, kernel_size=5, pool_size=10, conv_channels=(4,), conv_size=3, hidden=(6,))
    model = build(config, ModelShape.single(50, 2))
    expected = 2 * 3 * 50 * 4 * 5 + 4 * 5 * 3 * 3 + (4 * 5) * 6 + 6 * 2
    assert macs_per_row(model, model.shape) == expected


def test_keyed_dropout_depends_on_the_key_alone() -> None:
    torch.manual_seed(3)
    model = build(DrgCnnConfig(kernels=4, hidden=(64, 64), dropout=0.5), ModelShape.single(40, 1)).train()
    x = onehot(6, 40)
    keys = torch.arange(6, dtype=torch.int64) * 7919
    blocks.set_dropout_keys(model, keys)
    whole = model(x)
    torch.manual_seed(99)
    blocks.set_dropout_keys(model, keys[2:5])
    torch.testing.assert_close(model(x[2:5]), whole[2:5])
    blocks.set_dropout_keys(model, keys[2:5] + 1)
    assert not torch.allclose(model(x[2:5]), whole[2:5])
    model.eval()
    torch.testing.assert_close(model(x[2:5]), model(x)[2:5])


def test_keyed_dropout_drops_its_share_independently() -> None:
    layer = blocks.KeyedDropout(0.3).train()
    layer.keys = torch.arange(400, dtype=torch.int64)
    dropped = (layer(torch.ones(400, 500)) == 0).double()
    assert dropped.mean().item() == pytest.approx(0.3, abs=0.005)
    assert dropped.mean(0).std().item() == pytest.approx(math.sqrt(0.21 / 400), rel=0.15)
    assert dropped.mean(1).std().item() == pytest.approx(math.sqrt(0.21 / 500), rel=0.15)
