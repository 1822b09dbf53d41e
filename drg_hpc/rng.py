"""Random numbers that depend on (seed, row), never on the shard, the worker or the order of work."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def row_key(seed: int, row: int, stream: str) -> int:
    """A 64-bit key for one row of one random stream.

    Parameters
    ----------
    seed : the user's seed
    row : global row number (or any other counter, such as a training step)
    stream : what the numbers are for, so that two uses of one row do not share numbers
    """
    text = f"{seed}/{row}/{stream}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def row_generator(seed: int, row: int, stream: str) -> np.random.Generator:
    """NumPy generator (Philox, counter based) keyed by :func:`row_key`."""
    import numpy as np

    return np.random.Generator(np.random.Philox(key=row_key(seed, row, stream)))
