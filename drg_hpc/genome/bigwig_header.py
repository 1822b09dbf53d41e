"""Header and contigs of a bigWig file, read with the standard library, so that a plan notices a wrong file or assembly.

Layout: Kent et al. 2010, Bioinformatics 26:2204, supplement (file header, then a B+ tree of contigs).
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from drg_hpc.errors import InputError

_MAGIC = b"\x88\x8f\xfc\x26"
_TREE_MAGIC = 0x78CA8C91
_DEPTH_LIMIT = 32
_KEY_LIMIT = 4096  # bytes of a contig's name; a damaged number would ask for gigabytes


@dataclass(frozen=True, slots=True)
class BigWigHeader:
    """What is needed to find the data of a file.

    Parameters
    ----------
    order : byte order of all numbers, ``<`` or ``>``
    contigs : name -> (number within the file, length)
    data : offset of the data: a number of blocks in 8 bytes, then blocks
    index : offset of the R tree over the data blocks; 0 when there is none
    buffer : bytes of the largest inflated data block; 0 when blocks are not compressed
    size, changed : bytes of the file and time of its last change in nanoseconds
    """

    order: str
    contigs: dict[str, tuple[int, int]]
    data: int
    index: int
    buffer: int
    size: int
    changed: int


def read_contigs(path: Path) -> dict[str, int]:
    """Name and length of every contig; errors as :func:`read_header`."""
    return {name: length for name, (_, length) in read_header(path).contigs.items()}


def read_header(path: Path) -> BigWigHeader:
    """Read header and contigs.

    Raises
    ------
    InputError : missing, not a bigWig file, or truncated before the end of its contigs
    """
    try:
        with open(path, "rb") as handle:
            magic = handle.read(4)
            if magic not in (_MAGIC, _MAGIC[::-1]):
                raise InputError(f"not a bigWig file: {path}")
            order = ">" if magic == _MAGIC else "<"
            _, _, tree, data, index, _, _, _, _, buffer, _ = _unpack(handle, f"{order}HHQQQHHQQIQ")
            facts = os.fstat(handle.fileno())
            contigs = _read_tree(handle, order, tree, facts.st_size)
            return BigWigHeader(order, contigs, data, index, buffer, facts.st_size, facts.st_mtime_ns)
    except FileNotFoundError:
        raise InputError(f"no such file: {path}", fix="check the path") from None
    except (struct.error, UnicodeDecodeError, ValueError, OverflowError):
        raise InputError(f"truncated or damaged bigWig file: {path}", fix="copy or download it again") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


def _unpack(handle: BinaryIO, form: str) -> tuple[int, ...]:
    return struct.unpack(form, handle.read(struct.calcsize(form)))


def _read_tree(handle: BinaryIO, order: str, offset: int, size: int) -> dict[str, tuple[int, int]]:
    """Contigs in the order of the tree, node by node; a loop among the nodes runs out of the file's size."""
    handle.seek(offset)
    magic, _, key_size, _, items, _ = _unpack(handle, f"{order}IIIIQQ")
    if magic != _TREE_MAGIC or not 0 < key_size <= _KEY_LIMIT:
        raise ValueError("no tree of contigs")
    contigs: dict[str, tuple[int, int]] = {}
    budget = size // (key_size + 8)
    nodes = [(handle.tell(), 0)]
    while nodes:
        place, depth = nodes.pop()
        handle.seek(place)
        leaf, _, count = _unpack(handle, f"{order}BBH")
        budget -= count
        if budget < 0 or depth > _DEPTH_LIMIT:
            raise ValueError("more entries than the file has bytes for")
        form = f"{order}{key_size}s{'II' if leaf else 'Q'}"
        content = handle.read(count * struct.calcsize(form))
        if len(content) != count * struct.calcsize(form):
            raise ValueError("ends within a node")
        entries = list(struct.iter_unpack(form, content))
        if leaf:
            contigs.update((key.rstrip(b"\0").decode(), (number, length)) for key, number, length in entries)
        else:
            nodes += [(child, depth + 1) for _, child in reversed(entries)]
    if len(contigs) != items or sorted(number for number, _ in contigs.values()) != list(range(items)):
        raise ValueError("contigs are missing, occur twice or are not numbered from 0")
    return contigs
