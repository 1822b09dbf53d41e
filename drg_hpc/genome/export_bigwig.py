"""bigWig of values over regions: averaged where regions overlap, in the order of the genome.

Regions are swept by start, so that memory holds some of them and never a contig.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyBigWig
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.files import new_file
from drg_hpc.genome.export import Placed

_AT_ONCE_BYTES = 128 << 20
_STRETCH = 1 << 20
_RUNS = 1 << 16
_TOTAL_SUMMARY = 44
"""Where a bigWig file's header says where its total summary is, which begins with the bases covered."""
_FIXED_STEP = 128
"""Shortest stretch without runs that is written as one fixed step: a third of the bytes, but a block of its own."""

Read = Callable[[NDArray[np.int64]], NDArray[Any]]
"""Values (n, positions) of rows, ascending numbers, in genome direction."""


def write_bigwig(
    path: Path,
    contigs: Mapping[str, int],
    placed: Placed,
    *,
    start: NDArray[np.int64],
    width: int,
    positions: int,
    read: Read,
) -> int:
    """Write values over regions; NaN is left out, and so is what lies off a contig.

    Parameters
    ----------
    contigs : name -> length, in the order of the genome
    placed : the rows, in that order
    start : of every row (not only the placed ones)
    width : bases of a region
    positions : values of a region, which are bins of equal size
    read : values of rows

    Returns
    -------
    Bases that have a value.

    Raises
    ------
    InputError : no value at all, bins that do not fit the regions, or a file that was not written whole
    """
    size, odd = divmod(width, positions)
    if odd:
        raise InputError(f"{positions} positions do not divide regions of {width} bases")
    with new_file(path) as private:
        handle = pyBigWig.open(str(private), "w")
        try:
            handle.addHeader(list(contigs.items()))
            runs = _Runs(handle, contigs)
            sweep = _Sweep(runs)
            for first, last in _groups(len(placed.rows), positions):
                rows = placed.rows[first:last]
                order = np.argsort(rows, kind="stable")
                values = read(rows[order])
                back = np.empty_like(order)
                back[order] = np.arange(len(order))
                for i, row in enumerate(rows):
                    bases = np.repeat(values[back[i]].astype(np.float64), size)
                    sweep.add(int(placed.contig[first + i]), int(start[row]), bases)
            sweep.finish()
            if not runs.bases:
                raise InputError("nothing to write: all values are missing")
        finally:
            handle.close()
        _check(private, path, runs.bases)
    return runs.bases


def _groups(rows: int, positions: int) -> list[tuple[int, int]]:
    """Rows that are read at once: as many as fit, since rows in genome order may lie anywhere in a store."""
    step = max(1, _AT_ONCE_BYTES // (4 * positions))
    return [(first, min(first + step, rows)) for first in range(0, rows, step)]


def _check(written: Path, path: Path, bases: int) -> None:
    """Compare the file's total summary and its end: pyBigWig reports no fault of a full disk.

    Read by hand, since pyBigWig's ``header()`` crashes where the sum of squares is not finite.
    """
    with open(written, "rb") as handle:
        magic = handle.read(4)
        try:
            handle.seek(_TOTAL_SUMMARY)
            handle.seek(*struct.unpack("<Q", handle.read(8)))
            found = struct.unpack("<Q", handle.read(8))[0]
            handle.seek(-4, os.SEEK_END)
        except (struct.error, OSError):
            found = -1
        if found != bases or handle.read(4) != magic:
            raise InputError(f"{path} was not written whole", fix="is the disk full?")


class _Sweep:
    """Sums and counts of the bases from the start of the last region on; what lies before it is final."""

    def __init__(self, runs: _Runs) -> None:
        self._runs = runs
        self._contig, self._start = -1, 0
        self._sum, self._count = np.zeros(0), np.zeros(0, np.int64)

    def add(self, contig: int, start: int, values: NDArray[np.float64]) -> None:
        """Add a region; starts must not descend within a contig."""
        if contig != self._contig:
            self.finish()
            self._contig, self._start = contig, start
        self._flush(start - self._start)
        missing = len(values) - len(self._sum)
        if missing > 0:
            self._sum = np.concatenate([self._sum, np.zeros(missing)])
            self._count = np.concatenate([self._count, np.zeros(missing, np.int64)])
        present = ~np.isnan(values)
        self._sum[: len(values)] += np.where(present, values, 0.0)
        self._count[: len(values)] += present

    def finish(self) -> None:
        """Everything is final."""
        self._flush(len(self._sum))
        self._runs.flush()

    def _flush(self, bases: int) -> None:
        """The next ``bases`` positions are final."""
        if bases <= 0:
            return
        total, count = self._sum[:bases], self._count[:bases]
        if len(total):
            with np.errstate(invalid="ignore"):
                self._runs.add(self._contig, self._start, (total / count).astype(np.float32))
        self._sum, self._count = self._sum[bases:], self._count[bases:]
        self._start += bases


class _Runs:
    """Joins consecutive pieces into stretches, and writes these as runs of equal values or as fixed steps."""

    def __init__(self, handle: Any, contigs: Mapping[str, int]) -> None:
        self._handle = handle
        self._names, self._lengths = list(contigs), list(contigs.values())
        self._contig, self._start, self._end = -1, 0, 0
        self._pieces: list[NDArray[np.float32]] = []
        self._waiting: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]] = []
        self._count = 0
        self.bases = 0

    def add(self, contig: int, start: int, values: NDArray[np.float32]) -> None:
        """Values of consecutive bases, NaN where there are none; after all that came before."""
        values = values[max(-start, 0) : max(self._lengths[contig] - start, 0)]
        start = max(start, 0)
        if not len(values):
            return
        if (contig, start) != (self._contig, self._end) or self._end - self._start >= _STRETCH:
            self._stretch()
        if contig != self._contig:
            self._write_runs()
        if not self._pieces:
            self._contig, self._start = contig, start
        self._pieces.append(values)
        self._end = start + len(values)

    def flush(self) -> None:
        """Write all that is held."""
        self._stretch()
        self._write_runs()

    def _stretch(self) -> None:
        if not self._pieces:
            return
        values = np.concatenate(self._pieces)
        self._pieces = []
        present = ~np.isnan(values)
        edges = np.flatnonzero(np.diff(present, prepend=False, append=False))
        self.bases += int(present.sum())
        for first, last in edges.reshape(-1, 2):
            self._finite(self._start + int(first), values[first:last])

    def _finite(self, start: int, values: NDArray[np.float32]) -> None:
        firsts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
        if len(values) >= _FIXED_STEP and 3 * len(firsts) > len(values):
            self._write_runs()
            self._handle.addEntries(self._names[self._contig], start, values=values, span=1, step=1)
            return
        ends = np.append(firsts[1:], len(values))
        self._waiting.append((start + firsts, start + ends, values[firsts]))
        self._count += len(firsts)
        if self._count >= _RUNS:
            self._write_runs()

    def _write_runs(self) -> None:
        if not self._waiting:
            return
        starts, ends, values = (np.concatenate(column) for column in zip(*self._waiting, strict=True))
        self._waiting, self._count = [], 0
        names = np.full(len(starts), self._names[self._contig])
        self._handle.addEntries(names, starts, ends=ends, values=values)
