"""The dilated residual network: against its formulas in numpy, over many options."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.nn import functional

from drg_hpc.errors import UsageError
from drg_hpc.models.base import HeadShape, ModelShape
from drg_hpc.models.config import DrgCnnConfig, config_from_json
from drg_hpc.models.config_profile import DilatedResidualConfig
from drg_hpc.models.dilated import DilatedResidual
from drg_hpc.models.io import load_model, save_model
from drg_hpc.models.operations import macs_per_row
from drg_hpc.models.profile_layout import lay_out
from drg_hpc.models.registry import build, fixed_link

Array = np.ndarray[Any, Any]
SMALL = {"channels": 3, "stem_size": 5, "layers": 2, "profile_size": 7}


def onehot(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    codes = torch.from_numpy(np.random.default_rng(seed).integers(0, 4, (rows, length)))
    return functional.one_hot(codes, 4).permute(0, 2, 1).float()


def convolve(x: Array, weight: Array, bias: Array | None, *, dilation: int, pad: bool) -> Array:
    """Cross-correlation of (channels, length), as sums over the kernel's positions."""
    reach = dilation * (weight.shape[2] // 2)
    if pad:
        x = np.pad(x, ((0, 0), (reach, reach)))
    length = x.shape[1] - 2 * reach
    found = np.zeros((len(weight), length))
    for k in range(weight.shape[2]):
        found += weight[:, :, k] @ x[:, k * dilation : k * dilation + length]
    return found if bias is None else found + bias[:, None]


def activate(x: Array, name: str) -> Array:
    if name == "relu":
        return np.maximum(x, 0)
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


class Reference:
    """One row through the network in float64, from the state_dict alone."""

    def __init__(self, config: DilatedResidualConfig, model: DilatedResidual) -> None:
        self.config = config
        self.state = {name: value.double().numpy() for name, value in model.state_dict().items()}

    def _conv(self, x: Array, place: str, number: int, *, dilation: int = 1) -> Array:
        state, pad = self.state, self.config.padding == "same"
        x = convolve(x, state[f"{place}.{number}.weight"], state[f"{place}.{number}.bias"], dilation=dilation, pad=pad)
        if self.config.batch_norm:
            norm = f"{place}.{number + 1}"
            scale = state[f"{norm}.weight"] / np.sqrt(state[f"{norm}.running_var"] + 1e-5)
            x = (x - state[f"{norm}.running_mean"][:, None]) * scale[:, None] + state[f"{norm}.bias"][:, None]
        return x

    def trunk(self, x: Array) -> Array:
        config, early = self.config, self.config.residual == "activation-conv"
        x = self._conv(x, "trunk", 0)
        x = x if early else activate(x, config.activation)
        first = (2 if config.batch_norm else 1) + (not early)
        for i in range(config.layers):
            place, dilation = f"trunk.{first + i}.inner", config.first_dilation * 2**i
            if early:
                y = self._conv(activate(x, config.activation), place, 1, dilation=dilation)
            else:
                y = activate(self._conv(x, place, 0, dilation=dilation), config.activation)
            lost = (x.shape[1] - y.shape[1]) // 2
            x = x[:, lost : x.shape[1] - lost] + y
        return activate(x, config.activation) if early else x

    def heads(self, x: Array, *, covered: int, bins: int) -> tuple[Array, Array | None]:
        config, length = self.config, x.shape[1]
        trunk = self.trunk(x)
        begin = (length - trunk.shape[1]) // 2  # base of the trunk's first position
        start = (length - covered) // 2
        weight, bias = self.state["profile.0.weight"], self.state.get("profile.0.bias")
        each = convolve(trunk, weight, bias, dilation=1, pad=config.padding == "same")
        first = (length - each.shape[1]) // 2
        profile = each[:, start - first : start - first + covered].reshape(len(each), bins, covered // bins).mean(2)
        if config.output == "values":
            return profile, None
        margin = config.profile_size // 2 if config.counts_margin is None else config.counts_margin
        seen = [trunk[:, base - begin] for base in range(start - margin, start + covered + margin)
                if begin <= base < begin + trunk.shape[1]]  # fmt: skip
        counts = self.state["counts.1.weight"] @ np.mean(seen, axis=0)
        return profile, counts + self.state.get("counts.1.bias", 0)


def log_rate(profile: Array, counts: Array, *, shared: bool) -> Array:
    shape = np.exp(profile - profile.max())
    shape /= shape.sum() if shared else shape.sum(1, keepdims=True)
    return np.log(shape) + counts[:, None]


def make(config: DilatedResidualConfig, shape: ModelShape, seed: int = 1) -> DilatedResidual:
    """A network whose batch norms have statistics of their own."""
    torch.manual_seed(seed)
    model = build(config, shape)
    assert isinstance(model, DilatedResidual)
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm1d):
            for values in (layer.weight, layer.running_var):
                assert values is not None
                torch.nn.init.uniform_(values, 0.5, 1.5)
            for values in (layer.bias, layer.running_mean):
                assert values is not None
                torch.nn.init.uniform_(values, -0.3, 0.3)
    return model.eval()


OPTIONS: list[dict[str, Any]] = [
    {"residual": residual, "padding": padding, "batch_norm": batch_norm, **more}
    for residual, padding, batch_norm in itertools.product(
        ["conv-activation", "activation-conv"], ["same", "valid"], [False, True]
    )
    for more in (
        {},
        {"counts": "shared", "first_dilation": 2, "activation": "gelu"},
        {"output": "values", "profile_bias": False, "kernel_size": 5},
        {"counts_margin": 0, "counts_bias": False, "stem_size": 1},
        {"counts_margin": 100, "profile_size": 1},
    )
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(map(str, o.values())))
@pytest.mark.parametrize(("length", "span", "bins"), [(64, 20, 20), (65, 21, 3), (65, 20, 4), (70, 1, 1)])
def test_equals_the_formulas(options: dict[str, Any], length: int, span: int, bins: int) -> None:
    config = DilatedResidualConfig.model_validate(SMALL | options)
    link = "identity" if config.output == "values" else "log"
    model = make(config, ModelShape.single(length, 2, bins=bins, span=span, link=link))  # type: ignore[arg-type]
    x = onehot(2, length)
    reference = Reference(config, model)
    found, heads = model(x).detach().numpy(), model.heads(x)
    assert found.shape == (2, 2, bins)
    for row in range(2):
        profile, counts = reference.heads(x[row].double().numpy(), covered=span, bins=bins)
        np.testing.assert_allclose(heads["profile"][row].detach().numpy(), profile, rtol=0, atol=5e-6)
        if counts is None:
            assert set(heads) == {"profile"}
            np.testing.assert_allclose(found[row], profile, rtol=0, atol=5e-6)
        else:
            np.testing.assert_allclose(heads["counts"][row].detach().numpy(), counts, rtol=0, atol=5e-6)
            expected = log_rate(profile, counts, shared=config.counts == "shared")
            np.testing.assert_allclose(found[row], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("options", OPTIONS[::3], ids=lambda o: "-".join(map(str, o.values())))
def test_round_trip_gradients_and_operations(options: dict[str, Any], tmp_path: Any) -> None:
    config = DilatedResidualConfig.model_validate(SMALL | options)
    assert config_from_json(config.model_dump(mode="json"), source="test") == config
    link = "identity" if config.output == "values" else "log"
    shape = ModelShape.single(66, 2, bins=5, span=20, link=link)  # type: ignore[arg-type]
    model = make(config, shape)
    x = onehot(3, 66)
    loaded = load_model(save_model(model, tmp_path / "m", config, ["a", "b"]))
    assert torch.equal(loaded(x), model(x))
    model.train()
    (model(x) * torch.randn(3, 2, 5)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        if name.endswith("weight"):  # softmax and batch norm take biases away
            assert float(parameter.grad.abs().sum()) > 0, name
    # each convolution: outputs times inputs times width
    c, k, length = config.channels, config.kernel_size, 66
    lose = (lambda reach: 2 * reach) if config.padding == "valid" else (lambda reach: 0)
    length -= lose(config.stem_size // 2)
    expected = length * c * 4 * config.stem_size
    for i in range(config.layers):
        length -= lose(config.first_dilation * 2**i * (k // 2))
        expected += length * c * c * k
    expected += (length - lose(config.profile_size // 2)) * 2 * c * config.profile_size
    if config.output == "log-rate":
        expected += c * (1 if config.counts == "shared" else 2)
    assert macs_per_row(model, shape) == expected


@pytest.mark.parametrize("options", OPTIONS[1::4], ids=lambda o: "-".join(map(str, o.values())))
def test_rows_do_not_see_each_other(options: dict[str, Any]) -> None:
    config = DilatedResidualConfig.model_validate(SMALL | options)
    link = "identity" if config.output == "values" else "log"
    model = make(config, ModelShape.single(64, 2, bins=20, span=20, link=link))  # type: ignore[arg-type]
    x = onehot(4, 64)
    other = torch.cat([x[:1], onehot(3, 64, seed=9)])
    assert torch.equal(model(x)[0], model(other)[0])
    assert not torch.equal(model(x)[1], model(other)[1])


def test_one_total_is_spread_over_all_tracks() -> None:
    config = DilatedResidualConfig.model_validate(SMALL | {"counts": "shared"})
    model = make(config, ModelShape.single(40, 3, bins=10, link="log"))
    x = onehot(2, 40)
    assert model.heads(x)["counts"].shape == (2, 1)
    torch.testing.assert_close(model(x).exp().sum((1, 2)), model.heads(x)["counts"][:, 0].exp())
    apart = make(DilatedResidualConfig.model_validate(SMALL), ModelShape.single(40, 3, bins=10, link="log"))
    torch.testing.assert_close(apart(x).exp().sum(2), apart.heads(x)["counts"].exp())


def test_valid_is_same_where_no_zeros_reach() -> None:
    """The published lengths: of 2,114 bases, 1,000 are free of the zeros beyond the ends."""
    published = {"channels": 2, "first_dilation": 2, "profile_size": 75, "padding": "same"}
    shape = ModelShape.single(2114, 1, bins=1000, span=1000, link="log")
    same = make(DilatedResidualConfig.model_validate(published), shape)
    config = DilatedResidualConfig.model_validate(published | {"padding": "valid"})
    valid = make(config, shape)
    valid.load_state_dict(same.state_dict())
    layout = lay_out(config, shape)
    assert (layout.trunk.size, layout.profile, layout.counts.size) == (1074, layout.output, 1074)
    x = onehot(2, 2114)
    torch.testing.assert_close(valid(x), same(x), rtol=0, atol=1e-5)
    with pytest.raises(UsageError, match="of 2114 bases, valid padding leaves 1000, the targets are of 1002"):
        build(config, ModelShape.single(2114, 1, bins=1002, span=1002, link="log"))


def test_output_sees_its_reach_and_no_more() -> None:
    config = DilatedResidualConfig.model_validate(SMALL | {"output": "values"})
    model = make(config, ModelShape.single(61, 1, bins=1, span=1))
    x = onehot(1, 61).requires_grad_()
    (gradient,) = torch.autograd.grad(model(x).sum(), x)
    seen = np.flatnonzero(gradient.abs().sum((0, 1)).numpy())
    reach = 5 // 2 + (1 + 2) + 7 // 2
    assert (seen.min(), seen.max()) == (30 - reach, 30 + reach)


@given(
    length=st.integers(1, 400), covered=st.integers(1, 400), layers=st.integers(1, 5), stem=st.integers(0, 12),
    head=st.integers(0, 12), margin=st.none() | st.integers(0, 50), padding=st.sampled_from(["same", "valid"]),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_layout(length: int, covered: int, layers: int, stem: int, head: int, margin: int | None, padding: str) -> None:
    config = DilatedResidualConfig.model_validate(
        {"layers": layers, "stem_size": 2 * stem + 1, "profile_size": 2 * head + 1, "counts_margin": margin,
         "padding": padding}
    )  # fmt: skip
    shape = ModelShape.single(length, 1, bins=covered, span=covered)
    lost = stem + 2**layers - 1 + head if padding == "valid" else 0
    start = (length - covered) // 2
    if start < lost or length - covered - start < lost:
        with pytest.raises(UsageError):
            lay_out(config, shape)
        return
    layout = lay_out(config, shape)
    assert (layout.output.start, layout.output.stop) == (start, start + covered)
    wanted = head if margin is None else margin
    assert layout.counts.start == max(start - wanted, layout.trunk.start)
    assert layout.counts.stop == min(start + covered + wanted, layout.trunk.stop)
    assert layout.profile.start <= start and start + covered <= layout.profile.stop


@pytest.mark.parametrize("link", ["identity", "logit", "log"])
def test_values_take_any_link(link: Any) -> None:
    config = DilatedResidualConfig.model_validate(SMALL | {"output": "values"})
    assert fixed_link(config) is None
    model = make(config, ModelShape.single(40, 2, bins=5, link=link))
    assert model.link == link and model.counts is None
    heads = (HeadShape("a", 1, "log"), HeadShape("b", 1, "identity"))
    assert build(config, ModelShape({"seq": 40}, heads, 5))(onehot(1, 40)).shape == (1, 2, 5)


def test_log_rate_fixes_the_link() -> None:
    assert fixed_link(DilatedResidualConfig()) == "log"
    assert fixed_link(DrgCnnConfig()) is None
    heads = (HeadShape("a", 1, "log"), HeadShape("b", 1, "identity"))
    with pytest.raises(UsageError, match="mixed"):
        build(DilatedResidualConfig(layers=1), ModelShape({"seq": 40}, heads, 5))


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"output": "values", "counts": "shared"}, "counts has no meaning"),
        ({"output": "values", "counts_margin": 3}, "counts_margin has no meaning"),
        ({"output": "values", "counts_bias": False}, "counts_bias has no meaning"),
        ({"stem_size": 4}, "must be odd"),
        ({"profile_size": 24}, "must be odd"),
    ],
)
def test_options_without_a_meaning_are_refused(values: dict[str, Any], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        DilatedResidualConfig.model_validate(values)


def test_models_of_before_keep_their_names_and_numbers() -> None:
    """The defaults are the first version's network: its names, and the formula of its output."""
    model = make(DilatedResidualConfig(channels=4, layers=2), ModelShape.single(64, 2, bins=16, link="log"))
    names = ["trunk.0", "trunk.2.inner.0", "trunk.3.inner.0", "profile.0", "counts.1"]
    assert list(model.state_dict()) == [f"{name}.{kind}" for name in names for kind in ("weight", "bias")]
    x, state = onehot(3, 64), model.state_dict()
    y = torch.relu(functional.conv1d(x, state["trunk.0.weight"], state["trunk.0.bias"], padding=10))
    for i in range(2):
        weight, bias = (state[f"trunk.{2 + i}.inner.0.{kind}"] for kind in ("weight", "bias"))
        y = y + torch.relu(functional.conv1d(y, weight, bias, padding=2**i, dilation=2**i))
    profile = functional.conv1d(y, state["profile.0.weight"], state["profile.0.bias"], padding=12)
    profile = profile.unflatten(2, (16, 4)).mean(3)
    counts = functional.linear(y.mean(2), state["counts.1.weight"], state["counts.1.bias"])
    torch.testing.assert_close(model(x), torch.log_softmax(profile, 2) + counts[..., None], rtol=0, atol=1e-6)
