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
_LEAF_ITEM, _INNER_ITEM = 32, 24
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
    top = file.header.index
    if top == 0:  # pyBigWig's form of a file without entries: a count of 0, then the closing magic
        if file.header.size != file.header.data + 12:
            raise damaged(file.path, "it has no index; the program that wrote it did not finish")
        return Blocks(*np.empty((4, 0), np.int64))
    (magic,) = struct.unpack(f"{file.header.order}I", file.read(top, _HEADER, "index")[:4])
    if magic != _MAGIC:
        raise damaged(file.path, f"no index at byte {top}")
    # nodes of a level: the bounds that their parents give them, and their places
    level = np.array([[0], [_FAR], [top + _HEADER]], np.int64)
    start = np.append(start, _FAR)
    leaves = [np.empty((4, 0), np.int64)]
    for _ in range(_DEPTH_LIMIT):
        if not level.size:
            return _checked(file, np.concatenate(leaves, axis=1))
        nodes = _read_nodes(file, level[2])
        is_leaf = np.array([leaf for leaf, _ in nodes])
        leaves.append(_overlapping(file, nodes, level, is_leaf, start, end))
        level = _overlapping(file, nodes, level, ~is_leaf, start, end)[:3]
        level = level[:, np.argsort(level[2])]
        if (np.diff(level[2]) == 0).any():
            raise damaged(file.path, "two parts of the index point to the same place")
    raise damaged(file.path, f"the index is deeper than {_DEPTH_LIMIT} levels")


def _overlapping(
    file: OpenFile,
    nodes: list[tuple[bool, memoryview]],
    level: NDArray[np.int64],
    chosen: NDArray[np.bool_],
    start: Keys,
    end: Keys,
) -> NDArray[np.int64]:
    """Low, high, offset and size (4, n) of the items that overlap a span, in the chosen nodes, all of one kind."""
    if not chosen.any():
        return np.empty((4, 0), np.int64)
    places = np.flatnonzero(chosen)
    form = _item_form(file.header.order, leaf=nodes[places[0]][0])
    counts = [len(nodes[i][1]) // form.itemsize for i in places]
    items = np.frombuffer(b"".join(nodes[i][1] for i in places), form)
    low = items["c0"].astype(np.int64) << 32 | items["b0"]
    high = items["c1"].astype(np.int64) << 32 | items["b1"]
    inside = (low >= np.repeat(level[0, chosen], counts)) & (high <= np.repeat(level[1, chosen], counts))
    size = items["size"] if "size" in (form.names or ()) else np.zeros(len(items), np.uint64)
    good = inside & (low <= high) & (items["offset"] <= file.header.size) & (size <= file.header.size)
    if not good.all():
        node = int(np.searchsorted(np.cumsum(counts), np.flatnonzero(~good)[0], side="right"))
        raise damaged(file.path, f"the index at byte {level[2, places[node]]} contradicts itself")
    wanted = start[np.searchsorted(end, low, side="right")] < high
    fields = (low, high, items["offset"], size)
    return np.stack([field[wanted].astype(np.int64) for field in fields])


def _checked(file: OpenFile, leaves: NDArray[np.int64]) -> Blocks:
    """Blocks in genome order, checked against the file's size before anything is allocated for them."""
    low, high, offset, size = leaves[:, np.argsort(leaves[0], kind="stable")]
    limit = STORED_LIMIT if file.header.buffer else BLOCK_LIMIT
    faulty = (size > limit) | (size > file.header.size - offset)
    if faulty.any():
        i = int(np.flatnonzero(faulty)[0])
        raise damaged(file.path, f"a block of {size[i]} bytes at byte {offset[i]}; the file has {file.header.size}")
    return Blocks(low, high, offset, size)


def _item_form(order: str, *, leaf: bool) -> np.dtype[np.void]:
    bounds = [(name, f"{order}u4") for name in ("c0", "b0", "c1", "b1")]
    return np.dtype([*bounds, ("offset", f"{order}u8"), *([("size", f"{order}u8")] if leaf else [])])


def _read_nodes(file: OpenFile, places: NDArray[np.int64]) -> list[tuple[bool, memoryview]]:
    """Leaf or not and items of the nodes at sorted ``places``."""
    order = file.header.order
    nodes: list[tuple[bool, memoryview]] = []
    for group in np.split(places, np.flatnonzero(np.diff(places) > _GAP) + 1):
        for part in np.array_split(group, 1 + int(group[-1] - group[0]) // _READ):
            begin = int(part[0])
            size = min(int(part[-1]) - begin + _GAP, file.header.size - begin)
            content = memoryview(file.read(begin, max(size, 4), "index"))
            for place in part.tolist():
                at = place - begin
                if at + 4 > len(content):
                    raise damaged(file.path, f"the index is cut off at byte {place}")
                leaf = bool(content[at])
                count = int.from_bytes(content[at + 2 : at + 4], "little" if order == "<" else "big")
                length = count * (_LEAF_ITEM if leaf else _INNER_ITEM)
                if at + 4 + length <= len(content):
                    nodes.append((leaf, content[at + 4 : at + 4 + length]))
                else:
                    nodes.append((leaf, memoryview(file.read(place + 4, length, "index"))))
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
