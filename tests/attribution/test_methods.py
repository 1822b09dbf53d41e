"""Methods against captum, arithmetic by hand and finite sums; ensembles; several inputs."""

from __future__ import annotations

import captum.attr
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from drg_hpc.attribution.attribute import attribute
from drg_hpc.attribution.copies import substituted
from drg_hpc.attribution.engine import Engine
from drg_hpc.attribution.functions import Function
from drg_hpc.attribution.recipe import make_recipe
from drg_hpc.attribution.targets import TrackStatistic
from drg_hpc.attribution.views import make_views
from drg_hpc.errors import InputError, UsageError
from drg_hpc.rng import row_generator

LENGTH = 24


def sequences(n: int, *, length: int = LENGTH, seed: int = 0, unknown: bool = False) -> NDArray[np.float64]:
    codes = np.random.default_rng(seed).integers(0, 5 if unknown else 4, (n, length))
    return np.eye(5, 4)[codes].transpose(0, 2, 1).copy()


class Smooth(nn.Module):
    """No kinks; ``tracks`` outputs behind an embedding of five numbers."""

    def __init__(self, tracks: int = 3, *, length: int = LENGTH, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv1d(4, 6, 5)
        self.embed = nn.Linear(6 * (length - 4), 5)
        self.head = nn.Linear(5, tracks)
        self.double().eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.embed(torch.nn.functional.gelu(self.conv(x)).flatten(1))))


class Pair(nn.Module):
    """Two sequences of unequal length."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Smooth(2), Smooth(2, length=15, seed=1)

    def forward(self, xs: list[torch.Tensor]) -> torch.Tensor:
        return self.first(xs[0]) * torch.sigmoid(self.second(xs[1]))


def values(module: nn.Module, x: NDArray[np.float64]) -> NDArray[np.float64]:
    with torch.no_grad():
        found: NDArray[np.float64] = module(torch.from_numpy(np.ascontiguousarray(x))).numpy()
    return found


def gradients(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """(n, tracks, 4, L) by one backward pass a track."""
    x = x.clone().requires_grad_()
    out = module(x)
    return torch.stack([torch.autograd.grad(out[:, t].sum(), x, retain_graph=True)[0] for t in range(out.shape[1])], 1)


def test_integrated_gradients_and_saliency_are_captums_in_its_order_of_axes() -> None:
    module, x = Smooth(), sequences(3)
    tensor = torch.from_numpy(x)
    ours = attribute(module, x, "integrated-gradients")
    raw = attribute(module, x, "gradient", output="raw")
    product = attribute(module, x, "inputxgradient")
    for track in range(3):
        theirs = captum.attr.IntegratedGradients(module).attribute(tensor, target=track)
        np.testing.assert_allclose(ours[:, track], theirs.numpy(), rtol=0, atol=1e-9 * float(theirs.abs().max()))
        saliency = captum.attr.Saliency(module).attribute(tensor, target=track, abs=False)
        np.testing.assert_allclose(raw[:, track], saliency.numpy(), rtol=0, atol=1e-12)
        theirs = captum.attr.InputXGradient(module).attribute(tensor, target=track)
        np.testing.assert_allclose(product[:, track], theirs.detach().numpy(), rtol=0, atol=1e-12)


def test_integrated_gradients_over_several_references_are_the_mean_of_each() -> None:
    module, x = Smooth(), sequences(4)
    references = np.stack([sequences(4, seed=s) for s in (1, 2, 3)], axis=1)
    for output in ("raw", "global", "hypothetical", "corrected"):
        whole = attribute(module, x, "integrated-gradients", output=output, references=references)
        each = [
            attribute(module, x, "integrated-gradients", output=output, references=references[:, j]) for j in range(3)
        ]
        np.testing.assert_allclose(whole, np.mean(each, axis=0), atol=1e-12)


@pytest.mark.parametrize("method", ["gradient", "smoothgrad"])
def test_the_global_form_of_gradients_is_the_mean_over_all_references(method: str) -> None:
    module, x = Smooth(), sequences(3)
    references = np.stack([sequences(3, seed=s) for s in (1, 2, 3)], axis=1)
    whole = attribute(module, x, method, output="global", references=references)
    each = [attribute(module, x, method, output="global", references=references[:, j]) for j in range(3)]
    np.testing.assert_allclose(whole, np.mean(each, axis=0), atol=1e-12)
    assert np.abs(whole - each[0]).max() > 1e-4


def test_sums_are_kept_in_the_widest_type_of_all_models() -> None:
    x = sequences(3)
    narrow, wide = Smooth(1).float(), Smooth(1, seed=1)
    recipe = make_recipe("gradient")
    for order in ([narrow, wide], [wide, narrow]):
        engine = Engine(
            [TrackStatistic(m, (0,), "link") for m in order], recipe, views=make_views(rc_average=True, shifts=(0, 1))
        )
        (result,) = engine.block([x], range(3))
        assert result.inputs[0].form.dtype == np.float64
    half = Smooth(1).bfloat16()
    (result,) = Engine([TrackStatistic(half, (0,), "link")], recipe).block([x], range(3))
    assert result.inputs[0].form.dtype == np.float32


def test_references_are_drawn_by_row_whatever_is_kept_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    import drg_hpc.attribution.engine as engine_module

    module, x = Smooth(2), sequences(5)
    options = {"references": "dinuc:3", "rc_average": True, "batch": 2}
    kept = attribute(module, x, "deepshap", **options)  # type: ignore[arg-type]
    monkeypatch.setattr(engine_module, "REFERENCE_BYTES", 0)
    np.testing.assert_allclose(attribute(module, x, "deepshap", **options), kept, atol=1e-15)  # type: ignore[arg-type]


def test_expected_gradients_by_hand() -> None:
    module, x = Smooth(), sequences(2)
    references = np.stack([sequences(2, seed=s) for s in (1, 2)], axis=1)
    found = attribute(module, x, "expected-gradients", output="global", references=references, seed=5)
    total = np.zeros_like(found)
    for j in range(2):
        share = np.array([row_generator(5, row, f"expected-gradients:{j}").random() for row in range(2)])
        at = references[:, j] + share[:, None, None] * (x - references[:, j])
        total += gradients(module, torch.from_numpy(at)).numpy() * (x - references[:, j])[:, None] / 2
    np.testing.assert_allclose(found, total, atol=1e-12)


def test_expected_gradients_come_near_completeness_with_many_references() -> None:
    module, x = Smooth(1), sequences(1)
    references = np.repeat(sequences(1, seed=1)[:, None], 4000, axis=1)
    found = attribute(module, x, "expected-gradients", output="global", references=references)
    difference = (values(module, x) - values(module, references[:, 0]))[0, 0]
    assert found.sum() == pytest.approx(difference, abs=0.05 * abs(difference))


def test_smoothgrad_is_the_mean_gradient_of_its_copies() -> None:
    module, x = Smooth(), sequences(3, unknown=True)
    found = attribute(module, x, "smoothgrad", output="raw", samples=4, level=0.7, seed=3)
    tensor = torch.from_numpy(x)
    copies = [substituted(tensor, rows=range(3), seed=3, copy=c, keep=0.7) for c in range(4)]
    expected = torch.stack([gradients(module, copy) for copy in copies]).mean(0)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-12)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(4 * LENGTH, 2)).double()
    np.testing.assert_allclose(attribute(linear, x, "smoothgrad"), attribute(linear, x, "gradient"), atol=1e-12)


@pytest.mark.parametrize("method", ["gradient", "integrated-gradients", "smoothgrad", "deepshap"])
def test_views_are_averaged_with_the_count_of_each_position(method: str) -> None:
    module, x = Smooth(2), sequences(3)
    options = {"output": "raw", "references": sequences(3, seed=9)[:, None]}
    if method in ("gradient", "smoothgrad"):
        del options["references"]
    shifts = (0, 3, -2)
    found = attribute(module, x, method, rc_average=True, shifts=shifts, **options)  # type: ignore[arg-type]
    total, count = np.zeros_like(found), np.zeros(LENGTH)
    for view in make_views(rc_average=True, shifts=shifts):
        if method == "smoothgrad":  # its copies are drawn of the sequence, then shown
            seen = torch.from_numpy(x)
            copies = [view.apply(substituted(seen, rows=range(3), seed=0, copy=c, keep=0.9)) for c in range(16)]
            one = torch.stack([gradients(module, copy) for copy in copies]).mean(0)
        else:
            shown = {k: view.apply(torch.from_numpy(v)).numpy() if k == "references" else v for k, v in options.items()}
            one = torch.from_numpy(attribute(module, view.apply(torch.from_numpy(x)).numpy(), method, **shown))
        total += view.undo(one).numpy()
        count += view.covered(LENGTH).numpy()
    assert count.min() == 4  # of six
    np.testing.assert_allclose(found, total / count, atol=1e-12)


def test_several_models_give_mean_and_deviation() -> None:
    x = sequences(5)
    modules = [Smooth(2, seed=s) for s in range(3)]
    for method, output in (("gradient", None), ("deepshap", "global")):
        recipe = make_recipe(method, output)
        each = [list(Engine([TrackStatistic(m, (0, 1), "link")], recipe).block([x], range(5))) for m in modules]
        engine = Engine([TrackStatistic(m, (0, 1), "link") for m in modules], recipe)
        for track, result in enumerate(engine.block([x], range(5))):
            alone = [results[track] for results in each]
            (one,) = result.inputs
            projections = np.stack([a.inputs[0].projected for a in alone])
            np.testing.assert_allclose(one.projected, projections.mean(0), atol=1e-12)
            assert one.projected_sd is not None and result.prediction_sd is not None
            np.testing.assert_allclose(one.projected_sd, projections.std(0), atol=1e-12)
            np.testing.assert_allclose(one.form, np.mean([a.inputs[0].form for a in alone], axis=0), atol=1e-12)
            predictions = np.stack([a.prediction for a in alone])
            np.testing.assert_allclose(result.prediction, predictions.mean(0), atol=1e-12)
            np.testing.assert_allclose(result.prediction_sd, predictions.std(0), atol=1e-12)
            if result.delta is not None:
                np.testing.assert_allclose(result.delta, np.max([a.delta for a in alone], axis=0), atol=1e-15)


@pytest.mark.parametrize("method", ["integrated-gradients", "deeplift", "deepshap"])
def test_attributions_to_two_inputs_are_complete_together(method: str) -> None:
    module, xs = Pair(), [sequences(6), sequences(6, length=15, seed=4)]
    seeds = (7,) if method == "deeplift" else (7, 8)
    references = [np.stack([sequences(6, length=x.shape[2], seed=s) for s in seeds], axis=1) for x in xs]
    found = attribute(module, xs, method, output="global", references=references)
    assert [each.shape for each in found] == [(6, 2, 4, LENGTH), (6, 2, 4, 15)]

    def at(parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        with torch.no_grad():
            out: NDArray[np.float64] = module([torch.from_numpy(np.ascontiguousarray(p)) for p in parts]).numpy()
        return out

    difference = at(xs) - np.mean([at([r[:, j] for r in references]) for j in range(len(seeds))], axis=0)
    total = sum(each.sum(axis=(2, 3)) for each in found)
    assert np.abs(total - difference).max() <= 1e-6 * np.abs(difference).max()
    assert all(np.abs(each).max() > 0 for each in found)


def test_two_inputs_have_random_numbers_of_their_own() -> None:
    class Same(nn.Module):
        def forward(self, xs: list[torch.Tensor]) -> torch.Tensor:
            return (xs[0] ** 2).sum((1, 2))[:, None] + (xs[1] ** 2).sum((1, 2))[:, None]

    x = sequences(2)
    found = attribute(Same(), [x, x], "smoothgrad", output="raw", samples=2, level=0.3)
    assert not np.array_equal(found[0], found[1])


@pytest.mark.parametrize("method", ["gradient", "tism", "integrated-gradients", "smoothgrad", "deepshap"])
def test_the_way_over_an_embedding_gives_the_same_numbers(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = Smooth(40), sequences(3)
    seen = []
    route = Function.route.fget
    assert route is not None
    monkeypatch.setattr(Function, "route", property(lambda self: seen.append(route(self)) or route(self)))
    whole = attribute(module, x, method)
    assert seen[0].startswith("5 backward passes and a product")
    some = attribute(module, x, method, tracks=[3, 39])
    assert seen[1] == "2 backward passes"
    np.testing.assert_allclose(whole[:, [3, 39]], some, atol=1e-12)


def test_gradients_computed_at_once_are_the_same() -> None:
    module, x = Smooth(7), sequences(5)
    recipe = make_recipe("gradient")
    one = list(Engine([TrackStatistic(module, range(7), "link")], recipe).block([x], range(5)))
    several = list(Engine([TrackStatistic(module, range(7), "link")], recipe, vjps=3).block([x], range(5)))
    for a, b in zip(one, several, strict=True):
        np.testing.assert_allclose(a.inputs[0].form, b.inputs[0].form, atol=1e-12)


class Small(nn.Module):
    """A GPU whose memory holds ``rows`` rows at a time."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.inner, self.rows, self.asked = Smooth(2), rows, []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.asked.append(len(x))
        if len(x) > self.rows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.inner(x)


def test_out_of_memory_halves_the_passes_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    x = sequences(64 + 5)
    expected = attribute(Small(64).inner, x, "gradient")
    small = Small(20)
    engine = Engine([TrackStatistic(small, (0, 1), "link")], make_recipe("gradient"))
    found = np.zeros_like(expected)
    for rows in (range(64), range(64, 69)):
        for track, result in enumerate(engine.block([x[rows.start : rows.stop]], rows)):
            found[rows.start : rows.stop, track] = result.inputs[0].form
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
    assert engine.batch == 16
    assert small.asked == [2, 2, 2, 64, 32, 16, 16, 16, 16, 16]
    assert "passes of 16 rows" in caplog.text
    with pytest.raises(InputError, match="does not hold one sequence"):
        list(Engine([TrackStatistic(Small(0), (0, 1), "link")], make_recipe("gradient")).block([x[:2]], range(2)))


def test_with_little_memory_for_results_values_are_computed_in_several_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    import drg_hpc.attribution.cost as cost

    module, x = Smooth(6), sequences(3)
    whole = attribute(module, x, "deepshap")
    monkeypatch.setattr(cost, "RESULT_BYTES", 2 * 8 * 64 * 4 * LENGTH)
    np.testing.assert_allclose(attribute(module, x, "deepshap"), whole, atol=1e-12)


def test_the_delta_is_the_error_of_the_worst_reference() -> None:
    module, x = Smooth(1), sequences(3)
    references = np.stack([sequences(3, seed=s) for s in (1, 2)], axis=1)
    recipe = make_recipe("integrated-gradients", references="uniform")
    (result,) = Engine([TrackStatistic(module, (0,), "link")], recipe).block([x], range(3), references=[references])
    errors = []
    for j in range(2):
        found = attribute(module, x, "integrated-gradients", references=references[:, j])[:, 0]
        errors.append(np.abs(found.sum((1, 2)) - (values(module, x) - values(module, references[:, j]))[:, 0]))
    assert result.delta is not None
    np.testing.assert_allclose(result.delta, np.max(errors, axis=0), atol=1e-14)
    plain = Engine([TrackStatistic(module, (0,), "link")], make_recipe("gradient"))
    assert [result.delta for result in plain.block([x], range(3))] == [None]


def test_a_statistic_of_ones_own() -> None:
    module, x = Smooth(3), sequences(2)

    class Difference(TrackStatistic):
        def __call__(self, xs: object, params: object = ()) -> torch.Tensor:
            found = super().__call__(xs)  # type: ignore[arg-type]
            return found[:, :1] - found[:, 1:2]

    target = Difference(module, (0, 1), "link", names=["first minus second"])
    target.names = ("first minus second",)
    found = attribute(module, x, "gradient", target=target)
    each = attribute(module, x, "gradient")
    np.testing.assert_allclose(found[:, 0], each[:, 0] - each[:, 1], atol=1e-12)
    with pytest.raises(UsageError, match="belong to the tracks"):
        attribute(module, x, "gradient", target=target, scale="output")


@pytest.mark.parametrize("method", ["gradient", "smoothgrad", "integrated-gradients", "deeplift"])
def test_rows_that_influence_each_other_and_random_numbers_are_refused(method: str) -> None:
    class Over(nn.Module):
        def __init__(self, kind: str) -> None:
            super().__init__()
            self.inner, self.kind, self.norm = Smooth(2), kind, nn.BatchNorm1d(2, track_running_stats=False).double()
            self.tracks = ["a", "b"]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found = self.inner(x)
            if self.kind == "maximum":
                return found / found.amax(dim=0, keepdim=True)
            if self.kind == "norm":
                return self.norm(found)
            return nn.functional.dropout(found, 0.5, training=True)

    for kind, message in (("maximum", "influence each other"), ("norm", "influence each other"), ("chance", "random")):
        with pytest.raises(UsageError, match=message):
            attribute(Over(kind), sequences(3), method)


def test_every_model_of_an_ensemble_is_looked_at() -> None:
    class Over(Smooth):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found = super().forward(x)
            return found - found.mean(dim=0, keepdim=True)

    statistics = [TrackStatistic(module, (0,), "link") for module in (Smooth(1), Over(1))]
    with pytest.raises(UsageError, match="influence each other"):
        list(Engine(statistics, make_recipe("gradient")).block([sequences(3)], range(3)))


def test_deeplift_is_against_one_reference() -> None:
    x = sequences(2)
    for references in ("dinuc:3", np.stack([x, x], axis=1)):
        with pytest.raises(UsageError, match=r"against one reference, not [23]"):
            attribute(Smooth(1), x, "deeplift", references=references)
