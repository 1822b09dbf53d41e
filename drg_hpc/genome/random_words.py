"""Random numbers inside compiled loops: a splitmix64 stream (Steele et al. 2014) a row, seeded by the row's key.

The state is an array of one word, so that compiled functions can move it on. See :func:`drg_hpc.rng.row_keys`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
State = NDArray[np.uint64]


def compiled(function: F) -> F:
    """Compile, keep the machine code on disk, and let other threads run meanwhile."""
    return cast(F, njit(cache=True, nogil=True)(function))


@compiled
def next_word(state: State) -> np.uint64:
    """The next 64 random bits."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    word: np.uint64 = z ^ (z >> np.uint64(31))
    return word


@compiled
def below(state: State, bound: int) -> int:
    """Number in [0, bound); the bias is below bound / 2^32."""
    return int(((next_word(state) >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32))


@compiled
def bits53(state: State) -> int:
    """Number in [0, 2^53)."""
    return int(np.int64(next_word(state) >> np.uint64(11)))


@compiled
def uniform(state: State) -> float:
    """Number in [0, 1), of 53 random bits."""
    return float(bits53(state)) * (1.0 / 9007199254740992.0)
