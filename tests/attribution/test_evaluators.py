"""Which engine is taken, and what is said of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

from drg_hpc.attribution import evaluators
from drg_hpc.attribution.edits import Edits
from drg_hpc.attribution.evaluators import choose
from drg_hpc.attribution.full import FullEvaluator
from drg_hpc.attribution.incremental.evaluator import IncrementalEvaluator
from drg_hpc.attribution.incremental.traces import Untraceable
from drg_hpc.attribution.targets import Inputs, TrackStatistic
from drg_hpc.errors import UsageError
from drg_hpc.models.blocks_pooling import RowMinimumWeightedPool
from tests.attribution.ism_world import LENGTH, Net, random_text, text_onehot

X = [torch.from_numpy(text_onehot(random_text()))[None]]


def chosen(net: nn.Module, engine: str) -> Any:
    return choose(TrackStatistic(net, [0, 1], "link"), X, [], engine=engine, batch=8)


class Branches(nn.Module):
    """Its operations depend on what it is given."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        part = x[:, :2] if float(x.sum()) > 0 else x[:, 2:]
        return part.sum(dim=2)


def test_the_engine_that_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger=evaluators.__name__):
        assert isinstance(chosen(Net(), "auto"), IncrementalEvaluator)
        assert isinstance(chosen(Net(), "incremental"), IncrementalEvaluator)
        assert len(caplog.records) == 2 and all("differs" in line.getMessage() for line in caplog.records)
        full = chosen(Net(), "full")
    assert isinstance(full, FullEvaluator) and full.batch == 8 and len(caplog.records) == 2


def test_a_model_that_cannot_be_followed_runs_in_full_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger=evaluators.__name__):
        assert isinstance(chosen(Branches(), "auto"), FullEvaluator)
    assert len(caplog.records) == 1 and "whole model" in caplog.text
    with pytest.raises(Untraceable):
        chosen(Branches(), "incremental")


class Off(FullEvaluator):
    """Wrong by a share of the largest value, at the mutants of the last position alone; or not a number."""

    share = macs = deviation = 0.0

    def __init__(self, statistic: TrackStatistic, xs: Inputs, params: Sequence[torch.Tensor], *, input: int) -> None:
        super().__init__(statistic, batch=8)

    def values(self, xs: Inputs, params: Sequence[torch.Tensor], edits: Edits) -> tuple[torch.Tensor, torch.Tensor]:
        row, found = super().values(xs, params, edits)
        largest = torch.cat([row[None], found]).abs().max()
        return row, found + self.share * largest * torch.from_numpy(edits.starts == LENGTH - 1)[:, None]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_engine_with_other_values_is_not_used(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("drg_hpc.attribution.evaluators.IncrementalEvaluator", Off)
    statistic, xs = TrackStatistic(Net().to(dtype), [0, 1], "link"), [X[0].to(dtype)]
    limit = 1e-4 if dtype == torch.float32 else 1e-9

    def choice(share: float, engine: str) -> Any:
        monkeypatch.setattr(Off, "share", share)
        return choose(statistic, xs, [], engine=engine, batch=8)

    assert isinstance(choice(0.5 * limit, "auto"), Off)
    for share in (2 * limit, float("nan")):
        caplog.clear()
        found = choice(share, "auto")
        assert isinstance(found, FullEvaluator) and not isinstance(found, Off)
        assert len(caplog.records) == 1 and "differ" in caplog.text
        with pytest.raises(UsageError, match="differ from those of the whole model"):
            choice(share, "incremental")


def test_models_imported_in_compatible_mode_run_one_sequence_at_a_time() -> None:
    net = nn.Sequential(nn.Conv1d(4, 2, 5), RowMinimumWeightedPool(4, length=LENGTH - 4), nn.Flatten()).double()
    statistic = TrackStatistic(net, [0, 1], "link")
    for engine in ("auto", "full"):
        found = choose(statistic, X, [], engine=engine, batch=8)
        assert isinstance(found, FullEvaluator) and found.batch == 1
    with pytest.raises(UsageError, match="--compat"):
        choose(statistic, X, [], engine="incremental", batch=8)
