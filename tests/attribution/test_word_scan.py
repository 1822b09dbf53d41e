"""The first convolution by words: what the network's own layers give, and which networks are left as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from drg_hpc.attribution.word_scan import scanned_by_words, word_tables
from drg_hpc.genome.onehot import codes_to_onehot
from drg_hpc.models.base import ModelShape
from drg_hpc.models.cnn import DrgCnn
from drg_hpc.models.config import DrgCnnConfig
from drg_hpc.models.registry import build

LENGTH = 50


def network(**config: Any) -> nn.Module:
    plain: dict[str, Any] = {
        "kernels": 6, "kernel_size": 7, "kernel_activation": "relu", "strands": "off", "pool_size": 5, "hidden": (8,),
    }  # fmt: skip
    torch.manual_seed(0)
    return build(DrgCnnConfig(**plain | config), ModelShape.single(LENGTH, 2)).eval()


def sequences(rows: int) -> torch.Tensor:
    """One-hot, some bases unknown."""
    codes = np.random.default_rng(0).integers(0, 5, (rows, LENGTH)).astype(np.uint8)
    return torch.from_numpy(np.ascontiguousarray(codes_to_onehot(codes).transpose(0, 2, 1), np.float32))


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"kernel_size": 12, "pool_size": 20},  # a kernel of even width, positions left over
        {"kernel_size": 3, "kernel_bias": False},  # less than a word
        {"kernel_size": 19, "pool_size": 7, "pool_step": 3},  # windows that overlap, and reach beyond the ends
        {"kernels": 300, "kernel_size": 25},  # words of three letters
    ],
)
def test_gives_what_the_network_gives(config: dict[str, Any]) -> None:
    module, x = network(**config), sequences(9)
    found = scanned_by_words(module)
    scan = dict(found.layers.named_children())["words"]  # type: ignore[union-attr]
    with torch.no_grad():
        torch.testing.assert_close(found(x), module(x), rtol=0, atol=2e-6)
        assert torch.equal(scan(x[3:5]), scan(x)[3:5])


def test_without_relu_negative_maxima_stay() -> None:
    module, x = network(), sequences(9)
    module.layers = nn.Sequential(*(layer for layer in module.layers if type(layer) is not nn.ReLU))  # type: ignore
    module.layers[0].bias.data -= 5  # type: ignore[index, union-attr, operator]
    found = scanned_by_words(module)
    with torch.no_grad():
        assert float(found.layers[0](x).max()) < 0  # type: ignore[index, operator]
        torch.testing.assert_close(found(x), module(x), rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    "config",
    [
        {"kernel_activation": "gelu"},  # the largest value of a window is not that of its largest sum
        {"strands": "max"},
        {"pooling": "mean"},
        {"pool_size": 1},
        {"pad": 3},  # columns of 0.25
        {"kernels": 4000},  # tables larger than the caches
    ],
)
def test_other_networks_are_left_as_they_are(config: dict[str, Any]) -> None:
    module = network(**config)
    assert scanned_by_words(module) is module


def test_numbers_that_a_table_would_lose_are_left() -> None:
    module = network().double()
    assert scanned_by_words(module) is module
    module = network()
    module.layers[0].weight.data[0, 0, 0] = torch.inf  # type: ignore[index, union-attr, operator]
    assert scanned_by_words(module) is module
    for value in (torch.nan, torch.inf):
        module = network()
        module.layers[0].bias.data[0] = value  # type: ignore[index, union-attr, operator]
        assert scanned_by_words(module) is module
    other = nn.Conv1d(4, 2, 3)
    assert scanned_by_words(other) is other


@pytest.mark.parametrize("layer", [0, 1, 2, None])
def test_hooks_are_still_called(layer: int | None) -> None:
    module = network()
    hooked: Any = module.layers if layer is None else module.layers[layer]  # type: ignore[index]
    taken = hooked.register_forward_hook(lambda part, given, found: found * 2)
    assert scanned_by_words(module) is module
    taken.remove()
    assert scanned_by_words(module) is not module
    hooked.register_forward_pre_hook(lambda part, given: None)
    assert scanned_by_words(module) is module


def test_many_threads_are_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    module = network()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 9)
    assert scanned_by_words(module) is module


def test_a_network_of_another_class_is_left() -> None:
    class Doubled(DrgCnn):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    module = network()
    module.__class__ = Doubled
    assert scanned_by_words(module) is module


def test_a_table_is_the_sum_over_a_word() -> None:
    weight = np.random.default_rng(0).normal(size=(2, 4, 5)).astype(np.float32)
    tables = word_tables(weight, np.array([1, -1], np.float32), 3)
    assert tables.shape == (2, 125, 2)
    cat = 1 * 25 + 0 * 5 + 3
    np.testing.assert_allclose(tables[0, cat], weight[:, 1, 0] + weight[:, 0, 1] + weight[:, 3, 2] + [1, -1], rtol=1e-6)
    np.testing.assert_allclose(tables[1, cat], weight[:, 1, 3] + weight[:, 0, 4], rtol=1e-6)  # the third lies beyond
    np.testing.assert_allclose(tables[1, 4 * 25 + 4 * 5 + 2], [0, 0])
