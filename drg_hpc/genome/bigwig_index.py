"""Which data blocks of a bigWig file overlap given places: its R tree, read level by level.

Only nodes that overlap are read, neighbours with one read. Places are keys ``contig number << 32 | position``.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.genome.bigwig_header import BigWigHeader

Keys = NDArray[np.int64]

_MAGIC = 0x2468ACE0
_HEADER = 48  # bytes of the tree's header; the root follows
_DEPTH_LIMIT = 32
_FAR = np.iinfo(np.int64).max
# One system call costs about as much as copying this many bytes, and far less than a seek on a shared file system.
_GAP = 1 << 14
_READ = 1 << 22
# A section has at most 65,535 items of 12 bytes, and zlib adds less than a thousandth.
BLOCK_LIMIT = 24 + 65535 * 12
STORED_LIMIT = BLOCK_LIMIT + BLOCK_LIMIT // 1000 + 64


@dataclass(frozen=True, slots=True)
class OpenFile:
    """An open bigWig file; reads do not move a file position, so threads may share it."""

    path: Path
    header: BigWigHeader
    descriptor: int

    def read(self, offset: int, size: int, what: str) -> bytes:
        """``size`` bytes from ``offset``.

        Raises
        ------
        InputError : they reach beyond the end of the file, or cannot be read
        """
        if offset + size > self.header.size:
            raise damaged(self.path, f"{what} at byte {offset} reaches beyond the end, byte {self.header.size}")
        try:
            content = os.pread(self.descriptor, size, offset)
        except OSError as error:
            raise InputError(f"cannot read {self.path} at byte {offset}: {error.strerror}") from None
        if len(content) != size:
            raise damaged(self.path, f"{what} at byte {offset} is cut off")
        return content


@dataclass(frozen=True, slots=True)
class Blocks:
    """Data blocks in genome order; each (n,).

    Parameters
    ----------
    low, high : keys of the first place and of the one after the last, as the index has them
    offset, size : place and bytes in the file
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]


def damaged(path: Path, what: str, *, fix: str = "copy or download it again") -> InputError:
    """Error of a file that cannot be trusted."""
    return InputError(f"truncated or damaged bigWig file: {path}: {what}", fix=fix)


def merge_spans(start: Keys, end: Keys) -> tuple[Keys, Keys]:
    """Disjoint, sorted spans that cover the same places as spans sorted by start."""
    reach = np.maximum.accumulate(end)
    first = np.flatnonzero(np.concatenate([[True], start[1:] > reach[:-1]]))
    last = np.concatenate([first[1:] - 1, [len(start) - 1]])
    return start[first], reach[last]


def find_blocks(file: OpenFile, start: Keys, end: Keys) -> Blocks:
    """Data blocks that overlap any of the disjoint sorted spans ``start`` to ``end``.

    Raises
    ------
    InputError : the tree is truncated or damaged (the byte is named)
    """
    order, top = file.header.order, file.header.index
    if top == 0:  # pyBigWig's form of a file without entries: a count of 0, then the closing magic
        if file.header.size != file.header.data + 12:
            raise damaged(file.path, "it has no index; the program that wrote it did not finish")
        return Blocks(*np.empty((4, 0), np.int64))
    (magic,) = struct.unpack(f"{order}I", file.read(top, _HEADER, "index")[:4])
    if magic != _MAGIC:
        raise damaged(file.path, f"no index at byte {top}")
    # each node of a level: its place, and the bounds that its parent gives it
    level = np.array([[top + _HEADER], [0], [_FAR]], np.int64)
    start = np.append(start, _FAR)
    found: list[NDArray[np.int64]] = []
    for _ in range(_DEPTH_LIMIT):
        if not level.size:
            return _checked(file, np.concatenate(found, axis=1) if found else np.empty((4, 0), np.int64))
        nodes = _read_nodes(file, level[0])
        children: list[NDArray[np.int64]] = []
        for is_leaf in (True, False):
            chosen = [i for i, (leaf, _) in enumerate(nodes) if leaf is is_leaf]
            if chosen:
                items = _bounded(file, [nodes[i][1] for i in chosen], level[:, chosen])
                items = items[:, start[np.searchsorted(end, items[0], side="right")] < items[1]]
                (found if is_leaf else children).append(items)
        level = np.concatenate(children, axis=1)[[2, 0, 1]] if children else np.empty((3, 0), np.int64)
        level = level[:, np.argsort(level[0])]
        if (np.diff(level[0]) == 0).any():
            raise damaged(file.path, "two parts of the index point to the same place")
    raise damaged(file.path, f"the index is deeper than {_DEPTH_LIMIT} levels")


def _bounded(file: OpenFile, nodes: list[NDArray[np.void]], parents: NDArray[np.int64]) -> NDArray[np.int64]:
    """Items (fields, n) of nodes of one kind as integers: low, high, offset[, size]; all within their parents."""
    counts = [len(node) for node in nodes]
    items = np.concatenate(nodes)
    low = items["c0"].astype(np.int64) << 32 | items["b0"]
    high = items["c1"].astype(np.int64) << 32 | items["b1"]
    faulty = (low > high) | (low < np.repeat(parents[1], counts)) | (high > np.repeat(parents[2], counts))
    faulty |= items["offset"] > file.header.size  # which also fits a signed integer
    if faulty.any():
        node = int(np.searchsorted(np.cumsum(counts), np.flatnonzero(faulty)[0], side="right"))
        raise damaged(file.path, f"the index at byte {parents[0, node]} contradicts itself")
    rest = [np.minimum(items[name], _FAR).astype(np.int64) for name in (items.dtype.names or ())[4:]]
    return np.stack([low, high, *rest])


def _checked(file: OpenFile, leaves: NDArray[np.int64]) -> Blocks:
    """Blocks in genome order, checked against the file's size before anything is allocated for them."""
    low, high, offset, size = leaves[:, np.argsort(leaves[0], kind="stable")]
    limit = STORED_LIMIT if file.header.buffer else BLOCK_LIMIT
    faulty = (size > limit) | (size > file.header.size - offset)
    if faulty.any():
        i = int(np.flatnonzero(faulty)[0])
        raise damaged(file.path, f"a block of {size[i]} bytes at byte {offset[i]}; the file has {file.header.size}")
    return Blocks(low, high, offset, size)


def _read_nodes(file: OpenFile, places: NDArray[np.int64]) -> list[tuple[bool, NDArray[np.void]]]:
    """Leaf or not and items of the nodes at sorted ``places``."""
    order = file.header.order
    bounds = [(name, f"{order}u4") for name in ("c0", "b0", "c1", "b1")]
    inner = np.dtype([*bounds, ("offset", f"{order}u8")])
    leaf = np.dtype([*bounds, ("offset", f"{order}u8"), ("size", f"{order}u8")])
    nodes: list[tuple[bool, NDArray[np.void]]] = []
    for group in np.split(places, np.flatnonzero(np.diff(places) > _GAP) + 1):
        for part in np.array_split(group, 1 + int(group[-1] - group[0]) // _READ):
            begin = int(part[0])
            size = min(int(part[-1]) - begin + _GAP, file.header.size - begin)
            content = file.read(begin, max(size, 4), "index")
            for place in part.tolist():
                at = place - begin
                if at + 4 > len(content):
                    raise damaged(file.path, f"the index is cut off at byte {place}")
                form = leaf if content[at] else inner
                count = int.from_bytes(content[at + 2 : at + 4], "little" if order == "<" else "big")
                if at + 4 + count * form.itemsize <= len(content):
                    items = np.frombuffer(content, form, count, at + 4)
                else:
                    items = np.frombuffer(file.read(place + 4, count * form.itemsize, "index"), form)
                nodes.append((bool(content[at]), items))
    return nodes


def read_plan(blocks: Blocks) -> list[tuple[int, int]]:
    """Ranges ``first, stop`` of blocks to be read with one read each: close to each other, at most a few megabytes."""
    plan: list[tuple[int, int]] = []
    first = 0
    offsets, ends = blocks.offset.tolist(), (blocks.offset + blocks.size).tolist()
    for i in range(1, len(offsets) + 1):
        if i == len(offsets) or not 0 <= offsets[i] - ends[i - 1] <= _GAP or ends[i] - offsets[first] > _READ:
            plan.append((first, i))
            first = i
    return plan
