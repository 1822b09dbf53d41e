"""The engine against models whose attributions are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from drg_hpc.attribution.attribute import attribute
from drg_hpc.attribution.engine import Engine
from drg_hpc.attribution.recipe import make_recipe
from drg_hpc.attribution.targets import TrackStatistic
from drg_hpc.errors import InputError, UsageError
from drg_hpc.models.base import ModelShape
from tests.prediction.small_world import CNN, make_binned_model

LENGTH = 40


def sequences(n: int, *, length: int = LENGTH, unknown: bool = True, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 5 if unknown else 4, (n, length))
    return np.eye(5, 4, dtype=np.float32)[codes].transpose(0, 2, 1).copy()


class Linear(nn.Module):
    """Tracks are weighted sums over bases and positions."""

    def __init__(self, tracks: int = 3) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.weight = nn.Parameter(torch.randn(tracks, 4, LENGTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("tbl,nbl->nt", self.weight, x)


class Smooth(nn.Module):
    """A small nonlinear network without kinks."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        head = nn.Linear(6 * (LENGTH - 4), 2)
        self.body = nn.Sequential(nn.Conv1d(4, 6, 5), nn.GELU(), nn.Flatten(), head, nn.Tanh())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def build_cnn() -> nn.Module:
    from drg_hpc.models.registry import build

    torch.manual_seed(0)
    return build(CNN, ModelShape.single(LENGTH, 2, link="logit")).eval()


def ism(module: nn.Module, x: np.ndarray) -> np.ndarray:
    """In-silico mutagenesis by brute force, (n, tracks, 4, L)."""
    with torch.no_grad():
        reference = module(torch.from_numpy(x)).numpy()
        found = np.zeros((len(x), reference.shape[1], 4, x.shape[2]), np.float32)
        for position in range(x.shape[2]):
            for base in range(4):
                changed = x.copy()
                changed[:, :, position] = np.eye(4)[base]
                found[:, :, base, position] = module(torch.from_numpy(changed)).numpy() - reference
    return found


def test_gradient_of_a_linear_model_is_its_weights() -> None:
    model, x = Linear(), sequences(5)
    weight = model.weight.detach().numpy()
    raw = attribute(model, x, "gradient", output="raw")
    np.testing.assert_allclose(raw, np.broadcast_to(weight, (5, 3, 4, LENGTH)))
    corrected = weight - weight.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(attribute(model, x, "gradient")[2], corrected, atol=1e-6)
    np.testing.assert_allclose(attribute(model, x, "inputxgradient"), weight * x[:, None], atol=1e-6)


def test_integrated_gradients_of_a_linear_model_are_its_weights_too() -> None:
    model, x = Linear(), sequences(3)
    found = attribute(model, x, "integrated-gradients", output="raw", references="uniform")
    np.testing.assert_allclose(found, np.broadcast_to(model.weight.detach().numpy(), found.shape), rtol=1e-5, atol=1e-6)


def test_tism_of_a_linear_model_is_ism() -> None:
    model, x = Linear(), sequences(4)
    found = attribute(model, x, "tism")
    np.testing.assert_allclose(found, ism(model, x), atol=1e-5)
    assert not (found * x[:, None]).any()  # 0 at the bases that are there


@pytest.mark.parametrize("references", ["zero", "uniform", "freq:0.3,0.2,0.2,0.3", "array"])
def test_integrated_gradients_are_complete_in_float64(references: str) -> None:
    model, x = Smooth().double(), sequences(7).astype(np.float64)
    base = {"zero": [0.0] * 4, "uniform": [0.25] * 4}.get(references, [0.3, 0.2, 0.2, 0.3])
    reference = np.broadcast_to(np.array(base)[:, None], x.shape) * x.any(axis=1, keepdims=True)
    given = np.random.default_rng(5).random(x.shape) if references == "array" else references
    if references == "array":
        reference = given * x.any(axis=1, keepdims=True)
    found = attribute(model, x, "integrated-gradients", references=given)
    assert found.dtype == np.float64
    with torch.no_grad():
        difference = (model(torch.from_numpy(x)) - model(torch.from_numpy(np.ascontiguousarray(reference)))).numpy()
    error = np.abs(found.sum(axis=(2, 3)) - difference).max()
    assert error <= 1e-6 * np.abs(difference).max()
    assert not (found * ~x.any(axis=1)[:, None, None]).any()


@pytest.mark.parametrize(
    "method", ["gradient", "integrated-gradients", "tism", "deepshap", "smoothgrad", "expected-gradients"]
)
def test_numbers_do_not_depend_on_the_block(method: str) -> None:
    model, x = build_cnn(), sequences(70)
    whole = attribute(model, x, method)
    assert np.array_equal(whole[:64], attribute(model, x[:64], method))  # the same block: the same bits
    if method in ("gradient", "integrated-gradients", "tism"):  # the others draw numbers by row
        apart = np.concatenate([attribute(model, x[i : i + 9], method) for i in range(0, 70, 9)])
        np.testing.assert_allclose(apart, whole, rtol=1e-5, atol=1e-6 * np.abs(whole).max())
    smaller = attribute(model, x, method, batch=4)
    np.testing.assert_allclose(smaller, whole, rtol=1e-5, atol=1e-6 * np.abs(whole).max())
    alone = attribute(model, x, method, tracks=[1])
    np.testing.assert_allclose(alone[:, 0], whole[:, 1], rtol=1e-5, atol=1e-6 * np.abs(whole).max())


def test_projection_is_zero_at_unknown_bases_for_every_form() -> None:
    x = sequences(10)
    chosen = [("gradient", "raw"), ("gradient", "global"), ("tism", "raw"), ("integrated-gradients", None)]
    chosen += [("deepshap", None), ("deeplift", "global"), ("smoothgrad", None), ("expected-gradients", "global")]
    for method, output in chosen:
        engine = Engine([TrackStatistic(build_cnn(), (0, 1), "link")], make_recipe(method, output))
        for result in engine.block([x], range(10)):
            (found,) = result.inputs
            assert found.projected.shape == (10, LENGTH)
            assert not found.projected[~x.any(axis=1)].any()
            expected = (found.contribution * x).sum(axis=1)
            np.testing.assert_allclose(found.projected, expected, atol=1e-6)


def test_statistic_of_bins_is_their_total_on_the_scale_asked_for() -> None:
    module, x = make_binned_model(length=LENGTH, bins=8), sequences(3)
    with torch.no_grad():
        output = module(torch.from_numpy(x))
    for scale, expected in (("link", output.exp().sum(dim=2).log()), ("output", output.exp().sum(dim=2))):
        statistic = TrackStatistic(module, (0, 1), scale)  # type: ignore[arg-type]
        engine = Engine([statistic], make_recipe("gradient"))
        found = np.stack([result.prediction for result in engine.block([x], range(3))], axis=1)
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5)


def test_a_bin_that_rises_never_lowers_the_statistic() -> None:
    from drg_hpc.models.links import total_over_bins

    logits = torch.zeros(1, 1, 100, dtype=torch.float64)
    logits[0, 0, 40] = 4.0
    logits.requires_grad_()
    rates = torch.log_softmax(logits, dim=-1) + 2.0  # shape times total, as a profile network composes them
    shape = torch.autograd.grad(total_over_bins(rates, "log").sum(), logits, retain_graph=True)[0]
    assert float(shape.abs().max()) < 1e-12  # the total does not depend on the shape
    (slope,) = torch.autograd.grad(total_over_bins(logits, "log").sum(), logits)
    assert float(slope.min()) > 0
    assert float(slope[0, 0, 40]) == float(slope.max())


def test_gradient_on_the_output_scale_equals_finite_differences() -> None:
    module, x = Smooth().double(), sequences(2).astype(np.float64)
    module.link = "logit"  # type: ignore[assignment]
    found = attribute(module, x, "gradient", output="raw", scale="output")
    step = 1e-6
    for base, position in ((0, 3), (2, 20)):
        up, down = x.copy(), x.copy()
        up[:, base, position] += step
        down[:, base, position] -= step
        with torch.no_grad():
            slope = (module(torch.from_numpy(up)).sigmoid() - module(torch.from_numpy(down)).sigmoid()) / (2 * step)
        np.testing.assert_allclose(found[:, :, base, position], slope.numpy(), rtol=1e-6)


@pytest.mark.parametrize("make", [Smooth, build_cnn])
def test_rc_average_is_symmetric(make: Callable[[], nn.Module]) -> None:
    module, x = make(), sequences(6)
    forward = attribute(module, x, "gradient", rc_average=True)
    backward = attribute(module, x[:, ::-1, ::-1], "gradient", rc_average=True)
    np.testing.assert_allclose(backward[:, :, ::-1, ::-1], forward, atol=1e-6)
    one_strand = attribute(module, x, "gradient")
    other = attribute(module, x[:, ::-1, ::-1], "gradient")[:, :, ::-1, ::-1]
    np.testing.assert_allclose(forward, (one_strand + other) / 2, atol=1e-6)


def test_user_modules_keep_their_mode_and_gradients() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(4 * LENGTH, 2), nn.Dropout(0.5)).train()
    module[2].eval()
    first = attribute(module, sequences(3), "gradient")
    np.testing.assert_array_equal(first, attribute(module, torch.from_numpy(sequences(3)), "gradient"))
    assert module.training and not module[2].training
    assert all(parameter.grad is None for parameter in module.parameters())


def test_output_without_track_axis_counts_as_one_track() -> None:
    class Flat(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.sum(dim=(1, 2))

    assert attribute(Flat(), sequences(2), "gradient", output="raw").shape == (2, 1, 4, LENGTH)


def test_tracks_by_name_and_faults() -> None:
    module, x = build_cnn(), sequences(2)
    module.tracks = ["CTCF", "ATAC"]  # type: ignore[assignment]
    both = attribute(module, x, "gradient")
    np.testing.assert_array_equal(attribute(module, x, "gradient", tracks=["ATAC", 0]), both[:, ::-1])
    with pytest.raises(UsageError, match="no track 'CTFC'; did you mean 'CTCF'"):
        attribute(module, x, "gradient", tracks=["CTFC"])
    with pytest.raises(UsageError, match="no track 2"):
        attribute(module, x, "gradient", tracks=[2])
    with pytest.raises(UsageError, match="the model takes 40"):
        attribute(module, sequences(2, length=41), "gradient")
    with pytest.raises(UsageError, match="bases in the order"):
        attribute(module, x.transpose(0, 2, 1), "gradient")
    with pytest.raises(UsageError, match="references have shape"):
        attribute(module, x, "integrated-gradients", references=np.zeros(3))
    with pytest.raises(UsageError, match="no effect"):
        attribute(module, x, "gradient", references=np.zeros(4))


def test_constant_output_is_named() -> None:
    class Constant(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(x), 1)

    with pytest.raises(InputError, match="does not depend on its input"):
        attribute(Constant(), sequences(1), "gradient")
