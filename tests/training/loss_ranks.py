"""Started by test_losses.py under torchrun: the objective of every loss and its gradient, rows shared over ranks."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import torch
from training.loss_formulas import COUNT_WEIGHT, cases, make_case

from drg_hpc.training.distributed import Group, join
from drg_hpc.training.losses import make_loss
from drg_hpc.training.objective import HeadLoss, Objective


def shared(group: Group, number: int, rows: slice) -> tuple[float, np.ndarray]:
    """Objective, and this rank's part of its gradient after the mean over ranks that DDP takes."""
    name, link, shape = cases()[number]
    case = make_case(name, link, shape)
    loss = make_loss(name, link, count_weight=COUNT_WEIGHT)  # type: ignore[arg-type]
    objective = Objective([HeadLoss("main", slice(0, shape[1]), loss)])
    prediction = torch.tensor(case.prediction[rows], requires_grad=True)
    valid = case.valid[rows]
    totals = objective.totals(prediction, torch.tensor(case.target[rows]), torch.tensor(valid), ranks=group)
    units = np.array(group.sum([float(x) for x in objective.units(valid).sum(0)]))
    factors = torch.tensor(objective.factors(units))
    (totals * factors * group.world).sum().backward()  # type: ignore[no-untyped-call]
    assert prediction.grad is not None
    value = group.sum([float((totals.detach() * factors).sum())])[0]
    return value, prediction.grad.numpy() / group.world


def main(folder: Path) -> None:
    with join("cpu") as group:
        found: dict[str, np.ndarray] = {}
        for number in range(len(cases())):
            # uneven shares; one case in five leaves a rank without any row
            cut = 7 if number % 5 == 4 else 3
            rows = slice(0, cut) if group.main else slice(cut, 7)
            value, gradient = shared(group, number, rows)
            found |= {f"{number}.value": np.array(value), f"{number}.gradient": gradient}
        np.savez(folder / f"{group.rank}.npz", **found)  # type: ignore[arg-type]
        group.barrier()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    os._exit(0)  # the interpreter's shutdown may abort in gloo (see training/distributed.py)
