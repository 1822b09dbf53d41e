"""Networks of several sequences: combinations, shared trunks, and a truth that only the difference can explain."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models.drg_files import onehot
from pydantic import ValidationError
from small_stores import write_store

from drg_hpc.config import build as from_toml
from drg_hpc.errors import UsageError
from drg_hpc.models.base import HeadShape, ModelShape, SequenceModel
from drg_hpc.models.config import MultiInputConfig
from drg_hpc.models.io import load_model, save_model
from drg_hpc.models.multi import Formula, MultiInput
from drg_hpc.models.operations import macs_per_row
from drg_hpc.models.registry import build
from drg_hpc.training.config import TrainOptions
from drg_hpc.training.run import train

TRUNK: dict[str, Any] = {"kernels": 6, "kernel_size": 7, "pool_size": 5, "hidden": [8]}
SHAPE = ModelShape({"dna": 61, "rna": 40}, (HeadShape("expression", 3), HeadShape("decay", 2)))
FORMULAS = {"expression": {"inputs": ["dna", "rna"], "combine": "difference"},
            "decay": {"inputs": ["rna"], "combine": "direct"}}  # fmt: skip


def config_of(**changes: Any) -> MultiInputConfig:
    return MultiInputConfig.model_validate({"trunk": TRUNK} | changes)


def made(config: MultiInputConfig, shape: ModelShape = SHAPE) -> MultiInput:
    torch.manual_seed(5)
    model = build(config, shape)
    assert isinstance(model, MultiInput)
    return model


def sequences(rows: int, shape: ModelShape = SHAPE, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    codes = [torch.randint(0, 4, (rows, length), generator=generator) for length in shape.inputs.values()]
    return [onehot(["".join("ACGT"[c] for c in row) for row in part]) for part in codes]


OPTIONS: dict[str, dict[str, Any]] = {
    "neural": {},
    "layers": {"heads": {"expression": {"fc_layers": 3}, "decay": {"inputs": ["rna"], "hidden": [4], "output": "exp"}}},
    "vectors": {"embedding": 9, "embedding_activation": "relu"},
    "formulas": {"heads": FORMULAS, "value_activation": "tanh"},
    "mixed": {"heads": {"decay": FORMULAS["decay"]}},
    "own": {"own": {"rna": {**TRUNK, "kernels": 4, "dilated": {"layers": 2}}}, "fc_batch_norm": True},
    "strands": {"strands": {"rna": "off"}},
    "activation": {"activation": "tanh", "heads": {"decay": {"hidden": [3]}}},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_each_option(name: str, tmp_path: Path) -> None:
    config, x = config_of(**OPTIONS[name]), sequences(4)
    model = made(config)
    out = model.train()(x)
    assert out.shape == (4, 5)
    (out * torch.arange(1, 21).view(4, 5)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())
    model.eval()
    whole = model(x)
    torch.testing.assert_close(model([part[2:3] for part in x]), whole[2:3], rtol=1e-4, atol=1e-5)
    loaded = load_model(save_model(model, tmp_path / "m", config, list("abcde")))
    assert torch.equal(loaded(x), whole)  # type: ignore[arg-type]
    assert dict(loaded.shape.inputs) == dict(SHAPE.inputs)
    assert macs_per_row(model, SHAPE) > 0
    if name != "neural":
        base = made(config_of())
        shapes = [{key: value.shape for key, value in m.state_dict().items()} for m in (base, model)]
        assert shapes[0] != shapes[1] or not torch.allclose(base.eval()(x), whole)


@pytest.mark.parametrize("bins", [0, 4])
@pytest.mark.parametrize("combine", ["difference", "exp-difference", "fraction", "log-exp-difference", "log-fraction"])
def test_formulas(combine: str, bins: int) -> None:
    """The head's numbers put into its formula, in float64 and without the model."""
    shape = ModelShape({"dna": 61, "rna": 40}, (HeadShape("main", 3),), bins)
    model = made(config_of(heads={"main": {"combine": combine, "log_base": 10, "log_offset": 1.5}}), shape)
    x = sequences(6, shape)
    head = model.heads[0]
    a, b = (
        value(vector).detach().double().numpy() for value, vector in zip(head.values, model.vectors(x), strict=True)
    )  # type: ignore[arg-type]
    plain = {"difference": a - b, "exp-difference": np.exp(np.minimum(a - b, math.log(2048))),
             "fraction": (np.maximum(a, 0) + 1e-12) / (np.maximum(b, 0) + 1e-12)}  # fmt: skip
    wanted = plain[combine.removeprefix("log-")]
    if combine.startswith("log-"):
        wanted = np.log10(1.5 + wanted)
    np.testing.assert_allclose(model(x).detach().numpy(), wanted, rtol=1e-4, atol=1e-6)
    assert not list(head.formula.parameters())  # type: ignore[union-attr]


def test_formulas_of_numbers() -> None:
    """Values worked out by hand; the exponential is bounded."""
    a, b = torch.tensor([3.0, -1.0, 20.0]), torch.tensor([2.0, 2.0, 0.0])

    def of(name: str) -> Any:
        return pytest.approx(Formula(name, base=2, offset=2)([a, b]).tolist(), rel=1e-4, abs=1e-9)

    assert of("difference") == [1.0, -3.0, 20.0]
    assert of("exp-difference") == [2.71828, 0.04979, 2048.0]
    assert of("fraction") == [1.5, 0.0, 2e13]
    assert of("direct") == [3.0, -1.0, 20.0]
    assert of("log-direct") == [2.32193, 0.0, 4.45943]
    assert of("log-fraction") == [1.80735, 1.0, math.log2(2e13)]


def test_each_modality_sees_its_inputs_alone() -> None:
    model, x = made(config_of(heads=FORMULAS)).eval(), sequences(3)
    other = [x[0].flip(0), x[1]]
    changed = (model(other) - model(x)).abs().amax(0)
    assert (changed[:3] > 0).all()
    assert (changed[3:] == 0).all()


def test_strands_of_each_input() -> None:
    model = made(config_of(strands={"rna": "off"}))
    assert [hasattr(network, "strands") for network in model.networks] == [True, False]


def test_shared_networks(tmp_path: Path) -> None:
    shape = ModelShape({"a": 50, "b": 50, "c": 30}, (HeadShape("main", 2),))
    heads = {"main": {"inputs": ["a", "b"], "combine": "difference"}}
    model = made(config_of(shared=True, share_values=True, heads=heads), shape).eval()
    assert model.network_of == [0, 0, 1]
    x = sequences(3, shape)
    torch.testing.assert_close(model([x[1], x[0], x[2]]), -model(x))
    path = save_model(model, tmp_path / "m", config_of(shared=True, share_values=True, heads=heads), ["x", "y"])
    assert torch.equal(load_model(path)(x), model(x))  # type: ignore[arg-type]
    apart = made(config_of(heads=heads), shape)
    assert apart.network_of == [0, 1, 2]
    assert not torch.allclose(apart([x[1], x[0], x[2]]), -apart(x))
    own = made(config_of(shared=True, strands={"b": "off"}, heads=heads), shape)
    assert own.network_of == [0, 1, 2]


def test_shared_values_are_the_same_for_all_modalities() -> None:
    shape = ModelShape({"dna": 61, "rna": 40}, (HeadShape("both", 2), HeadShape("rna", 2), HeadShape("dna", 2)))
    heads = {"both": {"combine": "difference"}, "rna": {"inputs": ["rna"], "combine": "direct"},
             "dna": {"inputs": ["dna"], "combine": "direct"}}  # fmt: skip
    out = made(config_of(share_values=True, heads=heads), shape)(sequences(3, shape))
    torch.testing.assert_close(out[:, :2], out[:, 4:] - out[:, 2:4])


@pytest.mark.parametrize(
    ("changes", "shape", "message"),
    [
        ({}, ModelShape.single(50, 2), "needs several inputs, there is seq; use architecture"),
        ({"own": {"protein": TRUNK}}, SHAPE, "model.own: no 'protein'; there is dna, rna"),
        ({"strands": {"protein": "off"}}, SHAPE, "model.strands: no 'protein'"),
        ({"heads": {"atac": {}}}, SHAPE, "model.heads: no 'atac'; there is expression, decay"),
        ({"heads": {"decay": {"inputs": ["protein"]}}}, SHAPE, "model.heads.decay: inputs: no 'protein'"),
        (
            {"heads": {"decay": {"combine": "direct"}}},
            SHAPE,
            r"is of 1 inputs, not of 2; name them: inputs = \['dna'\]",
        ),
        ({"share_values": True, "heads": FORMULAS}, SHAPE, "equally many tracks"),
        ({"share_values": True}, SHAPE, 'combine = "neural"'),
        ({"trunk": {"pool_size": 50}}, SHAPE, "pool_size = 50 is wider than the sequences"),
    ],
)
def test_what_does_not_fit_the_shape(changes: dict[str, Any], shape: ModelShape, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(config_of(**changes), shape)


@pytest.mark.parametrize(
    "head", [{"combine": "difference", "inputs": ["a"]}, {"combine": "direct", "hidden": [3]}, {"log_base": 1.0}]
)
def test_heads_that_contradict_themselves(head: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config_of(heads={"main": head})


def _learn(model: SequenceModel, x: list[torch.Tensor], y: torch.Tensor, steps: int) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for step in range(steps):
        rows = torch.arange(step * 64, (step + 1) * 64) % len(y)
        optimizer.zero_grad()
        ((model([part[rows] for part in x]) - y[rows]) ** 2).mean().backward()
        optimizer.step()


def test_a_difference_of_two_sequences_is_learnt() -> None:
    """Synthesis by motifs of the one sequence less decay by motifs of the other; only their difference is measured."""
    shape = ModelShape({"dna": 90, "rna": 50}, (HeadShape("main", 1),))
    x = sequences(1200, shape, seed=3)

    def sites(part: torch.Tensor, motif: str) -> torch.Tensor:
        kernel = onehot([motif])
        return (torch.nn.functional.conv1d(part, kernel) == len(motif)).float().sum(2)

    y = sites(x[0], "GAT") - 1.5 * sites(x[1], "TTC")
    y = (y - y.mean()) / y.std()
    trunk = {"kernels": 16, "kernel_size": 5, "kernel_activation": "exp128", "strands": "off", "pooling": "mean",
             "pool_size": 50, "hidden": []}  # fmt: skip
    model = made(config_of(trunk=trunk, heads={"main": {"combine": "difference"}}), shape)
    _learn(model, [part[:1000] for part in x], y[:1000], 600)
    found = model.eval()([part[1000:] for part in x]).detach()
    assert np.corrcoef(found[:, 0], y[1000:, 0])[0, 1] > 0.9


def test_trained_from_a_configuration_file(tmp_path: Path) -> None:
    """Two inputs of unequal length and two modalities, from a store to a model folder."""
    generator = np.random.default_rng(0)
    store = write_store(
        tmp_path / "store", generator.integers(0, 4, (200, 60)), generator.random((200, 2)).astype(np.float32),
        valid=60, second_input=40, second_modality=0,
    )  # fmt: skip
    text = """
        [model]
        architecture = "multi-input"
        embedding = 6
        [model.trunk]
        kernels = 5
        pool_size = 5
        hidden = [7]
        [model.strands]
        rna = "off"
        [model.heads.main]
        inputs = ["seq", "rna"]
        combine = "difference"
        [model.heads.more]
        inputs = ["rna"]
        hidden = [4]
        [train]
        epochs = 1
        batch_size = 40
    """
    values = tomllib.loads(text) | {"store": store, "out": tmp_path / "model", "device": "cpu"}
    model = load_model(train(from_toml(TrainOptions, values, source="f")))
    assert dict(model.shape.inputs) == {"seq": 60, "rna": 40}
    assert [head.name for head in model.shape.heads] == ["main", "more"]
    out = model(sequences(3, model.shape))  # type: ignore[arg-type]
    assert out.shape == (3, 3)
    assert torch.isfinite(out).all()
