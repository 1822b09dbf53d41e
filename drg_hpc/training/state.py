"""Where a training is: everything besides weights and optimizer that the next step depends on."""

from __future__ import annotations

from collections.abc import Sequence
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
    """Progress of a training, the same on all ranks but for ``loss_sums``.

    Parameters
    ----------
    step : optimizer steps done
    epoch, step_in_epoch : steps done in the current epoch; both count from 0
    loss_sums, units : this rank's sum of each term of the loss in the current epoch, and its units on all ranks
    history, speed : a row per finished epoch: what was reached, and how fast
    best : the best epoch so far
    """

    step: int = 0
    epoch: int = 0
    step_in_epoch: int = 0
    loss_sums: list[float] = field(default_factory=list)
    units: list[int] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    speed: list[dict[str, Any]] = field(default_factory=list)
    best: Best | None = None

    @property
    def losses(self) -> list[float]:
        """Validation losses of the finished epochs."""
        return [float(row["valid_loss"]) for row in self.history]

    def add(self, sums: Sequence[float], units: Sequence[int]) -> None:
        """Count a batch of the current epoch in."""
        self.loss_sums = [a + b for a, b in zip(self.loss_sums or [0.0] * len(sums), sums, strict=True)]
        self.units = [a + int(b) for a, b in zip(self.units or [0] * len(units), units, strict=True)]

    def next_epoch(self) -> None:
        """Begin the next epoch."""
        self.epoch, self.step_in_epoch, self.loss_sums, self.units = self.epoch + 1, 0, [], []

    def to_json(self, loss_sums: list[list[float]]) -> dict[str, Any]:
        """Plain values; ``loss_sums`` are those of all ranks."""
        return {**asdict(self), "loss_sums": loss_sums}

    @classmethod
    def from_json(cls, values: dict[str, Any], *, rank: int, world: int) -> TrainState:
        """Read back. With as many ranks as before each gets its own sums (bitwise), else rank 0 gets the totals."""
        sums = values["loss_sums"]
        if len(sums) == world:
            mine = sums[rank]
        else:
            mine = [sum(term) if rank == 0 else 0.0 for term in zip(*sums, strict=True)]
        best = None if values["best"] is None else Best(**values["best"])
        plain = {key: values[key] for key in ("step", "epoch", "step_in_epoch", "units", "history", "speed")}
        return cls(**plain, loss_sums=[float(value) for value in mine], best=best)
