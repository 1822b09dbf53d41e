"""The random copies of sequences that SmoothGrad averages over; numbers depend on (seed, row, copy) alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.rng import row_generator


def substituted(
    x: torch.Tensor, *, rows: Sequence[int], seed: int, copy: int, keep: float, name: str = ""
) -> torch.Tensor:
    """Sequences with random bases put in: SmoothGrad (Smilkov et al. 2017) on the simplex, as Borzoi draws its copies.

    A position is drawn anew with probability ``1 - (keep - 1/4) / (3/4)`` from the base composition of its own
    sequence, so that it may keep its base: with even composition a share ``keep`` of bases stays. Unknown bases stay.

    Parameters
    ----------
    x : one-hot (b, 4, length); rows beyond ``len(rows)`` are padding and stay as they are
    rows : global row numbers
    copy : number of the copy
    keep : from 0.25 to 1
    name : of the input, so that several inputs of a row get numbers of their own
    """
    found = x.clone()
    length = x.shape[-1]
    for at, row in enumerate(rows):
        sequence: NDArray[Any] = x[at].cpu().numpy()
        known = sequence.any(axis=0)
        counts = sequence[:, known].sum(axis=1, dtype=np.float64)
        if not counts.sum():
            continue
        generator = row_generator(seed, row, f"smoothgrad:{name}:{copy}")
        anew = (generator.random(length) < 1 - (keep - 0.25) / 0.75) & known
        edges = np.cumsum(counts / counts.sum())
        bases = np.minimum(np.searchsorted(edges, generator.random(length), side="right"), 3)
        sequence = sequence.copy()
        sequence[:, anew] = np.eye(4, dtype=sequence.dtype)[:, bases[anew]]
        found[at] = torch.from_numpy(sequence).to(found)
    return found


def noisy(x: torch.Tensor, *, rows: Sequence[int], seed: int, copy: int, level: float, name: str = "") -> torch.Tensor:
    """Sequences with Gaussian noise on all four channels of known bases, of standard deviation ``level``: SmoothGrad as
    for images. What comes out is no sequence.

    Parameters
    ----------
    as :func:`substituted`
    """
    found = x.clone()
    for at, row in enumerate(rows):
        generator = row_generator(seed, row, f"smoothgrad-gaussian:{name}:{copy}")
        noise = torch.from_numpy(generator.normal(0.0, level, x.shape[1:])).to(found)
        found[at] += noise * (x[at] != 0).any(dim=0)
    return found
