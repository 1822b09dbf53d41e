"""Random numbers that depend on (seed, row), never on the shard, the worker or the order of work."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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


def row_keys(seed: int, rows: NDArray[np.int64] | range, stream: str, *, step: int = 0) -> NDArray[np.uint64]:
    """Keys of many rows of one random stream, (rows,) uint64: splitmix64 (Steele et al. 2014) at position ``row``
    of the sequence that begins at :func:`row_key`. Other numbers than ``row_key`` gives each row.

    Parameters
    ----------
    rows : global row numbers, at least 0
    step : a further counter, such as the epoch
    """
    import numpy as np

    return _splitmix(np.asarray(rows, np.uint64), np.uint64(row_key(seed, step, stream)))


def key_words(keys: NDArray[np.uint64], count: int) -> NDArray[np.uint64]:
    """The first random words of each of some keys (E,), such as :func:`row_keys` gives: (E, count)."""
    import numpy as np

    return _splitmix(np.arange(count, dtype=np.uint64), keys[:, None])


def _splitmix(counters: NDArray[np.uint64], key: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    """The numbers at some places of the sequences that begin at ``key``."""
    import numpy as np

    z = (counters + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + key
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return mixed


def row_generator(seed: int, row: int, stream: str) -> np.random.Generator:
    """NumPy generator (Philox, counter based) keyed by :func:`row_key`."""
    import numpy as np

    return np.random.Generator(np.random.Philox(key=row_key(seed, row, stream)))
