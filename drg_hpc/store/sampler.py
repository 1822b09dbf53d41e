"""The order in which training sees rows: a function of (seed, epoch) alone, so any number of ranks continues it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drg_hpc.rng import row_generator


def epoch_order(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Permutation of ``0..n-1`` for an epoch."""
    return row_generator(seed, epoch, "epoch-order").permutation(n)
