"""Where a training is: everything besides weights and optimizer that the next step depends on."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Best:
    """The epoch whose weights are kept, and how they scored on the validation rows."""

    epoch: int
    step: int
    loss: float
    scores: dict[str, float | None]
    tracks: dict[str, list[float | None]]


@dataclass
class TrainState:
    """Progress of a training, the same on all ranks but for ``loss_sum``.

    Parameters
    ----------
    step : optimizer steps done
    epoch, step_in_epoch : steps done in the current epoch; both count from 0
    loss_sum, units : this rank's sum of losses in the current epoch, and the units of all ranks in it
    history : a row per finished epoch
    best : the best epoch so far
    """

    step: int = 0
    epoch: int = 0
    step_in_epoch: int = 0
    loss_sum: float = 0.0
    units: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: Best | None = None

    @property
    def losses(self) -> list[float]:
        """Validation losses of the finished epochs."""
        return [float(row["valid_loss"]) for row in self.history]

    def waited(self) -> int:
        """Finished epochs since the best one."""
        return 0 if self.best is None else self.epoch - 1 - self.best.epoch

    def to_json(self, loss_sums: list[float]) -> dict[str, Any]:
        """Plain values; ``loss_sums`` are those of all ranks."""
        values = asdict(self)
        del values["loss_sum"]
        return {**values, "loss_sums": loss_sums}

    @classmethod
    def from_json(cls, values: dict[str, Any], *, rank: int, world: int) -> TrainState:
        """Read back. With as many ranks as before each gets its own sum (bitwise), else rank 0 gets the total."""
        sums = values["loss_sums"]
        if len(sums) == world:
            mine = sums[rank]
        else:
            mine = sum(sums) if rank == 0 else 0.0
        best = None if values["best"] is None else Best(**values["best"])
        plain = {key: values[key] for key in ("step", "epoch", "step_in_epoch", "units", "history")}
        return cls(**plain, loss_sum=float(mine), best=best)
