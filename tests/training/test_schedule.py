"""Learning rates, early stopping and fine-tuning as functions of step and history."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from drg_hpc.training.config_optim import OptimTable
from drg_hpc.training.schedule import Phase, find_phase, learning_rate


def table(**values: Any) -> OptimTable:
    return OptimTable.model_validate({"lr": 1.0, **values})


def rates(losses: tuple[float, ...] = (), *, steps: int = 10, per_epoch: int = 1, **values: Any) -> list[float]:
    common: dict[str, Any] = {"total_steps": steps, "steps_per_epoch": per_epoch, "losses": losses, "phase": Phase()}
    return [learning_rate(table(**values), step=step, **common) for step in range(steps)]


def test_schedules() -> None:
    assert rates() == [1.0] * 10
    assert rates(schedule="cosine") == pytest.approx(list(0.5 + 0.5 * np.cos(np.pi * np.arange(10) / 10)))
    floored = rates(schedule="cosine", min_lr=0.2, warmup_steps=2)
    assert floored[:3] == [0.5, 1.0, 1.0]
    assert floored[6] == pytest.approx(0.6)
    assert rates(schedule="linear", min_lr=0.5, steps=4) == [1.0, 0.875, 0.75, 0.625]
    plateau = {"schedule": "plateau", "plateau_patience": 1, "plateau_factor": 0.1}
    assert rates((3.0, 2.0, 2.5), **plateau)[0] == 1.0
    assert rates((3.0, 2.0, 2.5, 2.1), **plateau)[0] == pytest.approx(0.1)
    assert rates((3.0, 2.0, 2.5, 2.1, 2.2, 2.2), **plateau)[0] == pytest.approx(0.01)
    assert rates((3.0, 2.0, 2.5, 2.1, 2.2, 2.2), min_lr=0.05, **plateau)[0] == 0.05


def test_warm_up() -> None:
    assert rates(warmup_steps=4)[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates(warmup_epochs=2, per_epoch=3)[:7] == [0.5] * 3 + [1.0] * 4
    drg = rates(warmup_epochs=7, warmup="exponential", per_epoch=2, steps=18)
    assert drg == pytest.approx([4.0 ** (min(epoch, 7) - 7) for epoch in range(9) for _ in range(2)])
    steep = rates(warmup_steps=2, warmup="exponential", warmup_start=0.01)
    assert steep[:3] == pytest.approx([0.01, 0.1, 1.0])
    after = rates(warmup_epochs=2, per_epoch=2, schedule="linear", steps=8)
    assert after == [0.5, 0.5, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]
    # what the validation loss does while the rate rises is not the rate's fault
    waiting = {"schedule": "plateau", "plateau_patience": 0, "warmup_epochs": 2}
    assert rates((1.0, 2.0, 1.5), **waiting)[3] == 1.0
    assert rates((1.0, 2.0, 1.5, 1.6), **waiting)[3] == 0.5


@pytest.mark.parametrize(
    "values",
    [
        {"min_lr": 0.1},
        {"min_lr": 1.0, "schedule": "cosine"},
        {"plateau_patience": 1, "schedule": "cosine"},
        {"warmup": "exponential"},
        {"warmup_start": 0.1, "warmup_steps": 3},
        {"warmup_steps": 3, "warmup_epochs": 3},
        {"finetune_patience": 2},
    ],
)
def test_options_without_use_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"optim\.\w+"):
        table(**values)


def test_early_stop() -> None:
    def stop(losses: list[float], **values: int) -> str:
        return find_phase(table(), **{"epochs": 6, "patience": 2, **values}, losses=losses).stop

    assert stop([]) == ""
    assert stop([3, 2, 2]) == ""
    assert stop([3, 2, 2, 2]) == "early stop: no better validation loss for 2 epochs"
    assert stop([3, 2, 2, 1, 1]) == ""
    assert stop([3, 3, 3, 3, 3], patience=0) == ""
    assert stop([3, 3, 3, 3, 3, 3], patience=0) == "all epochs are done"


def test_fine_tuning() -> None:
    """Patience 2, then rounds that end when more than one epoch brings nothing better; two of them."""
    optim = table(finetune_rounds=2, finetune_patience=1, schedule="linear")
    losses = [5.0, 4.0, 4.5, 4.2, 3.0, 3.5, 3.4, 3.3, 3.2]
    #         main: best 1, two worse  | round 1: better, two worse | round 2: two worse

    def after(count: int) -> Phase:
        return find_phase(optim, epochs=20, patience=2, losses=losses[:count])

    def rate(count: int) -> float:
        return learning_rate(
            optim, step=2 * count, total_steps=40, steps_per_epoch=2, losses=losses[:count], phase=after(count)
        )

    assert [after(count).round for count in range(9)] == [0, 0, 0, 0, 1, 1, 1, 2, 2]
    assert [count for count in range(9) if after(count).reload] == [4, 7]
    assert [after(count).best for count in (4, 5, 7, 8)] == [1, 4, 4, 4]
    ended = after(9)
    assert ended.stop == "early stop: no better validation loss for 2 epochs in round 2 of fine-tuning"
    # from the rate of the last step of the best epoch before, whatever the schedule
    base = 1 - 3 / 40
    assert [rate(count) for count in range(4)] == [1 - 2 * count / 40 for count in range(4)]
    assert [rate(count) for count in (4, 5, 6, 7, 8)] == pytest.approx([0.2 * base] * 3 + [0.04 * base] * 2)
    assert find_phase(optim, epochs=6, patience=2, losses=losses[:6]).stop == "all epochs are done"


def test_rounds_of_fine_tuning_are_counted_as_drg_does() -> None:
    """Nothing ever gets better: five rounds of four epochs."""
    optim = table(finetune_rounds=5)
    losses = [1.0] * 50
    counts = [n for n in range(50) if find_phase(optim, epochs=99, patience=3, losses=losses[:n]).reload]
    assert counts == [4, 8, 12, 16, 20]
    assert find_phase(optim, epochs=99, patience=3, losses=losses[:23]).stop == ""
    assert "round 5" in find_phase(optim, epochs=99, patience=3, losses=losses[:24]).stop
