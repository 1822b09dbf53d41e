"""Compare functions as a user's module may have them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def squared(mutant: NDArray[Any], reference: NDArray[Any]) -> NDArray[Any]:
    """The square of the difference, plus one."""
    found: NDArray[Any] = (mutant - reference) ** 2 + 1
    return found


def worst(mutant: NDArray[Any], reference: NDArray[Any]) -> NDArray[Any]:
    """One number a mutant, which is not what is needed."""
    found: NDArray[Any] = np.abs(mutant - reference).max(axis=-1)
    return found


def fails(mutant: NDArray[Any], reference: NDArray[Any]) -> NDArray[Any]:
    """An error of the user's own."""
    raise KeyError("weight")
