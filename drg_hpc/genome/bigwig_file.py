"""Bins of regions from one open bigWig file, and the bounded set of files that are open at a time."""

from __future__ import annotations

import os
import resource
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.genome.bigwig_header import BigWigHeader
from drg_hpc.genome.bigwig_index import BLOCK_LIMIT, Blocks, OpenFile, damaged, find_blocks, merge_spans, read_plan
from drg_hpc.genome.bigwig_kernels import FAULTS, GOOD, UNSORTED, add_blocks
from drg_hpc.genome.inflate import InflateError, inflate

_BATCH = 1 << 20  # inflated bytes given to one call of the kernel: they still lie in the cache of a core


@dataclass(frozen=True, slots=True)
class Spans:
    """Regions on one file's contigs, sorted by contig number and start, none empty or outside; each (n,).

    Parameters
    ----------
    contig : number of the contig within the file
    origin : where the first bin starts, perhaps before the contig
    start, end : clipped to the contig
    width : base pairs of a bin
    bin : number of the first bin
    """

    contig: NDArray[np.int64]
    origin: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    width: NDArray[np.int64]
    bin: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sums:
    """Per bin the sum, the number and the largest (-inf without any) of the base pairs with a value; each (bins,)."""

    total: NDArray[np.float64]
    count: NDArray[np.int64]
    largest: NDArray[np.float64]

    @classmethod
    def none(cls, bins: int) -> Sums:
        """Sums of nothing."""
        return cls(np.zeros(bins), np.zeros(bins, np.int64), np.full(bins, -np.inf))


def add_regions(file: OpenFile, spans: Spans, sums: Sums) -> None:
    """Add the regions' values to their bins; each data block is read and inflated once, however many regions it serves.

    The order of additions within a bin is that of the genome, whatever other regions are asked for.

    Raises
    ------
    InputError : the file is truncated or damaged (the byte is named)
    """
    start, end = (spans.contig << 32 | place for place in (spans.start, spans.end))
    keys = np.stack([start, np.maximum.accumulate(end)])
    regions = np.stack([spans.origin, spans.start, spans.end, spans.width, spans.bin], axis=1)
    blocks = find_blocks(file, *merge_spans(start, end))
    bounds = np.stack([blocks.low, blocks.high], axis=1)
    reach = np.zeros(1, np.int64)
    for first, stop, content in _batches(file, blocks):
        words, limits = _words(content, file.header.order)
        fault, at = add_blocks(
            words,
            words.view(np.float32),
            limits,
            bounds[first:stop],
            file.header.order == ">",
            reach,
            keys,
            regions,
            sums.total,
            sums.count,
            sums.largest,
        )
        if fault != GOOD:
            fix = "make it again from sorted intervals" if fault == UNSORTED else "copy or download it again"
            raise damaged(file.path, f"{FAULTS[fault]}, at byte {blocks.offset[first + at]}", fix=fix)


def _batches(file: OpenFile, blocks: Blocks) -> Iterator[tuple[int, int, list[bytes | bytearray]]]:
    """First block, the one after the last, and inflated blocks."""
    content: list[bytes | bytearray] = []
    begin, held = 0, 0
    offsets, sizes = blocks.offset.tolist(), blocks.size.tolist()
    for first, stop in read_plan(blocks):
        origin = offsets[first]
        stored = memoryview(file.read(origin, offsets[stop - 1] + sizes[stop - 1] - origin, "data"))
        for i in range(first, stop):
            at = offsets[i] - origin
            content.append(_inflated(file, stored[at : at + sizes[i]], offsets[i]))
            held += len(content[-1])
            if held >= _BATCH:
                yield begin, i + 1, content
                content, begin, held = [], i + 1, 0
    if content:
        yield begin, len(offsets), content


def _inflated(file: OpenFile, stored: memoryview, offset: int) -> bytes | bytearray:
    if not file.header.buffer:
        return bytes(stored)
    try:
        return inflate(stored, file.header.buffer, BLOCK_LIMIT)
    except InflateError as error:
        raise damaged(file.path, f"the block at byte {offset} does not inflate: {error}") from None


def _words(content: Sequence[bytes | bytearray], order: str) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """All blocks as native 32-bit words, and the word at which each begins."""
    lengths = [len(block) for block in content]
    if any(length % 4 for length in lengths):  # bytes after the last item: fill up the word
        content = [block + bytes(-len(block) % 4) for block in content]
        lengths = [len(block) for block in content]
    words = np.frombuffer(bytearray().join(content), f"{order}u4").astype(np.uint32, copy=False)
    return words, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64) // 4])


class FilePool:
    """Files opened on demand; the one unused for longest is closed when there are too many.

    Parameters
    ----------
    files, headers : paths and their headers
    limit : files held open; a file in use is never closed, so that threads may exceed it for a moment
    """

    def __init__(self, files: Sequence[Path], headers: Sequence[BigWigHeader], *, limit: int) -> None:
        self._files, self._headers, self._limit = files, headers, limit
        self._open: OrderedDict[int, OpenFile] = OrderedDict()
        self._users: dict[int, int] = {}
        self._lock = threading.Lock()

    @contextmanager
    def use(self, track: int) -> Iterator[OpenFile]:
        """The open file of a track.

        Raises
        ------
        InputError : it cannot be opened, or changed since its header was read
        """
        with self._lock:
            if track not in self._open:
                self._open[track] = self._opened(track)
            self._open.move_to_end(track)
            self._users[track] = self._users.get(track, 0) + 1
            file = self._open[track]
            self._shrink()
        try:
            yield file
        finally:
            with self._lock:
                self._users[track] -= 1

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            self._limit = 0
            self._shrink()

    def _opened(self, track: int) -> OpenFile:
        path, header = self._files[track], self._headers[track]
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise InputError(f"cannot open {path}: {error.strerror}") from None
        facts = os.fstat(descriptor)
        if (facts.st_size, facts.st_mtime_ns) != (header.size, header.changed):
            os.close(descriptor)
            raise InputError(f"{path} changed while it was in use", fix="start again")
        return OpenFile(path, header, descriptor)

    def _shrink(self) -> None:
        excess = len(self._open) - self._limit
        unused = [track for track in self._open if not self._users.get(track)] if excess > 0 else []
        for track in unused[: max(excess, 0)]:
            os.close(self._open.pop(track).descriptor)


def open_limit() -> int:
    """Files to hold open: a quarter of what the system allows the process, at most 1,024."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1024 if allowed == resource.RLIM_INFINITY else max(1, min(1024, allowed // 4))
