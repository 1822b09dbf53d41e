"""Runs of drg-ablate in this process, and the same by the plain definition: every copy through the model by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from prediction.small_world import finish

from drg_hpc.bodies import ablate_plan
from drg_hpc.genome.shuffle import dinucleotide_shuffle
from drg_hpc.rng import row_keys

Array = NDArray[Any]
FREQUENCIES = (0.1, 0.2, 0.3, 0.4)
Predict = Callable[[Array], Array]
"""Values (k,) of one sequence (4, L)."""


def options_of(model: Path, source: Path | None, out: Path, **chosen: Any) -> ablate_plan.Options:
    return ablate_plan.Options(model=model, input=source, out=out, **chosen)


def ablate(out: Path, model: Path, source: Path | None, **chosen: Any) -> dict[str, Any]:
    """A whole run; its done.json."""
    return finish(options_of(model, source, out, **chosen), ablate_plan)


def read(out: Path) -> dict[str, Any]:
    """All datasets of a run, by their paths."""
    found: dict[str, Any] = {}
    with h5py.File(out / "out.h5") as handle:
        handle.visititems(
            lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
        )  # fmt: skip
    return found


def plain_copies(codes: Array, row: int, start: int, end: int, *, replace: str, copies: int, seed: int) -> list[Array]:
    """Copies of a sequence (L,) with a piece replaced, one after the other, as :mod:`drg_hpc.rng` draws its words."""
    found, width, piece = [], end - start, codes[start:end]
    for copy in range(copies):
        kind = {"mono": f"ism:window_{width}_shuffle::", "dinuc": f"ism:window_{width}_dinuc::"}
        stream = kind.get(replace, f"ablate:background:{width}:")
        key = row_keys(seed, np.array([start]), f"{stream}{copy}", step=row)
        state, words = int(key[0]), []
        for _ in range(width):
            state = (state + 0x9E3779B97F4A7C15) % 2**64
            z = state
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
            words.append(z ^ (z >> 31))
        put = piece.copy()
        known = [at for at in range(width) if piece[at] < 4]
        if replace == "dinuc":
            put = dinucleotide_shuffle(piece[None], key)[0]
        elif replace == "mono":
            order = sorted(known, key=lambda at: words[at] >> 1)
            for to, come in zip(known, order, strict=True):
                put[to] = piece[come]
        else:
            limits = np.cumsum(FREQUENCIES)[:3]
            for at in known:
                put[at] = int(((words[at] >> 11) / 2**53 >= limits).sum())
        changed = codes.copy()
        changed[start:end] = put
        found.append(changed)
    return found


def onehot(codes: Array) -> Array:
    """(4, L) of codes (L,)."""
    found: Array = np.eye(5, 4, dtype=np.float32)[codes].T
    return found


def plain_effect(
    predict: Predict, codes: Array, row: int, span: tuple[int, int], **how: Any
) -> tuple[Array, Array]:  # fmt: skip
    """Effect and s.d. over copies of one piece, (k,)."""
    values = np.stack([predict(onehot(copy)) for copy in plain_copies(codes, row, *span, **how)])
    return values.mean(axis=0) - predict(onehot(codes)), values.std(axis=0, ddof=1)


def predictor(*modules: torch.nn.Module, views: Sequence[Callable[[torch.Tensor], torch.Tensor]] = ()) -> Predict:
    """Mean of some models over some views of the sequence."""

    def predict(x: Array) -> Array:
        seen = [view(torch.from_numpy(x)[None]) for view in (*views, *(() if views else (lambda y: y,)))]
        with torch.no_grad():
            found = torch.stack([module(each)[0] for module in modules for each in seen])
        mean: Array = found.double().mean(dim=0).numpy()
        return mean

    return predict
