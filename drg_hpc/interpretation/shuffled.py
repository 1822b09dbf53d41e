"""Windows that say nothing: contributions of real ones on shuffled letters, and how alike such windows are.

What two windows without a common motif have in common depends on how high and how wide their contributions are: short
high ones are alike by chance. So the comparison keeps every position's contributions and the window's letters, and
changes which letter is at which position.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drg_hpc.interpretation.products import best_values
from drg_hpc.interpretation.similarity import Float32, Metric
from drg_hpc.rng import row_generator

_PAIRED = 1500


def shuffled_windows(windows: Float32, size: int, seed: int) -> Float32:
    """(size, 4, W) windows, drawn with replacement, with their letters shuffled.

    A position's letter is the one with the largest contribution; its four contributions move with it: the largest goes
    to the new letter, and that letter's to the old one. Positions without contribution take no part.

    Parameters
    ----------
    windows : (n, 4, W)
    """
    rng = row_generator(seed, 0, "shuffled windows")
    out = windows[rng.choice(len(windows), size=size)]
    width = windows.shape[2]
    letter, empty = np.abs(out).argmax(axis=1), ~out.any(axis=1)
    places = np.broadcast_to(np.arange(width), letter.shape)
    here = np.argsort(np.where(empty, width + places, places), axis=1, kind="stable")
    there = np.argsort(np.where(empty, width + places, rng.random(letter.shape)), axis=1, kind="stable")
    new = np.empty_like(letter)
    np.put_along_axis(new, here, np.take_along_axis(letter, there, axis=1), axis=1)
    rows = np.arange(size)[:, None]
    old_value, new_value = out[rows, letter, places], out[rows, new, places]
    out[rows, letter, places], out[rows, new, places] = new_value, old_value
    return out


def similarity_by_chance(
    shuffled: Float32, quantile: float, *, metric: Metric, min_overlap: int, device: str = "cpu"
) -> float:
    """Quantile of the similarity of pairs of shuffled windows (m, 4, W), of at most 1,500 with 1,500 others."""
    half = min(_PAIRED, len(shuffled) // 2)
    pairs = best_values(shuffled[:half], shuffled[-half:], metric=metric, min_overlap=min_overlap, device=device)
    return float(np.quantile(pairs, quantile))


def tail_rows(
    score: NDArray[np.floating], chance: NDArray[np.floating], *, share: float, rate: float
) -> NDArray[np.intp]:
    """Rows of the longest list, from the highest score down, of which at most ``rate`` are expected by chance.

    Parameters
    ----------
    score : (n,) of real windows
    chance : (m,) of shuffled ones
    share : real windows per shuffled window, of all that were scored

    Returns
    -------
    Row numbers, ascending; (1 + windows by chance at least as high) * share / (length of the list) <= rate. One more is
    counted because no shuffled window above a score does not mean that none could be.
    """
    order = np.argsort(-score, kind="stable")
    sorted_chance = np.sort(chance)
    above = len(chance) - np.searchsorted(sorted_chance, score[order], side="left")
    fits = np.flatnonzero((above + 1) * share <= rate * np.arange(1, len(order) + 1))
    return np.sort(order[: fits[-1] + 1]) if len(fits) else np.zeros(0, np.intp)
