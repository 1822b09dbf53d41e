"""Weights of attention layers against an independent computation, and the order of axes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from drg_hpc.attribution.attention import attention_block, attention_layers
from drg_hpc.errors import InputError, UsageError
from drg_hpc.models.base import ModelShape, SequenceModel
from drg_hpc.models.blocks import AttentionWeights
from drg_hpc.models.config import config_from_json
from drg_hpc.models.operations import describe_operations
from drg_hpc.models.registry import build

LENGTH = 48


def network(**table: object) -> SequenceModel:
    values = {"architecture": "drg-cnn", "kernels": 8, "kernel_size": 5, "pool_size": 4, "pooling": "max"} | table
    torch.manual_seed(0)
    return build(config_from_json(values, source="test"), ModelShape.single(LENGTH, 2)).eval()


def sequences(n: int) -> np.ndarray:
    codes = np.random.default_rng(0).integers(0, 4, (n, LENGTH))
    return np.eye(4, dtype=np.float32)[codes].transpose(0, 2, 1).copy()


def test_weights_of_a_transformer_layer_by_hand() -> None:
    module = network(transformer={"layers": 1, "heads": 2})
    (name,) = attention_layers(module)
    attend = module.get_submodule(name.rsplit(".", 2)[0])
    seen: list[torch.Tensor] = []
    handle = attend.split.register_forward_hook(lambda _m, _i, out: seen.append(out))  # type: ignore[union-attr]
    x = sequences(3)
    found = attention_block(module, [x], layers=[name], batch=4)
    handle.remove()
    q, k, _ = (part[:3].detach().numpy().reshape(3, 2, -1, part.shape[-1]) for part in seen[0].chunk(3, dim=1))
    logits = np.einsum("nhci,nhcj->nhij", q, k) / math.sqrt(q.shape[2])  # query, then key
    expected = np.exp(logits - logits.max(-1, keepdims=True))
    expected /= expected.sum(-1, keepdims=True)
    assert found.shape == (3, 1, 2, LENGTH // 4, LENGTH // 4)
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-6)
    assert not np.allclose(found[:, 0], found[:, 0].swapaxes(-1, -2))


def test_layers_are_those_that_the_header_describes_and_batches_do_not_matter() -> None:
    module = network(transformer={"layers": 3, "heads": 2})
    described = describe_operations(module, module.shape)["attention"]
    assert [entry["name"] for entry in described] == attention_layers(module)
    assert {(entry["heads"], entry["queries"], entry["keys"]) for entry in described} == {(2, 12, 12)}
    x = sequences(5)
    whole = attention_block(module, [x], layers=attention_layers(module))
    np.testing.assert_allclose(whole.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(attention_block(module, [x], layers=attention_layers(module), batch=2), whole, atol=1e-6)
    second = attention_block(module, [x], layers=attention_layers(module)[1:2])
    np.testing.assert_array_equal(second[:, 0], whole[:, 1])


def test_borzoi_has_its_layers_too() -> None:
    values = {"architecture": "borzoi", "stem_channels": 8, "tower_channels": [8, 16], "depth": 2, "heads": 2,
              "key_size": 4, "position_features": 4, "final_channels": 16}  # fmt: skip
    module = build(config_from_json(values, source="test"), ModelShape.single(64, 3, bins=4)).eval()
    x = np.eye(4, dtype=np.float32)[np.random.default_rng(0).integers(0, 4, (2, 64))].transpose(0, 2, 1)
    found = attention_block(module, [x], layers=attention_layers(module))
    assert found.shape == (2, 2, 2, 8, 8)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)


def test_what_cannot_be_read_is_said() -> None:
    with pytest.raises(InputError, match="no attention layers"):
        attention_layers(nn.Linear(2, 2))

    class Uneven(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = AttentionWeights(), AttentionWeights()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.first(x[:, None])
            self.second(x[:, None, :, :3])
            return x.sum((1, 2))[:, None]

    with pytest.raises(UsageError, match=r"differ in shape: first \(1, 4, 48\), second \(1, 4, 3\)"):
        attention_block(Uneven(), [sequences(1)], layers=["first", "second"])
