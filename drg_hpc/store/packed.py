"""The bits of ``packbits`` one-hot: two bases a byte, A = 8, C = 4, G = 2, T = 1, unknown = 0; the first base is high.

A chunk starts with one byte that says how many bits its last byte is padded by (numcodecs' packbits).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from drg_hpc.genome.onehot import UNKNOWN

F = TypeVar("F", bound=Callable[..., Any])

_NIBBLES = [8, 4, 2, 1]
_CODE_OF = np.full(16, UNKNOWN, np.uint8)
_CODE_OF[_NIBBLES] = range(4)
_PAIRS = np.stack([np.repeat(_CODE_OF, 16), np.tile(_CODE_OF, 16)], axis=1).view("<u2")[:, 0].copy()


def _compiled(function: F) -> F:
    return cast(F, njit(cache=True, nogil=True)(function))


@_compiled
def _pack(codes: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    for i in range(codes.size // 2):
        out[i] = np.uint8(((8 >> (codes[2 * i] & 7)) << 4) | (8 >> (codes[2 * i + 1] & 7)))
    if codes.size % 2:
        out[codes.size // 2] = np.uint8((8 >> (codes[codes.size - 1] & 7)) << 4)


@_compiled
def _unpack(packed: NDArray[np.uint8], pairs: NDArray[np.uint16], out: NDArray[np.uint16]) -> None:
    for i in range(packed.size):
        out[i] = pairs[packed[i]]


def packed_bytes(bases: int) -> int:
    """Bytes of a chunk of so many bases, before compression."""
    return 1 + (bases + 1) // 2


def pack(codes: NDArray[np.uint8], bases: int) -> NDArray[np.uint8]:
    """A chunk of ``bases`` bases from the codes (n,) of its first n, the others unknown."""
    out = np.zeros(packed_bytes(bases), np.uint8)
    out[0] = 4 * (bases % 2)
    _pack(codes, out[1:])
    return out


def unpack(chunk: bytes, bases: int) -> NDArray[np.uint8]:
    """Codes ``(bases,)`` of a chunk.

    Raises
    ------
    ValueError : the chunk has another size
    """
    if len(chunk) != packed_bytes(bases) or chunk[0] != 4 * (bases % 2):
        raise ValueError(f"a chunk of {bases} bases has {len(chunk)} bytes, not {packed_bytes(bases)}")
    out = np.empty(len(chunk) - 1, np.uint16)
    _unpack(np.frombuffer(chunk, np.uint8)[1:], _PAIRS, out)
    return out.view(np.uint8)[:bases]
