"""Every architecture of the registry: attributions of pairs sum to the difference, per track and over all inputs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attribution.deeplift_checks import incompleteness
from models.test_drg_networks import OPTIONS, config_of

from drg_hpc.attribution.targets import TrackStatistic
from drg_hpc.models.base import HeadShape, ModelShape, SequenceModel
from drg_hpc.models.compute import Scale
from drg_hpc.models.config import AnyConfig, BassetConfig, BorzoiConfig, DilatedResidualConfig, MultiInputConfig
from drg_hpc.models.registry import build

TWO_INPUTS = ModelShape({"dna": 60, "rna": 47}, (HeadShape("main", 3),))
COMBINATIONS = (
    "neural", "direct", "difference", "exp-difference", "fraction", "log-direct", "log-exp-difference", "log-fraction"
)  # fmt: skip
DILATED: dict[str, tuple[dict[str, Any], str]] = {
    "log rates": ({}, "log"),
    "shared counts": ({"counts": "shared", "padding": "valid"}, "log"),
    "batch norm": ({"batch_norm": True, "residual": "activation-conv", "activation": "gelu"}, "log"),
    "values": ({"output": "values"}, "identity"),
    "softplus": ({"output": "values"}, "softplus"),
    "logits": ({"output": "values"}, "logit"),
}


def random_model(config: AnyConfig, shape: ModelShape, dtype: torch.dtype = torch.float64) -> SequenceModel:
    """In eval mode; random too where new models have zeros and ones."""
    torch.manual_seed(5)
    model = build(config, shape).to(dtype).eval()
    for name, parameter in [*model.named_parameters(), *model.named_buffers()]:
        if name.endswith("running_var"):
            torch.nn.init.uniform_(parameter, 0.5, 2.0)
        elif name.endswith(("running_mean", "to_out.weight")):
            torch.nn.init.normal_(parameter)
    return model


def combining(combine: str) -> MultiInputConfig:
    """A network of two inputs, or of one where the combination takes one."""
    inputs = ["dna"] if combine.endswith("direct") else ["dna", "rna"]
    table = {
        "trunk": {"kernels": 6, "pool_size": 4, "hidden": (8,)},
        "heads": {"main": {"combine": combine, "inputs": inputs}},
        "value_activation": "tanh" if combine.endswith("direct") else "relu-offset",
    }
    return MultiInputConfig.model_validate(table)


def check(config: AnyConfig, shape: ModelShape, *, scale: Scale = "link", rows: int = 2, copies: int = 3) -> None:
    model = random_model(config, shape)
    statistic = TrackStatistic(model, range(shape.n_tracks), scale)
    assert incompleteness(statistic, list(shape.inputs.values()), rows=rows, copies=copies) <= 1e-9


@pytest.mark.parametrize("name", OPTIONS)
def test_drg_cnn(name: str) -> None:
    check(config_of(**OPTIONS[name]), ModelShape.single(67, 3))


@pytest.mark.parametrize("combine", COMBINATIONS)
def test_two_inputs(combine: str) -> None:
    check(combining(combine), TWO_INPUTS)


@pytest.mark.parametrize("scale", ["link", "output"])
@pytest.mark.parametrize("name", DILATED)
def test_dilated_residual(name: str, scale: Scale) -> None:
    options, link = DILATED[name]
    config = DilatedResidualConfig.model_validate({"channels": 6, "layers": 2, "profile_size": 5, **options})
    check(config, ModelShape.single(80, 2, bins=5, link=link, span=40), scale=scale)  # type: ignore[arg-type]


@pytest.mark.parametrize("batch_norm", [False, True])
def test_basset(batch_norm: bool) -> None:
    config = BassetConfig(channels=(8, 6, 6), hidden=(20, 20), batch_norm=batch_norm)
    check(config, ModelShape.single(300, 3, link="logit"), scale="output")


@pytest.mark.parametrize("rows", [1, 2])
def test_borzoi(rows: int) -> None:
    config = BorzoiConfig(stem_channels=8, tower_channels=(8, 12, 16), depth=2, heads=2, key_size=4, unet=1,
                          position_features=4, final_channels=10)  # fmt: skip
    check(config, ModelShape.single(256, 3, bins=16, link="softplus", span=128), rows=rows)
