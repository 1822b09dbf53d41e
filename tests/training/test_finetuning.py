"""Fine-tuning, optimizers and losses in whole trainings."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from training.trainings import SMALL, drive, history, options, weights

from drg_hpc.errors import UsageError
from drg_hpc.training.run import train

Maker = Callable[..., Path]


def test_fine_tuning_goes_on_from_the_best_weights(make_store: Maker, tmp_path: Path) -> None:
    """A rate that is much too high soon stops to help; stopped anywhere, the weights are the same."""
    store = make_store(200)
    more: dict[str, Any] = {
        "optim": {"name": "nag", "lr": 0.3, "finetune_rounds": 2, "finetune_patience": 1, "finetune_factor": 0.1},
        "train": {"epochs": 30, "batch_size": 50, "patience": 2},
    }
    whole = train(options(store, tmp_path / "whole", **more))
    rows = [dict(zip(history(whole)[0], row, strict=True)) for row in history(whole)[1:]]
    rates = [float(row["lr"]) for row in rows]
    assert sorted(set(rates), reverse=True) == pytest.approx([0.3, 0.03, 0.003])
    assert rates == sorted(rates, reverse=True)
    losses = [float(row["valid_loss"]) for row in rows]
    first = rates.index(min(rates))
    assert losses[first] < 1.2 * min(losses[:first])  # not from where the round before had gone
    for every in (1, 3):
        drive(store, tmp_path / f"parts{every}", max_steps=every, **more)
        assert weights(tmp_path / f"parts{every}") == weights(whole)
        assert history(tmp_path / f"parts{every}") == history(whole)


@pytest.mark.parametrize("name", ["adagrad", "adadelta", "adam", "nadam", "amsgrad"])
def test_every_optimizer_resumes_bitwise(make_store: Maker, tmp_path: Path, name: str) -> None:
    store = make_store(200, kind="real", tracks=2, nan=0.2)
    more = {"optim": {"name": name, "kernel_lr": 1e-4, "warmup_epochs": 1}, "train": {**SMALL["train"], "loss": "l1"}}
    whole = train(options(store, tmp_path / "whole", **more))
    drive(store, tmp_path / "parts", max_steps=3, **more)
    assert weights(tmp_path / "parts") == weights(whole)


@pytest.mark.parametrize(
    ("loss", "bins"),
    [("Correlationmse", 0), ("Correlationboth", 0), ("MSEcontrastMSEF", 0), ("MSECorrelation", 8), ("JSD", 8)],
)
def test_losses_of_several_terms_train(make_store: Maker, tmp_path: Path, loss: str, bins: int) -> None:
    store = make_store(300, kind="counts" if bins else "real", tracks=3, bins=bins, nan=0.1)
    more = {"train": {"epochs": 4, "batch_size": 50, "loss": loss, "patience": 0}}
    model = train(options(store, tmp_path / "m", **more))
    column = history(model)[0].index(
        "train_loss"
    )  # what tracks differ by is noise here: it can only be learnt by heart
    losses = [float(row[column]) for row in history(model)[1:]]
    assert all(math.isfinite(value) for value in losses)
    assert losses[-1] < losses[0]
    if loss not in ("Correlationmse", "JSD"):  # rows act on each other
        with pytest.raises(UsageError, match=r"train\.accumulate = 2"):
            train(options(store, tmp_path / "n", train={**more["train"], "accumulate": 2}))
