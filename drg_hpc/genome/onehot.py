"""Letters, base codes and one-hot rows. A, C, G, T are 0 to 3, upper or lower case; every other letter is 4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])

UNKNOWN = 4

_CODES = bytearray([UNKNOWN]) * 256
for _code, _letter in enumerate(b"ACGT"):
    _CODES[_letter] = _CODES[_letter + 32] = _code
_TEXT = b"ACGT" + b"N" * 252
_COMPLEMENT = bytes([3, 2, 1, 0]) + bytes([UNKNOWN]) * 252
_BLANK = 255
_LINES = np.frombuffer(bytes(_CODES), np.uint8).copy()
_LINES[list(b"\r\n \t")] = _BLANK
_WORDS = np.zeros(256, np.uint32)
_WORDS[:4] = np.eye(4, dtype=np.bool_).view(np.uint32)[:, 0]


def _compiled(function: F) -> F:
    return cast(F, njit(cache=True, nogil=True)(function))


@_compiled
def _expand(codes: NDArray[np.uint8], words: NDArray[np.uint32], out: NDArray[np.uint32]) -> None:
    for i in range(codes.size):
        out[i] = words[codes[i]]


@_compiled
def _collapse(words: NDArray[np.uint32], out: NDArray[np.uint8]) -> None:
    for i in range(words.size):
        word = words[i]
        out[i] = np.uint8((word == 0) * 4 + (word >= 1 << 8) + (word >= 1 << 16) + (word >= 1 << 24))


@_compiled
def _read_lines(
    text: NDArray[np.uint8], table: NDArray[np.uint8], skip: int, out: NDArray[np.uint8]
) -> tuple[int, int, int]:
    position, skipped, found = 0, 0, 0
    while position < text.size and skipped < skip:
        skipped += table[text[position]] != _BLANK
        position += 1
    while position < text.size and found < out.size:
        code = table[text[position]]
        out[found] = code  # overwritten by the next letter where this is none
        found += code != _BLANK
        position += 1
    return position, skipped, found


def encode(sequence: bytes) -> NDArray[np.uint8]:
    """Codes (length,) of a sequence of letters."""
    return np.frombuffer(bytearray(sequence).translate(_CODES), np.uint8)


def encode_lines(text: bytes, out: NDArray[np.uint8], *, skip: int = 0) -> tuple[int, int, int]:
    """Codes of the letters of lines, line ends and blanks left out.

    Parameters
    ----------
    out : codes (n,), filled from its start; at most n letters are read
    skip : letters to leave out first

    Returns
    -------
    bytes of ``text`` that were read, letters left out, letters written
    """
    read, skipped, found = _read_lines(np.frombuffer(text, np.uint8), _LINES, skip, out)
    return int(read), int(skipped), int(found)


def decode(codes: NDArray[np.uint8]) -> bytes:
    """Upper-case letters of codes (length,); 4 becomes N."""
    return codes.tobytes().translate(_TEXT)


def codes_to_onehot(codes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """One-hot ``codes.shape + (4,)`` in the order A, C, G, T; unknown bases are zero rows.

    A row is written as one 32-bit word, which is some 30 times faster than indexing a table of rows.
    """
    words = np.empty(codes.size, np.uint32)
    _expand(np.ascontiguousarray(codes).reshape(-1), _WORDS, words)
    return words.view(np.bool_).reshape(*codes.shape, 4)


def onehot_to_codes(onehot: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Codes of one-hot rows ``(…, 4)``; zero rows become 4. The four bytes of a row are read as one word."""
    codes = np.empty(onehot.shape[:-1], np.uint8)
    _collapse(np.ascontiguousarray(onehot).view(np.uint8).reshape(-1).view("<u4"), codes.reshape(-1))
    return codes


def reverse_complement(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reverse complement along the last axis."""
    turned = np.ascontiguousarray(codes[..., ::-1])
    return np.frombuffer(bytearray(turned).translate(_COMPLEMENT), np.uint8).reshape(codes.shape)
