"""The first numbers of a permutation that numpy's ``RandomState`` makes, without making it whole.

``RandomState(seed).permutation(n)[:size]`` swaps, for i from n - 1 down to 1, element i with a drawn j <= i. Looked at
backwards, from i = size on upwards: if j is among those that end in front, i is so in its place. So the set can be
followed with memory for ``size`` numbers; the draws come in the other order, and are made again from states kept on the
way (Mersenne twister, Matsumoto and Nishimura 1998; draws by mask and rejection, as numpy's ``random_interval``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.compiled import compiled

_WORDS, _FAR = 624, 397
_STEPS = 1 << 22
"""Draws between two states that are kept."""


@compiled
def _word(key: Any, at: Any) -> Any:  # pragma: no cover - compiled
    """The next 32 bits; ``at[0]`` counts the words of ``key`` that are used."""
    if at[0] == _WORDS:
        for k in range(_WORDS):
            y = (key[k] & np.uint32(0x80000000)) | (key[(k + 1) % _WORDS] & np.uint32(0x7FFFFFFF))
            turned = np.uint32(y >> np.uint32(1)) ^ (np.uint32(0x9908B0DF) if y & np.uint32(1) else np.uint32(0))
            key[k] = key[(k + _FAR) % _WORDS] ^ turned
        at[0] = 0
    y = key[at[0]]
    at[0] += 1
    y ^= y >> np.uint32(11)
    y ^= (y << np.uint32(7)) & np.uint32(0x9D2C5680)
    y ^= (y << np.uint32(15)) & np.uint32(0xEFC60000)
    return np.uint32(y ^ (y >> np.uint32(18)))


@compiled
def _draws(key: Any, at: Any, top: int, out: Any) -> None:  # pragma: no cover - compiled
    """``out[k]``: a number from 0 to ``top - k``."""
    for k in range(out.size):
        largest = np.uint64(top - k)
        mask = largest
        for shift in (1, 2, 4, 8, 16, 32):
            mask |= mask >> np.uint64(shift)
        while True:
            value = np.uint64(_word(key, at))
            if largest > np.uint64(0xFFFFFFFF):
                value = (value << np.uint64(32)) | np.uint64(_word(key, at))
            value &= mask
            if value <= largest:
                break
        out[k] = value


@compiled
def _slot(table: Any, number: Any) -> Any:  # pragma: no cover - compiled
    """Where ``number`` lies in the table of a power of two cells, or the free cell where it would; -1: free."""
    last = np.uint64(table.size - 1)
    at = ((np.uint64(number) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20)) & last
    while table[at] != -1 and table[at] != number:
        at = (at + np.uint64(1)) & last
    return np.int64(at)


@compiled
def _remove(table: Any, slot: int) -> None:  # pragma: no cover - compiled
    """Free a cell; those behind it are put anew, so that all are found."""
    table[slot] = -1
    at = (slot + 1) & (table.size - 1)
    while table[at] != -1:
        number = table[at]
        table[at] = -1
        table[_slot(table, number)] = number
        at = (at + 1) & (table.size - 1)


@compiled
def _follow(table: Any, seen: Any, first: int, drawn: Any) -> None:  # pragma: no cover - compiled
    """Steps from ``first`` on upwards; ``drawn`` has those of the last step first.

    ``seen`` has a bit set for every number that was ever in the table, so that most need no look at it.
    """
    last = np.uint64(8 * seen.size - 1)
    for k in range(drawn.size):
        j, i = drawn[drawn.size - 1 - k], first + k
        bit = np.uint64(j) & last
        if seen[bit >> np.uint64(3)] >> np.uint8(bit & np.uint64(7)) & np.uint8(1):
            slot = _slot(table, j)
            if j != i and table[slot] == j:
                _remove(table, slot)
                table[_slot(table, i)] = i
                bit = np.uint64(i) & last
                seen[bit >> np.uint64(3)] |= np.uint8(np.uint8(1) << np.uint8(bit & np.uint64(7)))


@compiled
def _begin(table: Any, seen: Any, size: int) -> None:  # pragma: no cover - compiled
    for number in range(size):
        table[_slot(table, number)] = number
        bit = number & (8 * seen.size - 1)
        seen[bit >> 3] |= np.uint8(np.uint8(1) << np.uint8(bit & 7))


def first_of_permutation(n: int, size: int, seed: int, *, steps: int = _STEPS) -> NDArray[np.int64]:
    """``np.sort(np.random.RandomState(seed).permutation(n)[:size])``, for ``size`` < ``n``.

    Memory: about 64 bytes for each of ``size``, 8 for each of ``steps``, and 2.5 kB for every ``steps`` numbers.
    """
    _, key, position, *_ = np.random.RandomState(seed).get_state(legacy=True)
    key, at = np.array(key, np.uint32), np.array([position], np.int64)
    drawn = np.empty(min(steps, n - size), np.int64)
    pieces: list[tuple[int, NDArray[np.uint32], NDArray[np.int64]]] = []
    for top in range(n - 1, size - 1, -steps):
        pieces.append((top, key.copy(), at.copy()))
        _draws(key, at, top, drawn[: min(steps, top + 1 - size)])
    cells = 1 << (4 * size - 1).bit_length()
    table, seen = np.full(cells, -1, np.int64), np.zeros(max(2 * cells, 8), np.uint8)
    _begin(table, seen, size)
    for top, key, at in reversed(pieces):
        part = drawn[: min(steps, top + 1 - size)]
        _draws(key, at, top, part)
        _follow(table, seen, top + 1 - len(part), part)
    return np.sort(table[table >= 0])
