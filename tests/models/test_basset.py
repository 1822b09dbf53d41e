"""The Basset-like network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from drg_hpc.errors import UsageError
from drg_hpc.models import blocks
from drg_hpc.models.base import ModelShape
from drg_hpc.models.basset import Basset
from drg_hpc.models.config import config_from_json
from drg_hpc.models.config_profile import BassetConfig
from drg_hpc.models.io import load_model, save_model
from drg_hpc.models.operations import macs_per_row
from drg_hpc.models.registry import build, fixed_link

SMALL: dict[str, Any] = {"channels": (5, 4, 3), "hidden": (7, 6)}


def onehot(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    codes = torch.from_numpy(np.random.default_rng(seed).integers(0, 4, (rows, length)))
    return functional.one_hot(codes, 4).permute(0, 2, 1).float()


def make(options: dict[str, Any], length: int, tracks: int = 2) -> Basset:
    torch.manual_seed(5)
    model = build(BassetConfig.model_validate(options), ModelShape.single(length, tracks, link="logit"))
    assert isinstance(model, Basset)
    return model


def test_published_sizes() -> None:
    """600 bases leave 2,000 units for the first dense layer, as in the paper's network."""
    model = make({}, 600, tracks=164)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items() if value.ndim > 1}
    assert shapes == {
        "layers.conv0.weight": (300, 4, 19),
        "layers.conv1.weight": (200, 300, 11),
        "layers.conv2.weight": (200, 200, 7),
        "layers.fc0.weight": (1000, 2000),
        "layers.fc1.weight": (1000, 1000),
        "layers.head.weight": (164, 1000),
    }
    convolutions = 582 * 300 * 4 * 19 + 184 * 200 * 300 * 11 + 40 * 200 * 200 * 7
    assert macs_per_row(model, model.shape) == convolutions + 2000 * 1000 + 1000 * 1000 + 1000 * 164


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("length", [200, 201, 333])
def test_equals_its_layers_one_by_one(padding: str, batch_norm: bool, length: int) -> None:
    model = make(SMALL | {"padding": padding, "batch_norm": batch_norm, "activation": "relu"}, length)
    model.train()
    for _ in range(3):
        model(onehot(16, length))  # batch norms get statistics
    model.eval()
    x = onehot(3, length, seed=2)
    state = {name.removeprefix("layers."): value.double() for name, value in model.state_dict().items()}

    def norm(y: torch.Tensor, name: str) -> torch.Tensor:
        if not batch_norm:
            return y
        column = (slice(None), *[None] * (y.ndim - 2))
        mean, var, weight, bias = (
            state[f"{name}_norm.{kind}"][column] for kind in ("running_mean", "running_var", "weight", "bias")
        )
        return (y - mean) / torch.sqrt(var + 1e-5) * weight + bias

    y = x.double()
    for i, (size, pool) in enumerate([(19, 3), (11, 4), (7, 4)]):
        if padding == "same":
            y = functional.pad(y, (size // 2, size // 2))
        y = torch.einsum("bcnk,ock->bon", y.unfold(2, size, 1), state[f"conv{i}.weight"])
        y = norm(y + state[f"conv{i}.bias"][:, None], f"conv{i}").clamp(min=0)
        y = y.unfold(2, pool, pool).amax(3)
    y = y.reshape(3, -1)
    for i in range(2):
        y = norm(y @ state[f"fc{i}.weight"].T + state[f"fc{i}.bias"], f"fc{i}").clamp(min=0)
    expected = y @ state["head.weight"].T + state["head.bias"]
    torch.testing.assert_close(model(x).double(), expected, rtol=0, atol=1e-5)


def test_round_trip_gradients_and_rows(tmp_path: Path) -> None:
    config = BassetConfig.model_validate(SMALL | {"pools": (3, 1, 4)})
    assert config_from_json(config.model_dump(mode="json"), source="test") == config
    assert fixed_link(config) is None
    model = make(SMALL | {"pools": (3, 1, 4)}, 150).eval()
    x = onehot(4, 150)
    loaded = load_model(save_model(model, tmp_path / "m", config, ["a", "b"]))
    assert torch.equal(loaded(x), model(x))
    assert loaded.link == "logit"
    other = torch.cat([x[:1], onehot(3, 150, seed=9)])
    assert torch.equal(model(x)[0], model(other)[0])
    model.train()
    blocks.set_dropout_keys(model, torch.arange(4))
    model(x).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name


def test_dropout_is_keyed() -> None:
    model = make(SMALL | {"batch_norm": False, "dropout": 0.5}, 200).train()
    x, keys = onehot(4, 200), torch.arange(4) * 977
    blocks.set_dropout_keys(model, keys)
    whole = model(x)
    blocks.set_dropout_keys(model, keys[1:3])
    torch.testing.assert_close(model(x[1:3]), whole[1:3])
    blocks.set_dropout_keys(model, keys[1:3] + 1)
    assert not torch.allclose(model(x[1:3]), whole[1:3])


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"sizes": (19, 11)}, "sizes must have one value"),
        ({"pools": (3,)}, "pools must have one value"),
        ({"padding": "same", "sizes": (19, 11, 6)}, "must be odd"),
        ({"hidden": ()}, "dropout has no meaning"),
        ({"channels": (), "sizes": (), "pools": ()}, "at least 1"),
    ],
)
def test_sizes_that_clash(values: dict[str, Any], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        BassetConfig.model_validate(values)


def test_what_does_not_fit() -> None:
    with pytest.raises(UsageError, match="one value per track, this store has 4 bins"):
        build(BassetConfig(), ModelShape.single(600, 1, bins=4))
    with pytest.raises(UsageError, match="nothing is left of 100 bases after convolution 2"):
        make({}, 100)
    assert make({"hidden": (), "dropout": 0.0}, 600).layers.head.in_features == 2000
