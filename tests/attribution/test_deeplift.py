"""DeepLift: what it gives, what it refuses and how it says so, and what does not change its numbers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from attribution.deeplift_checks import onehot, pairs_of
from attribution.test_deeplift_rules import made
from torch import nn
from torch.nn import functional

from drg_hpc.attribution import deeplift
from drg_hpc.attribution.attribute import attribute
from drg_hpc.attribution.deeplift import DeepLift
from drg_hpc.errors import UsageError

LENGTH = 24


def of_net(name: str) -> Callable[..., torch.Tensor]:
    net = made(name)
    return lambda xs, params: net(xs[0])


def test_rescale_by_hand() -> None:
    """One ReLU on one sum: the multiplier of every base is its weight times the secant."""
    weights = torch.linspace(-1, 1, 4 * LENGTH, dtype=torch.float64).view(4, LENGTH)

    def function(xs: Any, params: Any) -> torch.Tensor:
        return torch.relu((xs[0] * weights).sum((1, 2)) + 0.3)[:, None]

    pairs, (x,), (r,) = pairs_of(function, [LENGTH], rows=3, copies=5)
    z, z_r = ((v.numpy() * weights.numpy()).sum((-1, -2)) + 0.3 for v in (x, r))
    secant = (np.maximum(z[:, None], 0) - np.maximum(z_r, 0)) / (z[:, None] - z_r)
    wanted = secant[:, :, None, None] * weights.numpy()
    np.testing.assert_allclose(pairs.multipliers(torch.ones(1))[0].numpy(), wanted, rtol=1e-12)
    means, products, delta = pairs.accumulate(torch.full((1,), 2.0))
    np.testing.assert_allclose(means[0].numpy(), 2 * wanted.mean(1), rtol=1e-12)
    np.testing.assert_allclose(products[0].numpy(), 2 * (wanted * r.numpy()).mean(1), rtol=1e-12)
    assert delta.shape == (3, 5)
    assert delta.abs().max() < 1e-12


def test_several_sums_of_values_at_once() -> None:
    pairs, _, _ = pairs_of(of_net("weighted pool"), [LENGTH], rows=2, copies=3)
    cotangents = torch.tensor([[1.0, 0.0], [0.5, -2.0]])
    several = pairs.multipliers(cotangents)[0]
    assert several.shape == (2, 2, 3, 4, LENGTH)
    for one, cotangent in zip(several, cotangents, strict=True):
        assert torch.equal(pairs.multipliers(cotangent)[0], one)
    unit = [pairs.multipliers(row)[0] for row in torch.eye(2)]
    torch.testing.assert_close(several[1], 0.5 * unit[0] - 2 * unit[1])


@pytest.mark.parametrize("name", ["weighted pool", "attention", "overlapping pool", "LayerNorm"])
def test_rows_and_copies_do_not_depend_on_the_pass(name: str) -> None:
    function = of_net(name)
    x, r = onehot(3, LENGTH, seed=1), onehot(3, 4, LENGTH, seed=2)
    whole = DeepLift(function, [x]).pairs([x], [r]).multipliers(torch.ones(2))[0]
    for row in range(3):
        for copies in (slice(0, 1), slice(1, 4)):
            part = [x[row : row + 1]], [r[row : row + 1, copies]]
            alone = DeepLift(function, part[0]).pairs(*part).multipliers(torch.ones(2))[0]
            torch.testing.assert_close(alone[0], whole[row, copies], rtol=0, atol=1e-12)


def test_passes_of_a_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU large passes run in parts, which changes nothing."""
    net = made("attention")
    x, r = [onehot(6, LENGTH, seed=i) for i in (1, 2)], [onehot(6, 3, LENGTH, seed=i) for i in (3, 4)]
    weights = torch.rand(6, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows: list[int] = []

    def function(xs: Any, params: Any) -> torch.Tensor:
        rows.append(len(xs[0]))
        return (net(xs[0]) + net(xs[1]) ** 2) * params[0]

    def found() -> tuple[Any, ...]:
        pairs = DeepLift(function, x, [weights]).pairs(x, r, [weights])
        means, products, delta = pairs.accumulate(torch.ones(2))
        return (*pairs.multipliers(torch.eye(2)), *means, *products, delta, pairs.values, pairs.reference_values)

    whole = found()
    assert 2 not in rows
    attention = 2 * LENGTH * LENGTH * 8  # bytes of the weights of a row's two heads
    monkeypatch.setattr(deeplift, "_LARGEST", 2 * 3 * attention)
    parts = found()
    assert 2 in rows
    for one, other in zip(parts, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_several_inputs_and_params_by_row() -> None:
    first, second = made("GELU"), made("pool")
    weights = torch.tensor([[1.0, -3.0], [0.2, 5.0]], dtype=torch.float64)

    def function(xs: Any, params: Any) -> torch.Tensor:
        return first(xs[0]) * second(xs[1]) * params[0]

    x = [onehot(2, LENGTH, seed=i) for i in (1, 2)]
    r = [onehot(2, 3, LENGTH, seed=i) for i in (3, 4)]
    pairs = DeepLift(function, x, [weights]).pairs(x, r, [weights])
    means, products, delta = pairs.accumulate(torch.ones(2))
    assert [m.shape for m in means] == [(2, 4, LENGTH)] * 2 == [q.shape for q in products]
    assert delta.abs().max() <= 1e-9 * (pairs.values[:, None] - pairs.reference_values).sum(-1).abs().max()
    plain = DeepLift(function, x, [torch.ones(2, 2)]).pairs(x, r, [torch.ones(2, 2).double()])
    torch.testing.assert_close(
        pairs.multipliers(torch.tensor([0.0, 1.0]))[1][1], 5 * plain.multipliers(torch.tensor([0.0, 1.0]))[1][1]
    )


def test_an_input_that_does_not_count_has_no_multipliers() -> None:
    net = made("GELU")
    pairs, _, _ = pairs_of(lambda xs, params: net(xs[1]), [LENGTH, LENGTH], rows=2, copies=2)
    unused, used = pairs.multipliers(torch.ones(2))
    assert not unused.any() and used.any()


def test_operations_that_differ_between_numbers_of_rows(caplog: pytest.LogCaptureFixture) -> None:
    """Then sequences run once for each reference: the same numbers, and the log says so."""
    net = made("GELU")

    def function(xs: Any, params: Any) -> torch.Tensor:
        out: torch.Tensor = net(xs[0])
        return out * 1 if len(out) > 4 else out

    x, r = onehot(2, LENGTH, seed=1), onehot(2, 3, LENGTH, seed=2)
    wanted = DeepLift(of_net("GELU"), [x]).pairs([x], [r])
    assert not caplog.records
    with caplog.at_level(logging.INFO, "drg_hpc"):
        found = DeepLift(function, [x]).pairs([x], [r])
    assert "once for every reference" in caplog.text
    assert found.values.shape == (2, 2)
    torch.testing.assert_close(found.values, wanted.values)
    torch.testing.assert_close(found.multipliers(torch.ones(2))[0], wanted.multipliers(torch.ones(2))[0])


class Sorted(nn.Module):
    """An operation without a rule, in a module of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sort(-1)[0]


class Branching(nn.Module):
    """What it does depends on the values."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


def flat(x: torch.Tensor) -> torch.Tensor:
    return x.flatten(1)


REFUSED: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], str]] = {
    "without a rule": (nn.Sequential(nn.Conv1d(4, 3, 3), Sorted(), nn.Flatten()).double(),
                       r"no rule for the operation aten\.sort.* called in 1 \(Sorted\)"),
    "places of a pool": (lambda x: flat(functional.max_pool1d(x, 2, return_indices=True)[1] * x[..., ::2]), "max_pool"),
    "control flow": (nn.Sequential(Branching(), nn.Flatten()), "depends on the values of its input"),
    "a number of the values": (lambda x: flat(x * x.max().item()), "depends on the values of its input"),
    "random": (lambda x: flat(functional.dropout(x, 0.5, training=True)), r"aten\.bernoulli.* draws random numbers"),
    "mixed rows": (lambda x: flat(x) @ flat(x).T @ flat(x), "rows of a batch influence each other"),
    "softmax over rows": (lambda x: flat(x.softmax(0)), "rows of a batch influence each other"),
    "batch statistics": (lambda x: flat(functional.batch_norm(x, None, None, training=True)), "influence each other"),
    "whole numbers": (lambda x: flat(x.long() * 2.0), r"aten\._to_copy.*torch\.int64"),
    "constant": (lambda x: torch.ones(len(x), 2), "does not depend on its input"),
    "failing": (lambda x: x @ x, "cannot be listed.*RuntimeError"),
    "three factors": (lambda x: flat(torch._trilinear(x, x, x, [], [], [], [2])), "three varying"),
    "norm of order 3": (lambda x: x.norm(3, dim=-1), "order 3"),
}  # fmt: skip


def attempt(function: Any) -> None:
    """Two rows with two references each."""
    x = onehot(2, LENGTH, seed=1)
    DeepLift(function, [x]).pairs([x], [torch.stack([x.flip(2), x.roll(1, 2)], dim=1)])


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_come_before_the_run_and_name_the_operation(name: str) -> None:
    function, message = REFUSED[name]
    with pytest.raises(UsageError, match=message) as caught:
        attempt(lambda xs, params: function(xs[0]))
    assert "\n" not in str(caught.value)
    with torch.no_grad():  # nothing is left switched off
        assert torch.backends.mha.get_fastpath_enabled()


def test_accepted_operations_are_not_refused() -> None:
    attempt(of_net("attention"))


class Centred(nn.Module):
    """What the rows of a batch have in common is taken off."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return flat(x - x.mean(0, keepdim=True)).sin()


@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("copies", [1, 3])
def test_rows_that_influence_each_other_are_refused(rows: int, copies: int) -> None:
    with pytest.raises(UsageError, match="rows of a batch influence each other"):
        pairs_of(lambda xs, params: Centred()(xs[0]), [LENGTH], rows=rows, copies=copies)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("references", ["zero", "dinuc:3"])
def test_rows_that_influence_each_other_are_refused_by_the_engine(batch: int, references: str) -> None:
    with pytest.raises(UsageError, match="rows of a batch influence each other"):
        attribute(Centred(), onehot(2, LENGTH, seed=1), "deepshap", references=references, batch=batch, tracks=[0])


def test_a_model_of_one_row_alone() -> None:
    """It has no rows that could influence each other."""

    def function(xs: Any, params: Any) -> torch.Tensor:
        return xs[0].reshape(1, 4 * LENGTH).sin()

    pairs, (x,), (r,) = pairs_of(function, [LENGTH], rows=1, copies=1)
    weights = torch.ones(4 * LENGTH, dtype=torch.float64)
    found = (pairs.multipliers(weights)[0] * (x[:, None] - r)).sum()
    torch.testing.assert_close(found, (x.sin() - r[:, 0].sin()).sum())
