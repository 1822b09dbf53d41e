"""A bias model inside a dilated residual network: frozen, self-contained, and added as ChromBPNet does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from drg_hpc.config import build as validated
from drg_hpc.errors import CorruptError, InputError, UsageError
from drg_hpc.models.base import ModelShape
from drg_hpc.models.config import DrgCnnConfig, config_from_json
from drg_hpc.models.config_profile import DilatedResidualConfig
from drg_hpc.models.dilated import DilatedResidual, without_bias
from drg_hpc.models.header import read_model_header
from drg_hpc.models.io import load_model, save_model
from drg_hpc.models.operations import macs_per_row
from drg_hpc.models.registry import build

SMALL: dict[str, Any] = {"channels": 3, "stem_size": 5, "layers": 2, "profile_size": 7}
LENGTH = 60


def onehot(rows: int, seed: int = 0) -> torch.Tensor:
    codes = torch.from_numpy(np.random.default_rng(seed).integers(0, 4, (rows, LENGTH)))
    return functional.one_hot(codes, 4).permute(0, 2, 1).float()


def make(options: dict[str, Any], *, tracks: int = 1, bins: int = 20, span: int = 20) -> DilatedResidual:
    torch.manual_seed(3)
    config = DilatedResidualConfig.model_validate(SMALL | options)
    model = build(config, ModelShape.single(LENGTH, tracks, bins=bins, span=span, link="log"))
    assert isinstance(model, DilatedResidual)
    return model


def bias_folder(path: Path, options: dict[str, Any] | None = None, **shape: int) -> Path:
    """A finished bias model whose weights are not those of a seed that the tests use."""
    options = {"layers": 1} | (options or {})
    model = make(options, **shape)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    config = DilatedResidualConfig.model_validate(SMALL | options)
    return save_model(model, path, config, model.tracks)


@pytest.mark.parametrize(("tracks", "theirs"), [(1, 1), (2, 2), (2, 1)])
@pytest.mark.parametrize("counts", ["per-track", "shared"])
@pytest.mark.parametrize(
    ("bins", "span", "bias_bins", "bias_span"), [(20, 20, 30, 30), (5, 20, 15, 0), (20, 20, 20, 20)]
)
def test_effect_is_the_formula(
    tmp_path: Path, tracks: int, theirs: int, counts: str, bins: int, span: int, bias_bins: int, bias_span: int
) -> None:
    """Logits are added, base by base, and totals: log(exp(own) + exp(bias))."""
    folder = bias_folder(tmp_path / "bias", {"counts": counts}, tracks=theirs, bins=bias_bins, span=bias_span)
    model = make({"counts": counts, "bias_model": str(folder)}, tracks=tracks, bins=bins, span=span).eval()
    bias, x = load_model(folder), onehot(3)
    assert isinstance(bias, DilatedResidual)
    own = {name: value.detach().double().numpy() for name, value in model.own_heads(x).items()}
    enzyme = {name: value.detach().double().numpy() for name, value in bias.heads(x).items()}
    width = span // bins
    left = ((LENGTH - span) // 2 - (LENGTH - (bias_span or LENGTH)) // 2) // width
    profile = own["profile"] + enzyme["profile"][..., left : left + bins]
    total = np.log(np.exp(own["counts"]) + np.exp(enzyme["counts"]))
    found = {name: value.detach().numpy() for name, value in model.heads(x).items()}
    np.testing.assert_allclose(found["profile"], profile, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found["counts"], total, rtol=0, atol=1e-6)
    over = (1, 2) if counts == "shared" else 2
    shape = profile - np.log(np.exp(profile).sum(over, keepdims=True))
    np.testing.assert_allclose(model(x).detach().numpy(), shape + total[..., None], rtol=0, atol=2e-6)


@pytest.mark.parametrize("norm", [False, True])
def test_training_leaves_it_bitwise_unchanged(tmp_path: Path, norm: bool) -> None:
    folder = bias_folder(tmp_path / "bias", {"batch_norm": norm})
    model = make({"bias_model": str(folder), "batch_norm": norm}).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    expected = load_model(folder).state_dict()
    frozen = [name for name in before if name.startswith("bias_model.network.")]
    assert [name.removeprefix("bias_model.network.") for name in frozen] == list(expected)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    for step in range(3):
        optimizer.zero_grad()
        model(onehot(8, seed=step)).square().mean().backward()
        optimizer.step()
    for name, value in model.state_dict().items():
        if name in frozen:
            assert torch.equal(value, expected[name.removeprefix("bias_model.network.")]), name
        elif value.is_floating_point():
            assert not torch.equal(value, before[name]), name
    learned = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learned == {name for name, _ in model.named_parameters()} - set(frozen)


def test_gradients_reach_the_sequence_through_it(tmp_path: Path) -> None:
    model = make({"bias_model": str(bias_folder(tmp_path / "bias"))}).eval()
    with torch.no_grad():
        for part in (model.trunk, model.profile, model.counts):
            assert part is not None
            for parameter in part.parameters():
                parameter.zero_()
    x = onehot(1).requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[0, 0, 3], x)
    assert float(gradient.abs().sum()) > 0


def test_model_folder_stands_alone(tmp_path: Path) -> None:
    folder = bias_folder(tmp_path / "bias")
    config = DilatedResidualConfig.model_validate(SMALL | {"bias_model": str(folder)})
    model = make({"bias_model": str(folder)}).eval()
    path = save_model(model, tmp_path / "m", config, ["ATAC"])
    weights = read_model_header(folder)["weights"]["sha256"]
    shutil.rmtree(folder)
    x = onehot(2)
    assert torch.equal(load_model(path)(x), model(x))
    header = read_model_header(path)
    assert header["config"]["bias_model"]["weights"] == weights
    assert str(tmp_path) not in json.dumps(header)
    config = config_from_json(header["config"], source="test")  # type: ignore[assignment]
    assert config.bias_model is not None and config.bias_model.folder is None
    assert config_from_json(config.model_dump(mode="json"), source="test") == config


def test_own_weights_start_as_without_it(tmp_path: Path) -> None:
    folder = bias_folder(tmp_path / "bias")
    plain, model = make({}), make({"bias_model": str(folder)})
    for name, value in plain.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    bias = load_model(folder)
    assert macs_per_row(model, model.shape) == macs_per_row(plain, plain.shape) + macs_per_row(bias, bias.shape)


def test_without_bias_is_the_network_alone(tmp_path: Path) -> None:
    config = DilatedResidualConfig.model_validate(SMALL | {"bias_model": str(bias_folder(tmp_path / "bias"))})
    model = make({"bias_model": str(tmp_path / "bias")}).eval()
    model.tracks = ["ATAC"]
    alone, bare = without_bias(model, config)
    x = onehot(2)
    for name, value in alone.heads(x).items():
        assert torch.equal(value, model.own_heads(x)[name]), name
    assert not torch.allclose(alone(x), model(x))
    assert (bare.bias_model, alone.tracks, alone.training) == (None, ["ATAC"], False)
    assert torch.equal(load_model(save_model(alone, tmp_path / "alone", bare, alone.tracks))(x), alone(x))


def test_a_bias_model_may_have_one(tmp_path: Path) -> None:
    inner = bias_folder(tmp_path / "inner")
    outer = bias_folder(tmp_path / "outer", {"bias_model": str(inner)})
    model = make({"bias_model": str(outer)}).eval()
    config = DilatedResidualConfig.model_validate(SMALL | {"bias_model": str(outer)})
    x = onehot(2)
    assert torch.equal(load_model(save_model(model, tmp_path / "m", config, ["a"]))(x), model(x))
    assert {name for name, p in model.named_parameters() if p.requires_grad} == set(make({}).state_dict())


def test_changed_bias_model_is_noticed(tmp_path: Path) -> None:
    folder = bias_folder(tmp_path / "bias")
    config = DilatedResidualConfig.model_validate(SMALL | {"bias_model": str(folder)})
    shutil.rmtree(folder)
    bias_folder(folder, {"layers": 1, "activation": "gelu", "profile_size": 9})
    with pytest.raises(CorruptError, match=r"has weights .* the config names"):
        build(config, ModelShape.single(LENGTH, 1, bins=20, span=20, link="log"))


@pytest.mark.parametrize(
    ("options", "bias_shape", "shape", "match"),
    [
        ({}, {"bins": 10, "span": 10}, {}, "covers bases 25 to 35, the model 20 to 40"),
        ({}, {"bins": 10, "span": 20}, {}, "has bins of 2 bases, the model of 1"),
        ({}, {"bins": 3, "span": 30}, {"bins": 2, "span": 20}, "begin 5 bases beside"),
        ({}, {"tracks": 2}, {"tracks": 3}, "has 2 tracks, the model 3"),
        ({"counts": "shared"}, {"tracks": 2}, {"tracks": 2}, "has counts = 'shared', the model 'per-track'"),
    ],
)
def test_what_does_not_fit(
    tmp_path: Path, options: dict[str, Any], bias_shape: dict[str, int], shape: dict[str, int], match: str
) -> None:
    folder = bias_folder(tmp_path / "bias", options, **bias_shape)
    with pytest.raises(UsageError, match=match):
        make({"bias_model": str(folder)}, **shape)


def test_other_lengths_and_networks(tmp_path: Path) -> None:
    folder = bias_folder(tmp_path / "bias")
    config = DilatedResidualConfig.model_validate(SMALL | {"bias_model": str(folder)})
    with pytest.raises(UsageError, match="takes 60 bases, the model 80"):
        build(config, ModelShape.single(80, 1, bins=20, span=20, link="log"))
    other = DrgCnnConfig(kernels=2)
    save_model(build(other, ModelShape.single(LENGTH, 1)), tmp_path / "cnn", other, ["a"])
    with pytest.raises(UsageError, match="must be a dilated-residual, this is a drg-cnn"):
        validated(DilatedResidualConfig, {"bias_model": str(tmp_path / "cnn")}, source="test")
    with pytest.raises(InputError, match="no model in"):
        validated(DilatedResidualConfig, {"bias_model": str(tmp_path / "nothing")}, source="test")
    with pytest.raises(ValidationError, match="bias_model has no meaning"):
        DilatedResidualConfig.model_validate({"output": "values", "bias_model": str(folder)})
    values = DilatedResidualConfig.model_validate(SMALL | {"output": "values"})
    shape = ModelShape.single(LENGTH, 1, bins=20, span=20)
    save_model(build(values, shape), tmp_path / "values", values, ["a"])
    with pytest.raises(ValidationError, match='must have output = "log-rate"'):
        DilatedResidualConfig.model_validate({"bias_model": str(tmp_path / "values")})
