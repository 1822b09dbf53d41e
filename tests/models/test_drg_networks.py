"""The options of drg-cnn: each changes the network, trains, keeps rows apart, and comes back from disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from models import drg_formula as formula
from models.drg_files import onehot
from pydantic import ValidationError

from drg_hpc.config import build as from_toml
from drg_hpc.errors import UsageError
from drg_hpc.models.base import HeadShape, ModelShape, SequenceModel
from drg_hpc.models.blocks import set_dropout_keys
from drg_hpc.models.config import DrgCnnConfig
from drg_hpc.models.config_drg import TrunkTable
from drg_hpc.models.config_drg_tables import TowerTable
from drg_hpc.models.drg_tower import TowerBuilder
from drg_hpc.models.io import load_model, save_model
from drg_hpc.models.operations import macs_per_row
from drg_hpc.models.registry import build
from drg_hpc.training.config import TrainOptions

BASE: dict[str, Any] = {"kernels": 6, "kernel_size": 7, "pool_size": 4, "hidden": (8,)}
TOWER: dict[str, Any] = {"layers": 2, "sizes": (3,)}
DILATED = {"dilated": TOWER}
OPTIONS: dict[str, dict[str, Any]] = {
    "even kernels": {"kernel_size": 6},
    "no bias": {"kernel_bias": False},
    **{f"kernel {name}": {"kernel_activation": name} for name in ("exp", "exp128", "squared", "cubed", "identity")},
    **{f"strands {name}": {"strands": name} for name in ("mean", "weighted", "off")},
    **{f"pooling {name}": {"pooling": name} for name in ("mean", "weighted", "max+mean")},
    "step": {"pool_step": 3},
    "mask": {"pooling": "weighted", "pool_pad": "mask", "kernel_activation": "identity"},
    "batch-minimum": {"pooling": "weighted", "pool_pad": "batch-minimum", "kernel_activation": "identity"},
    "pad": {"pad": 3},
    "plain": {"conv_channels": (5, 4), "conv_size": 3, "conv_pool_size": 2, "conv_pooling": "weighted"},
    "dilated": {"dilated": {"layers": 3, "sizes": (3,), "dilations": (1, 2, 4)}},
    "drg residual": {"dilated": {**TOWER, "residual": "drg"}},
    "no residual": {"dilated": {**TOWER, "residual": "none"}},
    "growing tower": {"dilated": {**TOWER, "channels": (7, 9), "sizes": (4, 5), "bias": False}},
    "strided tower": {"tower": {"layers": 3, "sizes": (4,), "strides": (1, 2, 1), "residual_every": 3}},
    "strided drg tower": {"tower": {"layers": 3, "strides": (1, 2, 1), "residual": "drg", "residual_every": 2}},
    **{
        f"pooled tower {kind} {residual}": {
            "tower": {"layers": 3, "sizes": (3,), "pooling": kind, "pool_size": 2, "residual": residual},
            "pool_pad": "mask",
        }
        for kind in ("max", "mean", "weighted")
        for residual in ("standard", "drg")
    },
    "rare pooling": {"tower": {"layers": 4, "sizes": (3,), "pool_size": 2, "pool_every": 2, "residual_every": 3}},
    "concatenated": {"tower": {"layers": 3, "sizes": (3,), "concatenate": True, "pool_size": 2}},
    "concatenated drg": {"tower": {"layers": 3, "sizes": (3,), "concatenate": True, "residual": "drg", "pool_size": 2}},
    "embedding": {"embedding_channels": 4},
    "attention": {"attention": {"blocks": 2, "heads": 3, "key_factor": 0.5, "value_size": 4, "pool_size": 2}},
    "summed attention": {"attention": {"heads": 2, "sum_heads": True, "key_factor": 1.0}, "attention_batch_norm": True},
    "weighted attention": {"attention": {"pool_size": 3, "pooling": "weighted"}, "pool_pad": "mask"},
    "transformer": {"transformer": {"layers": 2, "heads": 2}},
    "summed transformer": {"transformer": {"heads": 3, "sum_heads": True, "width_factor": 0.5}},
    "gapped": {"gapped": [{"channels": 3, "size": 2, "gap": 2}, {"channels": 2, "size": 1, "gap": 0}]},
    "final": {"gapped": [{"channels": 3, "size": 2, "gap": 2}], "final": {**TOWER, "pool_size": 2}},
    "two towers": {**DILATED, "tower": TOWER, "conv_batch_norm": True},
    "rule": {"hidden": (), "fc_layers": 3, "fc_size": 20, "fc_widening": 1.5},
    "residual stack": {"hidden": (8, 9, 10), "fc_residual": 2, "fc_batch_norm": True},
    "activations": {"activation": "tanh", "fc_activation": "relu-offset", "conv_channels": (4,)},
    "no layers": {"hidden": ()},
}
DROPOUTS = {
    "dropout": {"dropout": 0.5},
    "conv_dropout": {"conv_dropout": 0.5, **DILATED},
    "attention_dropout": {"attention_dropout": 0.5, "attention": {}},
    "transformer dropout": {"attention_dropout": 0.5, "transformer": {}},
}


def config_of(**changes: Any) -> DrgCnnConfig:
    return DrgCnnConfig.model_validate(BASE | changes)


def sequences(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    codes = torch.randint(0, 4, (rows, length), generator=torch.Generator().manual_seed(seed))
    return onehot(["".join("ACGT"[c] for c in row) for row in codes])


def made(config: DrgCnnConfig, shape: ModelShape) -> SequenceModel:
    torch.manual_seed(5)
    return build(config, shape)


@pytest.mark.parametrize("length", [60, 67])
@pytest.mark.parametrize("name", OPTIONS)
def test_each_option(name: str, length: int, tmp_path: Path) -> None:
    config, shape = config_of(**OPTIONS[name]), ModelShape.single(length, 3)
    model, x = made(config, shape), sequences(4, length)
    # It is another function than without the option, or has other weights.
    base = made(config_of(), shape)
    shapes = [{key: value.shape for key, value in m.state_dict().items()} for m in (base, model)]
    assert shapes[0] != shapes[1] or not torch.allclose(base(x), model(x))
    # It trains: every parameter gets a finite gradient that is not zero.
    out = model.train()(x)
    assert out.shape == (4, 3)
    (out * torch.arange(1, 13).view(4, 3)).sum().backward()
    gradients = {key: p.grad for key, p in model.named_parameters()}
    assert all(g is not None and torch.isfinite(g).all() for g in gradients.values())
    assert all(g.abs().max() > 0 for g in gradients.values() if g is not None)
    # Rows do not see each other, and it comes back from disk.
    model.eval()
    whole = model(x)
    torch.testing.assert_close(model(x[2:3]), whole[2:3], rtol=1e-4, atol=1e-5)
    loaded = load_model(save_model(model, tmp_path / "m", config, ["a", "b", "c"]))
    assert torch.equal(loaded(x), whole)
    assert macs_per_row(model, shape) > 0


@pytest.mark.parametrize("name", DROPOUTS)
def test_dropout_is_keyed_and_only_in_training(name: str) -> None:
    config, shape = config_of(**DROPOUTS[name]), ModelShape.single(60, 3)
    model, x = made(config, shape), sequences(4, 60)
    set_dropout_keys(model, torch.arange(4))
    one = model.train()(x)
    torch.testing.assert_close(model(x), one)
    set_dropout_keys(model, torch.arange(1, 3))
    torch.testing.assert_close(model(x[1:3]), one[1:3], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(model.eval()(x), one)


def test_names_of_weights_stay() -> None:
    """What models of earlier versions have on disk."""
    config = DrgCnnConfig(kernels=4, conv_channels=(5,), hidden=(7, 8), dropout=0.1)
    names = set(build(config, ModelShape.single(40, 2)).state_dict())
    layers = ["scan", "conv0", "fc0", "fc1", "head"]
    assert names == {f"layers.{layer}.{leaf}" for layer in layers for leaf in ("weight", "bias")}
    off = build(DrgCnnConfig(strands="off", hidden=()), ModelShape.single(40, 2, bins=4))
    assert set(off.state_dict()) == {
        f"layers.{layer}.{leaf}" for layer in ("scan", "head") for leaf in ("weight", "bias")
    }


@pytest.mark.parametrize("residual_every", [1, 2])
def test_standard_residuals_are_those_of_a_chain(residual_every: int) -> None:
    table = TowerTable(layers=4, sizes=(3,), channels=(6, 5, 5, 7), pool_size=2, residual_every=residual_every)
    trunk = TrunkTable(activation="gelu")
    tower, channels, length = TowerBuilder(table, trunk, name="tower", channels=6, length=41).build()
    x = torch.randn(2, 6, 41, dtype=torch.float64)
    t = {name: value.double() for name, value in tower.state_dict().items()}
    kept, past, h = x, [], x
    for i in range(4):
        out = formula.conv(formula.gelu(h), t[f"layers.{i}.main.conv.weight"], t[f"layers.{i}.main.conv.bias"])
        joined = (i + 1) % residual_every == 0
        if joined:
            if (key := f"layers.{i}.shortcut.project.weight") in t:
                kept = formula.conv(kept, t[key])
            for _ in past:
                kept = formula.pool(kept, "max", 2, beyond=0.0)
            out, past = out + kept, []
        h = formula.pool(out, "max", 2)
        if joined:
            kept = h
        else:
            past.append(2)
    torch.testing.assert_close(tower.double()(x), h, rtol=1e-9, atol=1e-9)
    assert h.shape == (2, channels, length)


def test_pad_is_a_quarter_of_each_base() -> None:
    model, x = made(config_of(pad=3), ModelShape.single(60, 2)).eval(), sequences(2, 60)
    longer = made(config_of(), ModelShape.single(66, 2)).eval()
    longer.load_state_dict(model.state_dict())
    quarter = torch.full((2, 4, 3), 0.25)
    assert torch.equal(model(x), longer(torch.cat([quarter, x, quarter], dim=2)))


def test_batch_minimum_is_that_of_a_batch_of_one() -> None:
    config = config_of(pooling="weighted", pool_pad="batch-minimum", kernel_activation="identity", pool_size=9)
    model, x = made(config, ModelShape.single(60, 2)).eval(), sequences(3, 60)
    for row in range(3):
        kernels = model.layers[:3](x[row : row + 1])  # type: ignore[index]
        constant = torch.nn.functional.pad(kernels, (2, 2), value=kernels.min().item())
        windows = constant[..., :63].reshape(1, 6, 7, 9)
        pooled = (windows * torch.softmax(windows, -1)).sum(-1)
        torch.testing.assert_close(model.layers[4:](pooled), model(x)[row : row + 1])  # type: ignore[index]


HEADS = ModelShape({"seq": 60}, (HeadShape("rna", 3), HeadShape("atac.1", 2, "logit")))


def test_heads_of_their_own(tmp_path: Path) -> None:
    tables = {"rna": {"hidden": (9,), "fc_size": 5, "output": "softmax"}, "atac.1": {"fc_layers": 2, "fc_residual": 1}}
    config = config_of(heads=tables, fc_batch_norm=True)
    model, x = made(config, HEADS).eval(), sequences(4, 60)
    out = model(x)
    assert out.shape == (4, 5)
    torch.testing.assert_close(out[:, :3].sum(1), torch.ones(4))
    assert model.links == ["identity"] * 3 + ["logit"] * 2
    model.layers.heads[1].head.bias.data += 1  # type: ignore[index,union-attr]
    changed = model(x) - out
    assert changed[:, :3].abs().max() == 0
    torch.testing.assert_close(changed[:, 3:], torch.ones(4, 2))
    path = save_model(model, tmp_path / "m", config, list("abcde"))
    assert torch.equal(load_model(path)(x), model(x))
    plain = made(config_of(), HEADS)
    assert {n.split(".")[1] for n in plain.state_dict()} == {"scan", "fc0", "heads"}
    one = made(config_of(heads={"main": {"hidden": (5,)}}), ModelShape.single(60, 2))
    assert {n.split(".")[1] for n in one.state_dict()} == {"scan", "fc0", "own_fc0", "head"}


@pytest.mark.parametrize("output", ["exp", "sigmoid", "squared", "position-softmax", "tanh"])
def test_output_functions(output: str) -> None:
    shape = ModelShape.single(60, 2, bins=5)
    plain = made(config_of(), shape).eval()(sequences(3, 60))
    found = made(config_of(heads={"main": {"output": output}}), shape).eval()(sequences(3, 60))
    functions = {"exp": torch.exp, "sigmoid": torch.sigmoid, "squared": torch.square, "tanh": torch.tanh,
                 "position-softmax": lambda v: torch.softmax(v, dim=2)}  # fmt: skip
    torch.testing.assert_close(found, functions[output](plain))


@pytest.mark.parametrize(
    ("profile", "bins", "span", "changes"),
    [({}, 60, 0, {}), ({"size": 6, "counts": True}, 15, 0, {"pool_size": 4}), ({"stride": 2}, 10, 40, {}),
     ({"size": 3}, 20, 40, {"pad": 5}), ({}, 6, 36, {"dilated": TOWER, "pool_size": 3})],
)  # fmt: skip
def test_profile_heads(profile: dict[str, Any], bins: int, span: int, changes: dict[str, Any], tmp_path: Path) -> None:
    config = DrgCnnConfig.model_validate({"kernels": 6, "kernel_size": 7, "pool_size": 1, "profile": profile} | changes)
    shape = ModelShape({"seq": 60}, (HeadShape("a", 2), HeadShape("b", 1)), bins, span)
    model, x = made(config, shape).eval(), sequences(3, 60)
    assert model(x).shape == (3, 3, bins)
    path = save_model(model, tmp_path / "m", config, list("abc"))
    assert torch.equal(load_model(path)(x), model(x))
    if not profile and not changes:  # a convolution of width 1 on kernels of width 7 sees 3 bases either way
        other = x.clone()
        other[:, :, 20] = 0
        changed = (model(other) - model(x)).abs().amax((0, 1)).nonzero().flatten().tolist()
        assert set(changed) <= set(range(17, 24))
        assert changed


def test_a_profile_bin_is_the_mean_of_its_positions() -> None:
    config = DrgCnnConfig.model_validate({"kernels": 6, "pool_size": 1, "profile": {}})
    fine, coarse = (
        made(config, ModelShape.single(60, 2, bins=60)),
        made(config, ModelShape.single(60, 2, bins=10, span=40)),
    )
    x = sequences(2, 60)
    wanted = fine(x)[..., 10:50].reshape(2, 2, 10, 4).mean(-1)
    torch.testing.assert_close(coarse(x), wanted)


@pytest.mark.parametrize(
    ("changes", "shape", "message"),
    [
        ({"pooling": "weighted", "kernel_activation": "identity"}, ModelShape.single(67, 1),
         "'identity' has no minimum"),
        ({"conv_channels": (3,), "conv_pooling": "weighted", "conv_pool_size": 2, "activation": "clamp"},
         ModelShape.single(67, 1), "'clamp' has no minimum"),
        ({"tower": {**TOWER, "pooling": "weighted", "pool_size": 2}}, ModelShape.single(67, 1),
         r"\[model.tower\]\) has no minimum"),
        ({"tower": {"layers": 9, "pool_size": 3}}, ModelShape.single(60, 1),
         r"model.tower: layer 2 has 2 positions left, fewer than its kernel \(5\)"),
        ({"pool_size": 70}, ModelShape.single(60, 1), "pool_size = 70 is wider"),
        ({"heads": {"dna": {}}}, HEADS, r"\[model.heads.dna\]: no such modality; there is rna, atac.1"),
        ({"heads": {"atac.1": {"output": "exp"}}}, HEADS, "with a loss on the logit scale"),
        ({"heads": {"main": {"output": "softmax"}}}, ModelShape.single(60, 1), "which has 1"),
        ({"heads": {"main": {"output": "position-softmax"}}}, ModelShape.single(60, 1), "no bins"),
        ({"profile": {}, "hidden": ()}, ModelShape.single(60, 1), "needs targets in bins"),
        ({"profile": {}, "hidden": ()}, ModelShape.single(60, 1, bins=60), "of 0.25 positions each"),
        ({"profile": {}, "hidden": (), "pool_size": 10}, ModelShape.single(60, 1, bins=5, span=50),
         "positions of 10 bases begin 5 bases beside the 5 bins in the middle of 60 bases"),
        ({"profile": {}, "hidden": (), "pool_size": 2, "pad": 3}, ModelShape.single(60, 1, bins=10, span=20),
         "positions of 2 bases begin 1 bases beside"),
        ({"attention": {}, "kernels": 5}, ModelShape.single(60, 1), "even number of channels"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_shape(changes: dict[str, Any], shape: ModelShape, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(config_of(**changes), shape)


@pytest.mark.parametrize(
    "values",
    [
        {"hidden": (3,), "fc_layers": 2}, {"pooling": "weighted", "pool_step": 2}, {"pool_step": 11},
        {"attention": {}, "transformer": {}}, {"attention_dropout": 0.1}, {"conv_dropout": 0.1},
        {"conv_batch_norm": True}, {"attention_batch_norm": True}, {"dilated": {"layers": 3, "sizes": (3, 5)}},
        {"dilated": {"layers": 2, "residual": "none", "concatenate": True}}, {"dilated": {"layers": 2, "sizes": ()}},
        {"profile": {}, "hidden": (3,)}, {"profile": {}, "dropout": 0.1},
        {"profile": {}, "heads": {"a": {"hidden": (3,)}}}, {"activation": "exp"}, {"kernel_activation": "softmax"},
        {"conv_size": 4}, {"tower": {}},
    ],
)  # fmt: skip
def test_configs_that_contradict_themselves(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DrgCnnConfig.model_validate(values)


def test_from_a_configuration_file() -> None:
    import tomllib

    text = """
        [model]
        kernels = 6
        pool_size = 4
        kernel_activation = "exp"
        fc_layers = 2
        conv_batch_norm = true
        [model.dilated]
        layers = 3
        sizes = [3]
        dilations = [1, 2, 4]
        residual = "drg"
        [[model.gapped]]
        channels = 3
        size = 2
        gap = 4
        [model.heads.main]
        hidden = [5]
    """
    options = from_toml(TrainOptions, tomllib.loads(text) | {"store": "s", "out": "o"}, source="f")
    config = options.model
    assert isinstance(config, DrgCnnConfig)
    assert config.dilated is not None
    assert (config.hidden, config.fc_layers, config.dilated.dilations) == ((), 2, (1, 2, 4))
    assert build(config, ModelShape.single(60, 2))(sequences(2, 60)).shape == (2, 2)
    wrong = tomllib.loads(text.replace("dilations =", "dilation ="))
    with pytest.raises(UsageError, match=r"unknown key 'model.dilated.dilation'; did you mean 'dilations'"):
        from_toml(TrainOptions, wrong | {"store": "s", "out": "o"}, source="f")
