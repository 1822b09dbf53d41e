"""The linear end of a function: found where it is, exact, and left alone where it is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from attribution.deeplift_checks import onehot
from torch import nn

from drg_hpc.attribution.deeplift import DeepLift
from drg_hpc.attribution.tail import linear_tail
from drg_hpc.attribution.targets import TrackStatistic
from drg_hpc.models.base import ModelShape
from drg_hpc.models.config import DrgCnnConfig
from drg_hpc.models.registry import build

LENGTH, WIDTH, TRACKS = 40, 5, 12


def model(*, dropout: float = 0.2, link: str = "identity") -> nn.Module:
    torch.manual_seed(1)
    config = DrgCnnConfig(kernels=6, kernel_size=7, pool_size=4, hidden=(9, WIDTH), dropout=dropout)
    return build(config, ModelShape.single(LENGTH, TRACKS, link=link)).double().eval()  # type: ignore[arg-type]


def test_head_behind_a_narrow_layer() -> None:
    statistic = TrackStatistic(model(), range(TRACKS), "link")
    x = onehot(3, LENGTH, seed=1)
    tail = linear_tail(statistic, [x])
    assert tail is not None
    assert (tail.width, tail.matrix.shape, tail.offset.shape) == (WIDTH, (TRACKS, WIDTH), (TRACKS,))
    for rows in (3, 7):  # another number of rows than it was found with
        xs = [onehot(rows, LENGTH, seed=2).requires_grad_()]
        values = tail.embedding(xs) @ tail.matrix.T + tail.offset
        torch.testing.assert_close(values, statistic(xs))
        (by_tail,), (direct,) = (torch.autograd.grad(v[:, 4].sum(), xs) for v in (values, statistic(xs)))
        torch.testing.assert_close(by_tail, direct)


def test_deeplift_of_the_embedding() -> None:
    statistic = TrackStatistic(model(), range(TRACKS), "link")
    x, r = onehot(2, LENGTH, seed=1), onehot(2, 3, LENGTH, seed=2)
    tail = linear_tail(statistic, [x])
    assert tail is not None
    whole = DeepLift(statistic, [x]).pairs([x], [r])
    narrow = DeepLift(statistic, [x], node=tail.node).pairs([x], [r])
    torch.testing.assert_close(narrow.values @ tail.matrix.T + tail.offset, whole.values)
    wanted = whole.multipliers(torch.eye(TRACKS, dtype=torch.float64))[0]
    torch.testing.assert_close(narrow.multipliers(tail.matrix)[0], wanted)


def test_bins_that_are_added_up() -> None:
    """A linear map of the bins, narrower than the values that are made of it."""
    torch.manual_seed(0)
    conv = nn.Conv1d(4, 2, 3, padding=1).double()
    mixing = torch.randn(2, TRACKS, dtype=torch.float64)

    def function(xs: Any, params: Any) -> torch.Tensor:
        return torch.relu(conv(xs[0])).sum(-1) @ mixing * 2 - 1

    found = linear_tail(function, [onehot(2, LENGTH, seed=1)])
    assert found is not None and found.width == 2
    torch.testing.assert_close(found.matrix, 2 * mixing.T)
    torch.testing.assert_close(found.offset, torch.full((TRACKS,), -1.0, dtype=torch.float64))


def softmaxed(net: nn.Module) -> Callable[..., torch.Tensor]:
    return lambda xs, params: net(xs[0]).softmax(1)


def scaled_by_row(net: nn.Module) -> Callable[..., torch.Tensor]:
    return lambda xs, params: net(xs[0]) * params[0]


def joined(net: nn.Module) -> Callable[..., torch.Tensor]:
    """The output depends on the sequence past the embedding too."""
    return lambda xs, params: net(xs[0]) + xs[0].sum(1)[:, :TRACKS].sin()


@pytest.mark.parametrize("make", [softmaxed, scaled_by_row, joined])
def test_no_tail(make: Callable[[nn.Module], Callable[..., torch.Tensor]]) -> None:
    params = [torch.tensor([[1.0], [2.0]], dtype=torch.float64)]
    assert linear_tail(make(model()), [onehot(2, LENGTH, seed=1)], params) is None


def test_a_wide_layer_is_no_tail() -> None:
    statistic = TrackStatistic(model(), range(WIDTH), "link")
    assert linear_tail(statistic, [onehot(2, LENGTH, seed=1)]) is None
