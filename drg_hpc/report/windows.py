"""Where along a sequence the attributions are strongest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WINDOW = 30
"""Bases of the stretch whose sum counts: about two motifs."""


def window_sums(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Sums over all stretches of 30 positions (fewer in shorter rows), (rows, stretches)."""
    width = min(WINDOW, values.shape[1])
    cumulated = np.cumsum(np.pad(values.astype(np.float64), ((0, 0), (1, 0))), axis=1)
    return np.asarray(cumulated[:, width:] - cumulated[:, :-width], np.float64)


def strongest_window(values: NDArray[np.floating], width: int) -> tuple[int, int]:
    """First and last (exclusive) of ``width`` positions around the strongest stretch, moved inwards at the ends.

    The strongest stretch has the largest |sum| over 30 positions, added up over rows; the first of equal ones.

    Parameters
    ----------
    values : (rows, length), such as a row for each track of one sequence; NaN counts as 0
    """
    length = values.shape[1]
    totals = np.abs(window_sums(np.nan_to_num(values))).sum(axis=0)
    middle = int(totals.argmax()) + min(WINDOW, length) // 2
    first = int(np.clip(middle - width // 2, 0, max(length - width, 0)))
    return first, min(first + width, length)
