"""Base codes of any stretch of a sequence, from a FASTA or 2bit file that was scanned for a plan."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.genome.compressed import BLOCK, open_text
from drg_hpc.genome.onehot import UNKNOWN, encode, encode_lines
from drg_hpc.genome.twobit import BASES, KIND, Sequence, TwoBitFile

_FOUR = (
    np.stack([encode(BASES)[np.arange(256) >> shift & 3] for shift in (6, 4, 2, 0)], axis=1).view("<u4")[:, 0].copy()
)

Places = list[tuple[int, int]]


class Source(Protocol):
    """An open sequence file."""

    def codes(self, name: str, places: Places, start: int, out: NDArray[np.uint8]) -> None:
        """Fill ``out`` with the base codes of a sequence from letter ``start`` on.

        Parameters
        ----------
        places : :attr:`drg_hpc.genome.fasta.Contig.places`

        Raises
        ------
        InputError : the file is not what it was when it was scanned
        """

    def close(self) -> None:
        """Close the file."""


def open_source(path: Path, kind: str, index: list[tuple[int, int]]) -> Source:
    """Open a file; ``kind`` and ``index`` are those of its :class:`drg_hpc.genome.fasta.Scan`."""
    return _TwoBit(path) if kind == KIND else _Fasta(path, kind, index)


def _changed(path: Path, name: str) -> InputError:
    return InputError(f"{path} is not what it was when the run was planned (at {name})", fix="plan a new run")


class _Fasta:
    def __init__(self, path: Path, kind: Any, index: list[tuple[int, int]]) -> None:
        self._path, self._file = path, open_text(path, kind, index)
        self._next = ("", 0, 0)

    def close(self) -> None:
        self._file.close()

    def codes(self, name: str, places: Places, start: int, out: NDArray[np.uint8]) -> None:
        if not len(out):
            return  # nothing is read, so nothing is known of where it ends
        if self._next[:2] == (name, start):  # where the last stretch ended
            letters, offset = start, self._next[2]
        else:
            letters, offset = places[bisect_right(places, start, key=lambda place: place[0]) - 1]
        skip, filled = start - letters, 0
        while filled < len(out):
            wanted = skip + len(out) - filled
            text = self._file.read(offset, min(wanted + wanted // 16 + 128, BLOCK))
            if not text:
                raise _changed(self._path, name)
            read, skipped, found = encode_lines(text, out[filled:], skip=skip)
            offset, skip, filled = offset + read, skip - skipped, filled + found
        self._next = (name, start + len(out), offset)


class _TwoBit:
    def __init__(self, path: Path) -> None:
        self._path, self._file = path, TwoBitFile(path)
        self._known: tuple[str, Sequence] | None = None

    def close(self) -> None:
        self._file.close()

    def codes(self, name: str, places: Places, start: int, out: NDArray[np.uint8]) -> None:
        if self._known is None or self._known[0] != name:
            self._known = (name, self._file.sequence(name, places[0][1]))
        sequence, stop = self._known[1], start + len(out)
        first, last = start // 4, -(-stop // 4)
        self._file.handle.seek(sequence.dna + first)
        packed = np.frombuffer(self._file.handle.read(last - first), np.uint8)
        if len(packed) < last - first:
            raise _changed(self._path, name)
        out[:] = np.take(_FOUR, packed).view(np.uint8)[start - 4 * first :][: len(out)]
        starts, sizes = sequence.unknown
        block = max(bisect_right(starts, start) - 1, 0)
        while block < len(starts) and starts[block] < stop:
            out[max(starts[block] - start, 0) : max(starts[block] + sizes[block] - start, 0)] = UNKNOWN
            block += 1
