"""The linear end of a function: found where it is, exact, and left alone where it is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from attribution.deeplift_checks import onehot
from torch import nn

from drg_hpc.attribution.attribute import attribute
from drg_hpc.attribution.deeplift import DeepLift
from drg_hpc.attribution.tail import linear_tail
from drg_hpc.attribution.targets import TrackStatistic
from drg_hpc.errors import UsageError
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


def test_bases_that_are_only_moved_are_no_tail() -> None:
    def repeated(xs: Any, params: Any) -> torch.Tensor:
        return torch.cat([xs[0], xs[0], xs[0]], dim=1).flatten(1)

    assert linear_tail(repeated, [onehot(2, 3, seed=1)]) is None


def test_place_of_the_sequences_not_of_a_constant() -> None:
    """The first constant may be elsewhere, as a number on the CPU of a model on a GPU is; here it is on no device."""

    def function(xs: Any, params: Any) -> torch.Tensor:
        elsewhere = torch.empty(TRACKS, dtype=torch.float64, device="meta")
        narrow = xs[0].sum(-1).exp()
        return torch.cat([narrow, narrow, narrow], dim=1) + torch.ones_like(elsewhere, device="cpu")

    found = linear_tail(function, [onehot(2, LENGTH, seed=1)])
    assert found is not None
    torch.testing.assert_close(found.matrix, torch.eye(4, dtype=torch.float64).repeat(3, 1))
    torch.testing.assert_close(found.offset, torch.ones(TRACKS, dtype=torch.float64))


class ByRows(nn.Module):
    """Six numbers and 20 tracks of them, with other operations for one row (``alone``) than for several."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv, self.embed, self.head = nn.Conv1d(4, 8, 5), nn.Linear(8, 6), nn.Linear(6, 20)
        self.kind = kind
        self.double().eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        alone = len(x) == 1
        hidden = torch.relu(self.conv(x)).mean(-1)
        if self.kind == ("fewer" if alone else "more"):
            hidden = hidden * 1
        narrow = torch.tanh(self.embed(hidden))
        if self.kind == "turned" and not alone:
            return nn.functional.linear(narrow.flip(1), self.head.weight.flip(1), self.head.bias)
        if self.kind == "doubled":
            factor = 1 if alone else 2
            return nn.functional.linear(narrow * factor, self.head.weight / factor, self.head.bias)
        values: torch.Tensor = self.head(narrow)
        return values + 0 * hidden.sum(1, keepdim=True).sin() if self.kind == "none" and not alone else values


@pytest.mark.parametrize("kind", ["more", "fewer"])
def test_attributions_by_a_tail_with_other_operations_for_one_row(kind: str) -> None:
    """``more``: operations for several rows than for one; both give what each track gives by itself."""
    net, x = ByRows(kind), onehot(3, LENGTH, seed=4).numpy()
    found = attribute(net, x, "deepshap", references="dinuc:3", batch=1)
    parts = [
        attribute(net, x, "deepshap", references="dinuc:3", batch=1, tracks=range(at, min(at + 7, 20)))
        for at in range(0, 20, 7)
    ]
    wanted = np.concatenate(parts, axis=1)
    assert wanted.shape == (3, 20, 4, LENGTH) and wanted.any()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())


@pytest.mark.parametrize("kind", ["none", "turned", "doubled"])
def test_another_linear_end_for_more_rows_is_refused(kind: str) -> None:
    net, x = ByRows(kind), onehot(3, LENGTH, seed=4)
    with pytest.raises(UsageError, match=r"linear end .* another for 3 rows than for 1"):
        attribute(net, x, "deepshap", references="dinuc:3", batch=1)


def test_embedding_for_other_rows() -> None:
    """Its values times the matrix are the function's, or it is refused."""
    x = onehot(3, LENGTH, seed=4)
    for kind in ("more", "fewer"):
        statistic = TrackStatistic(ByRows(kind), range(20), "link")
        tail = linear_tail(statistic, [x[:1]])
        assert tail is not None and tail.width == 6
        torch.testing.assert_close(tail.embedding([x]) @ tail.matrix.T + tail.offset, statistic([x]))
    for kind in ("none", "turned", "doubled"):
        tail = linear_tail(TrackStatistic(ByRows(kind), range(20), "link"), [x[:1]])
        assert tail is not None
        with pytest.raises(UsageError, match=r"linear end .* another for 3 rows than for 1"):
            tail.embedding([x])
