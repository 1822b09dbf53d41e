"""Rows that a model was trained or chosen on, and what to evaluate of models of which each has seen others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.prediction.predictors import Kind, Predictor
from drg_hpc.prediction.rows import Block
from drg_hpc.store.reader import DatasetStore

HELD_OUT = "held-out"
"""Split: rows that at least one of the models has not seen, of those that training could have used."""
NAME = "held_out"
Mask = NDArray[np.bool_]


def seen_rows(header: Mapping[str, Any], store: DatasetStore, *, sha256: str) -> Mask | None:
    """Which rows of a store are of the splits that a model was trained and chosen on, (rows,); None when it was not
    trained on this store, or nothing says so.

    Parameters
    ----------
    sha256 : of the store
    """
    provenance = header.get("provenance", {})
    data = provenance.get("recipe", {}).get("data", {})
    if provenance.get("store") != sha256 or "train" not in data or "valid" not in data:
        return None
    found = np.zeros(store.rows, np.bool_)
    for split in (data["train"], data["valid"]):
        found[store.split_rows(str(split))] = True
    return found


def held_out_rows(store: DatasetStore, seen: Mapping[str, Mask | None]) -> tuple[NDArray[np.int64], Mask]:
    """Rows to evaluate, and which models have not seen them, (rows, models).

    Parameters
    ----------
    seen : of each model, as :func:`seen_rows`

    Raises
    ------
    InputError : a model was not trained on this store; no such rows
    """
    if strangers := [name for name, mask in seen.items() if mask is None]:
        raise InputError(
            f"--split {HELD_OUT}: nothing says which rows of {store.path} {strangers[0]} was trained on",
            fix="give models trained on this store, or another --split",
        )
    masks = np.stack([mask for mask in seen.values() if mask is not None], axis=1)
    usable = np.zeros(store.rows, np.bool_)
    usable[store.split_rows("all")] = True
    usable &= (store.regions["split"] != "excluded").to_numpy()
    rows = np.flatnonzero(usable & ~masks.all(axis=1)).astype(np.int64)
    if not len(rows):
        raise InputError(f"--split {HELD_OUT}: the models have seen all rows of {store.path}", fix="choose a split")
    return rows, ~masks[rows]


class HeldOut(Predictor):
    """Of each row the mean output of the models that have not seen it.

    Parameters
    ----------
    unseen : (rows, members)
    """

    kind: Kind = "ensemble"

    def __init__(self, members: Sequence[Predictor], unseen: Mask) -> None:
        super().__init__(NAME)
        self._members, self._unseen = list(members), unseen

    def raw(self, block: Block) -> tuple[Mask, dict[str, Any]]:
        unseen = self._unseen[block.at : block.at + len(block.rows)]
        needed = [member for number, member in enumerate(self._members) if unseen[:, number].any()]
        return unseen, {member.name: member.raw(block) for member in needed}

    def outputs(self, raws: Mapping[str, Any], tracks: slice) -> NDArray[np.float64]:
        unseen, known = raws[self.name]
        parts, weights = [], []
        for number, member in enumerate(self._members):
            if member.name in known:
                found = member.outputs(known, tracks)
                mine = unseen[:, number].reshape(-1, *([1] * (found.ndim - 1)))
                parts.append(np.where(mine, found, 0.0))
                weights.append(mine.astype(np.float64))
        mean: NDArray[np.float64] = np.sum(parts, axis=0) / np.sum(weights, axis=0)
        return mean
