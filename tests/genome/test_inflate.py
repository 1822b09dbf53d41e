"""The same bytes as zlib, and the same faults refused."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from drg_hpc.genome.inflate import InflateError, inflate


def test_streams() -> None:
    rng = np.random.default_rng(0)
    for size in (0, 1, 5000, 100_000):
        content = rng.integers(0, 20, size, np.uint8).tobytes()
        stored = memoryview(zlib.compress(content))
        for expected in (1, size, 10**9):  # what a header says of the size is a hint
            assert inflate(stored, expected, 200_000) == content
        for fault in (stored[:-1], stored[:-4], stored[: len(stored) // 2]):
            with pytest.raises(InflateError):
                inflate(fault, size, 200_000)
    with pytest.raises(InflateError):
        inflate(stored, 100_000, 99_999)
    altered = bytearray(stored)
    altered[-1] ^= 1  # the Adler-32 sum
    with pytest.raises(InflateError):
        inflate(memoryview(altered), 100_000, 200_000)
