"""Runs of drg-ism in this process, and the same by the plain definition: every mutant through the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.bodies import ism_plan
from drg_hpc.models.base import SequenceModel
from drg_hpc.runs.spec import RunSpec
from tests.prediction.small_world import finish, make_model, make_store

World = tuple[Path, Path, Any]
LENGTH = 40


def options(folder: Path, model: Path, source: Path | None, **chosen: Any) -> ism_plan.Options:
    return ism_plan.Options(model=model, input=source, out=folder, **chosen)


def plan(folder: Path, model: Path, source: Path | None, **chosen: Any) -> RunSpec:
    return ism_plan.plan_shards(options(folder, model, source, **chosen))


def ism(folder: Path, model: Path, source: Path | None, **chosen: Any) -> dict[str, Any]:
    """A whole run; its done.json."""
    return finish(options(folder, model, source, **chosen), ism_plan)


def values(module: SequenceModel, *xs: NDArray[Any]) -> NDArray[np.float64]:
    """Link-scale values (n, tracks) of one-hot (n, 4, L) of each input."""
    given = [torch.from_numpy(np.asarray(x, np.float32)) for x in xs]
    with torch.no_grad():
        found = module(given[0] if len(given) == 1 else given)
    return found.double().numpy()


def effects(
    module: SequenceModel, x: NDArray[Any], others: dict[int, NDArray[Any]] | None = None
) -> NDArray[np.float64]:
    """Mutant minus sequence of every base at every position of one sequence: (tracks, 4, L).

    Parameters
    ----------
    x : (4, L)
    others : the other inputs (4, L), by number, of which ``x`` is the one that is missing
    """
    length = x.shape[1]
    mutants = np.repeat(x[None], 4 * length, axis=0)
    bases, places = np.divmod(np.arange(4 * length), length)
    mutants[np.arange(4 * length), :, places] = np.eye(4)[bases]
    every = np.concatenate([x[None], mutants])
    given: list[NDArray[Any]] = [every]
    if others is not None:
        mine = next(number for number in range(len(others) + 1) if number not in others)
        given = [every if n == mine else np.repeat(others[n][None], len(every), axis=0) for n in range(len(others) + 1)]
    found = values(module, *given)
    return (found[1:] - found[0]).T.reshape(-1, 4, length)


def make_world(folder: Path, *, rows: int = 420) -> World:
    """Model, store and module; a third of the rows are of the test split, some bases are unknown."""
    module = make_model(folder / "model", length=LENGTH)
    return folder / "model", make_store(folder, rows=rows, length=LENGTH), module
