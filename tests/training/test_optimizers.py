"""Optimizers against update rules in NumPy, learning rates by layer, frozen parameters, resumption."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from drg_hpc.errors import UsageError
from drg_hpc.models.base import ModelShape, SequenceModel
from drg_hpc.models.config import DrgCnnConfig
from drg_hpc.models.registry import build
from drg_hpc.training.checkpoints import pack_optimizer, unpack_optimizer
from drg_hpc.training.config_optim import OptimTable
from drg_hpc.training.optimizers import make_optimizer

NAMES = ("sgd", "nag", "adagrad", "adadelta", "adam", "nadam", "adamw", "amsgrad")
STEPS, RATE = 6, 0.05


class Quadratic(SequenceModel):
    """Its gradient is set by the tests; an odd number of weights."""

    def __init__(self) -> None:
        super().__init__(ModelShape.single(5, 1))
        self.layer = nn.Linear(7, 1, bias=False)


def table(**values: Any) -> OptimTable:
    return OptimTable.model_validate({"lr": RATE, **values})


def by_rule(name: str, start: np.ndarray, gradients: np.ndarray, options: OptimTable) -> np.ndarray:
    """The weights after all steps, by the published rules (with PyTorch's epsilons)."""
    w, decay = start.copy(), options.weight_decay or 0.0
    first, second, most = (np.zeros_like(w) for _ in range(3))
    b1, b2 = options.betas or (0.0, 0.0)
    mu = 1.0
    for t, g in enumerate(gradients, start=1):
        if name in ("adamw", "amsgrad"):
            w = w * (1 - RATE * decay)
        else:
            g = g + decay * w
        if name in ("sgd", "nag"):
            first = g if t == 1 else options.momentum * first + g
            w = w - RATE * (g + options.momentum * first if name == "nag" else first)
        elif name == "adagrad":
            second += g * g
            w = w - RATE * g / (np.sqrt(second) + 1e-10)
        elif name == "adadelta":
            second = options.rho * second + (1 - options.rho) * g * g
            move = np.sqrt(first + 1e-6) / np.sqrt(second + 1e-6) * g
            first = options.rho * first + (1 - options.rho) * move**2
            w = w - RATE * move
        else:
            first, second = b1 * first + (1 - b1) * g, b2 * second + (1 - b2) * g * g
            most = np.maximum(most, second)
            root = np.sqrt((most if name == "amsgrad" else second) / (1 - b2**t)) + 1e-8
            if name == "nadam":
                now, then = (b1 * (1 - 0.5 * 0.96 ** (k * 0.004)) for k in (t, t + 1))
                mu *= now
                w = w - RATE * ((1 - now) / (1 - mu) * g + then / (1 - mu * then) * first) / root
            else:
                w = w - RATE * first / (1 - b1**t) / root
    return w


def run(model: Quadratic, optimizer: torch.optim.Optimizer, gradients: np.ndarray) -> None:
    for gradient in gradients:
        model.layer.weight.grad = torch.tensor(gradient, dtype=model.layer.weight.dtype)
        for group in optimizer.param_groups:
            group["lr"] = RATE * group["lr_scale"]
        optimizer.step()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("changed", [False, True])
def test_steps_follow_the_rule(name: str, changed: bool) -> None:
    plain = table(name=name)
    more: dict[str, Any] = {"weight_decay": 0.1}
    more |= {"momentum": 0.5} if plain.momentum is not None else {}
    more |= {"betas": (0.8, 0.95)} if plain.betas else {}
    more |= {"rho": 0.8} if plain.rho is not None else {}
    options = table(name=name, **more) if changed else plain
    torch.manual_seed(1)
    model = Quadratic().double()
    start = model.layer.weight.detach().numpy().copy()
    gradients = np.random.default_rng(2).normal(size=(STEPS, 1, 7))
    run(model, make_optimizer(model, options), gradients)
    found = model.layer.weight.detach().numpy()
    # PyTorch keeps nadam's product of momenta in float32
    np.testing.assert_allclose(found, by_rule(name, start, gradients, options), rtol=1e-6 if name == "nadam" else 1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_resumed_is_bitwise(name: str) -> None:
    gradients = np.random.default_rng(3).normal(size=(STEPS, 1, 7))
    weights = []
    for cut in (None, 3):
        torch.manual_seed(1)
        model = Quadratic()
        optimizer = make_optimizer(model, table(name=name))
        run(model, optimizer, gradients[:cut])
        if cut is not None:
            tensors, plain = pack_optimizer(optimizer)
            optimizer = make_optimizer(model, table(name=name))
            unpack_optimizer(optimizer, tensors, json.loads(json.dumps(plain)))
            run(model, optimizer, gradients[cut:])
        weights.append(model.layer.weight.detach().clone())
    assert torch.equal(*weights)


def test_defaults_are_drg_s_and_unused_options_are_refused() -> None:
    assert table(name="sgd").momentum == 0
    assert table(name="nag").momentum == 0.7
    assert table(name="adadelta").rho == 0.9
    assert [table(name=name).weight_decay for name in ("adam", "adamw", "amsgrad")] == [0, 0.01, 0.01]
    assert table(name="nadam").betas == (0.9, 0.999)
    for values, message in (
        ({"name": "adam", "momentum": 0.9}, r"optim\.momentum = 0\.9 has no use with optim\.name = 'adam'"),
        ({"name": "sgd", "betas": (0.9, 0.99)}, "betas"),
        ({"name": "adagrad", "rho": 0.9}, "rho"),
        ({"name": "nag", "momentum": 0.0}, "above 0"),
        ({"kernel_lr_reach": "gradual"}, r"has no use with no optim\.kernel_lr"),
        ({"kernel_lr": 0.0, "kernel_lr_reach": "log-gradual"}, "above 0"),
    ):
        with pytest.raises(ValidationError, match=message):
            table(**values)
    options = table(name="nag", schedule="plateau", warmup_epochs=2, finetune_rounds=1, kernel_lr=1e-4)
    assert OptimTable.model_validate(json.loads(json.dumps(options.model_dump(mode="json")))) == options


def small_cnn() -> SequenceModel:
    config = DrgCnnConfig(kernels=4, kernel_size=5, pool_size=5, conv_channels=(3,), conv_size=3, hidden=(6,))
    return build(config, ModelShape.single(20, 2))


def scales(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {names[p]: group["lr_scale"] for group in optimizer.param_groups for p in group["params"]}


def test_learning_rates_by_layer() -> None:
    """The second convolution has four channels too: only the first sees the sequence."""
    model = small_cnn()
    layers = ["layers.scan", "layers.conv0", "layers.fc0", "layers.head"]

    def of(**values: Any) -> list[float]:
        found = scales(model, make_optimizer(model, table(**values)))
        assert len(found) == len(list(model.parameters()))
        assert all(found[f"{layer}.weight"] == found[f"{layer}.bias"] for layer in layers)
        return [found[f"{layer}.weight"] for layer in layers]

    assert of() == [1, 1, 1, 1]
    assert of(kernel_lr=RATE / 8) == [0.125, 1, 1, 1]
    assert of(kernel_lr=0.0) == [0, 1, 1, 1]
    assert of(kernel_lr=RATE / 4, kernel_lr_reach="gradual") == pytest.approx([0.25, 0.5, 0.75, 1])
    assert of(kernel_lr=RATE / 8, kernel_lr_reach="log-gradual") == pytest.approx([0.125, 0.25, 0.5, 1])
    with pytest.raises(UsageError, match="no convolution"):
        make_optimizer(Dense(), table(kernel_lr=0.1))


class Dense(SequenceModel):
    def __init__(self) -> None:
        super().__init__(ModelShape.single(5, 1))
        self.layer = nn.Linear(20, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(x.flatten(1))
        return out


def test_frozen_parameters_are_left_out() -> None:
    model = small_cnn()
    frozen = dict(model.named_parameters())["layers.scan.weight"]
    frozen.requires_grad_(False)
    found = scales(model, make_optimizer(model, table(kernel_lr=RATE / 2)))
    assert "layers.scan.weight" not in found
    assert found["layers.scan.bias"] == 0.5
    model.requires_grad_(False)
    with pytest.raises(UsageError, match="nothing to train"):
        make_optimizer(model, table())
