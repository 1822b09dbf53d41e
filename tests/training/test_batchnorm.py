"""Batch norm over ranks, here of one rank beside torch's own; several ranks are in test_several_ranks.py."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import distributed as dist
from torch import nn

from drg_hpc.errors import UsageError
from drg_hpc.training.batchnorm import RankBatchNorm1d, has_own_buffers, rest_biases, rows_counted, share_statistics
from drg_hpc.training.freezing import freeze


@pytest.fixture
def group(tmp_path: Path) -> Iterator[None]:
    """A process group of this process alone."""
    store = dist.FileStore(str(tmp_path / "store"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def _pair(norm: nn.BatchNorm1d) -> tuple[nn.Sequential, nn.Sequential]:
    """Torch's in float64, and ours with the same weights."""
    if norm.weight is not None:
        with torch.no_grad():
            norm.weight.uniform_(0.5, 2)
            norm.bias.normal_()
    ours = nn.Sequential(copy.deepcopy(norm))
    assert share_statistics(ours) == 1
    return nn.Sequential(norm).double(), ours


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize("length", [0, 1, 9])
@pytest.mark.parametrize("kind", ["plain", "cumulative", "bare", "untracked"])
def test_one_rank_equals_torch(length: int, kind: str) -> None:
    torch.manual_seed(length)
    norm = nn.BatchNorm1d(
        5,
        momentum=None if kind == "cumulative" else 0.3,
        affine=kind != "bare",
        track_running_stats=kind != "untracked",
    )
    theirs, ours = _pair(norm)
    for _ in range(3):
        x = torch.randn(7, 5, length) * 3 + 10 if length else torch.randn(7, 5) * 3 + 10
        upstream = torch.randn_like(x)
        found = []
        for module, inputs in ((theirs, x.double()), (ours, x)):
            inputs = inputs.clone().requires_grad_()
            module.zero_grad()
            output = module(inputs)
            (output * upstream).sum().backward()
            weights = [p.grad for p in module.parameters()]
            found.append([output.detach(), inputs.grad, *weights, *(b.clone() for b in module.buffers())])
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(b.double(), a.double(), rtol=1e-5, atol=1e-5)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    if kind != "untracked":
        x = torch.randn(3, 5, 4)
        torch.testing.assert_close(ours.eval()(x).double(), theirs.eval()(x.double()), rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("group")
def test_half_precision_keeps_its_type() -> None:
    torch.manual_seed(0)
    theirs, ours = _pair(nn.BatchNorm1d(4))
    x = torch.randn(6, 4, 8).to(torch.bfloat16).requires_grad_()
    output = ours(x)
    output.sum().backward()
    assert output.dtype == x.grad.dtype == torch.bfloat16  # type: ignore[union-attr]
    torch.testing.assert_close(output.double(), theirs(x.double()).to(torch.bfloat16).double(), rtol=1e-2, atol=1e-2)


@pytest.mark.usefixtures("group")
def test_a_lone_value_is_refused() -> None:
    ours = nn.Sequential(nn.BatchNorm1d(3))
    share_statistics(ours)
    with pytest.raises(UsageError, match="one value per channel"):
        ours(torch.zeros(1, 3))
    assert ours(torch.zeros(1, 3, 2)).shape == (1, 3, 2)


def test_what_is_converted() -> None:
    shared = nn.BatchNorm1d(3)
    model = nn.Sequential(nn.Sequential(shared, nn.Conv1d(3, 3, 1)), nn.ModuleDict({"b": shared}), nn.BatchNorm1d(3))
    names, parameters = list(model.state_dict()), [id(p) for p in model.parameters()]
    freeze(model, ["2.*"])
    assert share_statistics(model) == 1
    first, second = model.get_submodule("0.0"), model.get_submodule("1.b")
    assert first is second and isinstance(first, RankBatchNorm1d)
    assert type(model[2]) is nn.BatchNorm1d
    assert not model.train()[2].training and first.training
    assert (list(model.state_dict()), [id(p) for p in model.parameters()]) == (names, parameters)
    assert not has_own_buffers(model)
    assert share_statistics(model) == 0
    with pytest.raises(UsageError, match=r"0 is a BatchNorm2d: only BatchNorm1d .*sync_batch_norm = false"):
        share_statistics(nn.Sequential(nn.BatchNorm2d(2)))


def test_biases_before_a_batch_norm_rest() -> None:
    """They change nothing: their gradient is rounding."""
    model = nn.Sequential(
        nn.Conv1d(4, 3, 1), nn.BatchNorm1d(3), nn.Conv1d(3, 3, 1), nn.ReLU(), nn.Conv1d(3, 3, 1, bias=False),
        nn.BatchNorm1d(3), nn.Linear(5, 3), nn.BatchNorm1d(3), nn.Conv1d(3, 3, 1), nn.BatchNorm1d(3),
        nn.Sequential(nn.Flatten(), nn.Linear(9, 2), nn.BatchNorm1d(2)),
    )  # fmt: skip
    freeze(model, ["9.*"])
    x = torch.randn(6, 4, 5)
    (model(x) * torch.randn(6, 2)).sum().backward()
    gradients = {name: float(p.grad.abs().max()) for name, p in model.named_parameters() if p.grad is not None}
    assert rest_biases(model) == ["0.bias", "10.1.bias"]
    assert {name for name, p in model.named_parameters() if not p.requires_grad} == {
        "0.bias", "10.1.bias", "9.weight", "9.bias",
    }  # fmt: skip
    assert max(gradients["0.bias"], gradients["10.1.bias"]) < 1e-4 < min(gradients["2.bias"], gradients["6.bias"])


def test_rows_that_do_not_count_change_no_statistics() -> None:
    own = nn.Sequential(nn.BatchNorm1d(3))
    assert has_own_buffers(own)
    before = {name: tensor.clone() for name, tensor in own.state_dict().items()}
    with rows_counted(own, False):
        own(torch.randn(1, 3))
    assert all(torch.equal(before[name], tensor) for name, tensor in own.state_dict().items())
    assert own[0].training
