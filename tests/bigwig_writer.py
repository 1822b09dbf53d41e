"""bigWig files written field by field: all section types, both byte orders, plain or compressed, trees of any depth.

pyBigWig writes little-endian files of sections it chooses; parsers must meet the rest too. Layout: Kent et al. 2010,
Bioinformatics 26:2204, supplement.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BED_GRAPH, VAR_STEP, FIXED_STEP = 1, 2, 3


@dataclass(frozen=True)
class Section:
    """``items`` are (start, end, value), (start, value) or (value,), by ``kind``."""

    contig: int
    kind: int
    items: Sequence[tuple[float, ...]]
    start: int = 0
    step: int = 0
    span: int = 0

    @property
    def runs(self) -> list[tuple[int, int, float]]:
        """(start, end, value) of every item."""
        if self.kind == BED_GRAPH:
            return [(int(a), int(b), v) for a, b, v in self.items]
        if self.kind == VAR_STEP:
            return [(int(a), int(a) + self.span, v) for a, v in self.items]
        starts = [self.start + i * self.step for i in range(len(self.items))]
        return [(a, a + self.span, item[0]) for a, item in zip(starts, self.items, strict=True)]

    def encoded(self, order: str) -> bytes:
        form = {BED_GRAPH: "IIf", VAR_STEP: "If", FIXED_STEP: "f"}[self.kind]
        start, end = self.runs[0][0], self.runs[-1][1]
        head = (self.contig, start, end, self.step, self.span, self.kind, 0, len(self.items))
        body = b"".join(struct.pack(f"{order}{form}", *item) for item in self.items)
        return struct.pack(f"{order}IIIIIBBH", *head) + body


def _tree(leaves: list[bytes], bounds: list[bytes], offset: int, order: str, fan: int) -> bytes:
    """Nodes of a tree, root first. ``bounds`` (of the first and last leaf below) precede the offset of a child."""
    levels = [[leaves[i : i + fan] for i in range(0, len(leaves), fan)] or [[]]]
    keys = [[bounds[i : i + fan] for i in range(0, len(bounds), fan)] or [[]]]
    half = len(bounds[0]) // 2 if bounds else 0
    while len(levels[-1]) > 1:
        spans = [node[0][:half] + node[-1][half:] for node in keys[-1]]
        keys.append([spans[i : i + fan] for i in range(0, len(spans), fan)])
        levels.append([[b""] * len(node) for node in keys[-1]])
    sizes = [4 + fan * (len(leaves[0]) if leaves else 0)] + [4 + fan * (2 * half + 8) for _ in levels[1:]]
    starts, at = {}, offset
    for depth in reversed(range(len(levels))):
        starts[depth] = at
        at += sizes[depth] * len(levels[depth])
    out = b""
    for depth in reversed(range(len(levels))):
        for number, node in enumerate(levels[depth]):
            items = list(node)
            if depth:
                child = starts[depth - 1]
                places = [child + sizes[depth - 1] * (number * fan + i) for i in range(len(node))]
                items = [k + struct.pack(f"{order}Q", p) for k, p in zip(keys[depth][number], places, strict=True)]
            content = struct.pack(f"{order}BBH", depth == 0, 0, len(items)) + b"".join(items)
            out += content.ljust(sizes[depth], b"\0")
    return out


def write_bigwig(
    path: Path,
    contigs: dict[str, int],
    sections: Sequence[Section],
    *,
    order: str = "<",
    compress: bool = True,
    fan: int = 3,
) -> Path:
    """Write a file; contigs are numbered as listed, sections must be in genome order."""
    raw = [section.encoded(order) for section in sections]
    stored = [zlib.compress(block) if compress else block for block in raw]
    data, offsets = struct.pack(f"{order}Q", len(raw)), []
    for block in stored:
        offsets.append(64 + len(data))
        data += block
    width = max(map(len, contigs))
    names = [name.encode().ljust(width, b"\0") for name in contigs]
    entries = [
        n + struct.pack(f"{order}II", i, size) for i, (n, size) in enumerate(zip(names, contigs.values(), strict=True))
    ]
    tree_at = 64 + len(data)
    tree = struct.pack(f"{order}IIIIQQ", 0x78CA8C91, fan, width, 8, len(names), 0)
    # a child of the contig tree is found by its first name alone: the second half of the bounds is empty
    tree += _name_tree(entries, names, tree_at + len(tree), order, fan)
    index_at = tree_at + len(tree)
    bounds = [struct.pack(f"{order}IIII", s.contig, s.runs[0][0], s.contig, s.runs[-1][1]) for s in sections]
    leaves = [b + struct.pack(f"{order}QQ", o, len(c)) for b, o, c in zip(bounds, offsets, stored, strict=True)]
    whole = bounds[0][:8] + bounds[-1][8:] if bounds else bytes(16)
    index = struct.pack(f"{order}IIQ", 0x2468ACE0, fan, len(leaves)) + whole
    index += struct.pack(f"{order}QII", index_at, 1, 0)
    index += _tree(leaves, bounds, index_at + len(index), order, fan)
    buffer = max(map(len, raw), default=1) if compress else 0
    head = struct.pack(f"{order}IHHQQQHHQQIQ", 0x888FFC26, 4, 0, tree_at, 64, index_at, 0, 0, 0, 0, buffer, 0)
    path.write_bytes(head + data + tree + index + struct.pack(f"{order}I", 0x888FFC26))
    return path


def _name_tree(entries: list[bytes], names: list[bytes], offset: int, order: str, fan: int) -> bytes:
    """The contig tree: at most two levels."""
    nodes = [entries[i : i + fan] for i in range(0, len(entries), fan)]
    packed = [struct.pack(f"{order}BBH", 1, 0, len(node)) + b"".join(node) for node in nodes]
    if len(packed) == 1:
        return packed[0]
    root = 4 + len(nodes) * (len(names[0]) + 8)
    places = np.cumsum([offset + root] + [len(node) for node in packed[:-1]])
    children = [names[i * fan] + struct.pack(f"{order}Q", place) for i, place in enumerate(places)]
    return struct.pack(f"{order}BBH", 0, 0, len(nodes)) + b"".join(children) + b"".join(packed)


def expanded(contig: int, length: int, sections: Sequence[Section]) -> NDArray[np.float64]:
    """Base pairs (length,) of a contig, NaN without a value."""
    out = np.full(length, np.nan)
    for section in sections:
        if section.contig == contig:
            for start, end, value in section.runs:
                out[start:end] = np.float32(value)
    return out
