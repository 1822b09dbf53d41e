"""The incremental engine gives what the whole model gives: every architecture, random networks, all kinds of edits."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from attribution.random_nets import nets
from attribution.test_deeplift_models import COMBINATIONS, DILATED, TWO_INPUTS, combining, random_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models.test_drg_networks import OPTIONS, config_of
from numpy.typing import NDArray

from drg_hpc.attribution.edits import Edits, deletions, insertions, replacements, substitutions
from drg_hpc.attribution.full import FullEvaluator
from drg_hpc.attribution.incremental.evaluator import IncrementalEvaluator
from drg_hpc.attribution.incremental.traces import Untraceable
from drg_hpc.attribution.targets import Statistic, TrackStatistic
from drg_hpc.models.base import ModelShape
from drg_hpc.models.compute import Scale
from drg_hpc.models.config import AnyConfig, BassetConfig, BorzoiConfig, DilatedResidualConfig
from drg_hpc.models.registry import build

Codes = NDArray[np.uint8]


def sequence(length: int, *, seed: int = 0, unknown: int = 2) -> Codes:
    """Base codes with some unknown bases, one of them the last."""
    generator = np.random.default_rng(seed)
    codes = generator.integers(0, 4, length).astype(np.uint8)
    codes[generator.integers(0, length, unknown)] = 4
    codes[-1:] = 4 if unknown else codes[-1:]
    return codes


def onehot(codes: Codes, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.from_numpy(np.eye(5, 4)[codes].T.copy()).to(dtype)[None]


def largest_error(statistic: Statistic, xs: Sequence[torch.Tensor], edits: Edits, evaluator: Any) -> float:
    """Of the incremental values, as a share of the largest value of the whole model."""
    row, found = evaluator.values(xs, (), edits)
    wanted_row, wanted = FullEvaluator(statistic, batch=32).values(xs, (), edits)
    scale = float(wanted.abs().max())
    return max(float((found - wanted).abs().max()), float((row - wanted_row).abs().max())) / scale


def check(
    config: AnyConfig, shape: ModelShape, *, scale: Scale = "link", dtype: torch.dtype = torch.float64
) -> list[IncrementalEvaluator]:
    model = random_model(config, shape, dtype)
    statistic = TrackStatistic(model, range(shape.n_tracks), scale)
    codes = [sequence(length, seed=i) for i, length in enumerate(shape.inputs.values())]
    xs = [onehot(each, dtype) for each in codes]
    made = []
    for number, each in enumerate(codes):
        evaluator = IncrementalEvaluator(statistic, xs, input=number)
        edits = substitutions(each, np.arange(len(each)), input=number)
        assert largest_error(statistic, xs, edits, evaluator) <= (1e-10 if dtype == torch.float64 else 1e-5)
        made.append(evaluator)
    return made


@pytest.mark.parametrize("name", OPTIONS)
def test_drg_cnn(name: str) -> None:
    check(config_of(**OPTIONS[name]), ModelShape.single(67, 3))


@pytest.mark.parametrize("name", ["dilated", "pooling weighted", "strided tower", "transformer"])
def test_single_precision(name: str) -> None:
    check(config_of(**OPTIONS[name]), ModelShape.single(67, 3), dtype=torch.float32)


@pytest.mark.parametrize("combine", COMBINATIONS)
def test_two_inputs(combine: str) -> None:
    """Mutations in each; an input that no head reads changes nothing."""
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


def test_borzoi() -> None:
    config = BorzoiConfig(stem_channels=8, tower_channels=(8, 12, 16), depth=2, heads=2, key_size=4, unet=1,
                          position_features=4, final_channels=10)  # fmt: skip
    check(config, ModelShape.single(256, 3, bins=16, link="softplus", span=128))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(nets(), st.integers(0, 100), st.booleans())
def test_random_networks(drawn: tuple[torch.nn.Module, int], seed: int, single: bool) -> None:
    net, length = drawn
    dtype = torch.float32 if single else torch.float64
    statistic = TrackStatistic(net.to(dtype), range(3), "link")
    codes = sequence(length, seed=seed)
    x = onehot(codes, dtype)
    evaluator = IncrementalEvaluator(statistic, [x])
    edits = substitutions(codes, np.arange(length))
    # of the largest value of the whole network's last layer, which is not far from its largest inside
    assert largest_error(statistic, [x], edits, evaluator) <= (2e-5 if single else 1e-10)


@pytest.fixture(scope="module")
def dilated() -> tuple[Statistic, Codes]:
    torch.manual_seed(1)
    config = DilatedResidualConfig.model_validate({"channels": 6, "layers": 2, "profile_size": 5})
    model = build(config, ModelShape.single(120, 2, bins=5, link="log", span=40)).double().eval()
    return TrackStatistic(model, range(2), "link"), sequence(120)


KINDS = {
    "windows": lambda codes: replacements(
        np.arange(0, len(codes) - 9, 7), np.random.default_rng(2).integers(0, 5, (16, 9)).astype(np.uint8)[
            : len(range(0, len(codes) - 9, 7))
        ]
    ),
    "deletions": lambda codes: deletions(codes, np.array([0, 5, 60, len(codes) - 3]), 3),
    "insertions": lambda codes: insertions(
        codes, np.array([0, 5, 60, len(codes) - 1]), np.ones((4, 2), np.uint8)
    ),
    "none": lambda codes: replacements(np.array([3, 50]), codes[[[3], [50]]]),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_edits(kind: str, dilated: tuple[Statistic, Codes]) -> None:
    statistic, codes = dilated
    xs = [onehot(codes)]
    evaluator = IncrementalEvaluator(statistic, xs)
    assert largest_error(statistic, xs, KINDS[kind](codes), evaluator) <= 1e-10


def test_only_positions_that_count_are_computed(dilated: tuple[Statistic, Codes]) -> None:
    """Positions of an early layer that the output's bins are not made of are left out."""
    statistic, codes = dilated
    evaluator = IncrementalEvaluator(statistic, [onehot(codes)])
    windows = evaluator.plan.windows(np.array([0, 60]), np.array([1, 61]))
    last = [windows[step.node] for step in evaluator.plan.steps if step.node in windows][-1]
    assert last.widths[0] == 0 < last.widths[1]


def test_same_bits_however_edits_are_given(dilated: tuple[Statistic, Codes]) -> None:
    """One thread or two, the same sequence before or after another."""
    statistic, codes = dilated
    xs, edits = [onehot(codes)], substitutions(codes, np.arange(len(codes)))
    evaluator = IncrementalEvaluator(statistic, xs)
    first = evaluator.values(xs, (), edits)[1]
    evaluator.values([onehot(codes[::-1].copy())], (), substitutions(codes[::-1].copy(), np.arange(len(codes))))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        second = evaluator.values(xs, (), edits)[1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(first, second)
    evaluator.chunk_of(8)
    assert torch.allclose(first, evaluator.values(xs, (), edits)[1], rtol=1e-12, atol=1e-12)


def test_what_cannot_be_traced_is_said() -> None:
    class Branching(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.sum((1, 2))[:, None] if x[0, 0, 0] > 0 else x.mean((1, 2))[:, None]

    with pytest.raises(Untraceable, match="depends on the values"):
        IncrementalEvaluator(TrackStatistic(Branching(), range(1), "link"), [onehot(sequence(20))])


def test_operations_are_counted() -> None:
    """Of one convolution and a linear layer, by hand."""

    class Small(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = torch.nn.Conv1d(4, 5, 3, padding=1), torch.nn.Linear(50, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.relu(self.conv(x)).flatten(1))

    x = onehot(sequence(10), torch.float32)
    evaluator = IncrementalEvaluator(TrackStatistic(Small().eval(), range(2), "link"), [x])
    # each base reaches 3 positions, 2 at the ends; the look-up counts as 4 multiply-adds a channel and tap
    assert evaluator.macs == 4 * 5 * 3 + (8 * 3 + 2 * 2) / 10 * 5 * 2


def test_other_parameters_than_the_example(dilated: tuple[Statistic, Codes]) -> None:
    """The evaluator holds nothing of the row it was made with."""
    statistic, codes = dilated
    evaluator = IncrementalEvaluator(statistic, [onehot(codes)])
    other = sequence(120, seed=9)
    edits = dataclasses.replace(substitutions(other, np.arange(120)))
    assert largest_error(statistic, [onehot(other)], edits, evaluator) <= 1e-10
