"""Contigs of a bigWig file, read with the standard library, so that a plan notices a wrong file or assembly.

Layout: Kent et al. 2010, Bioinformatics 26:2204, supplement (file header, then a B+ tree of contigs).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from drg_hpc.errors import InputError

_MAGIC = b"\x88\x8f\xfc\x26"
_TREE_MAGIC = 0x78CA8C91
_DEPTH_LIMIT = 32


def read_contigs(path: Path) -> dict[str, int]:
    """Name and length of every contig.

    Raises
    ------
    InputError : missing, not a bigWig file, or truncated before the end of its header
    """
    try:
        with open(path, "rb") as handle:
            magic = handle.read(4)
            if magic not in (_MAGIC, _MAGIC[::-1]):
                raise InputError(f"not a bigWig file: {path}")
            order = ">" if magic == _MAGIC else "<"
            _, _, tree = _unpack(handle, f"{order}HHQ")
            handle.seek(tree)
            tree_magic, _, key_size, _, _, _ = _unpack(handle, f"{order}IIIIQQ")
            if tree_magic != _TREE_MAGIC:
                raise InputError(f"damaged bigWig file: {path}")
            contigs: dict[str, int] = {}
            _read_node(handle, order, key_size, contigs, depth=0)
            return contigs
    except FileNotFoundError:
        raise InputError(f"no such file: {path}", fix="check the path") from None
    except (struct.error, UnicodeDecodeError, ValueError):
        raise InputError(f"truncated or damaged bigWig file: {path}", fix="copy or download it again") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


def _unpack(handle: BinaryIO, form: str) -> tuple[int, ...]:
    return struct.unpack(form, handle.read(struct.calcsize(form)))


def _read_node(handle: BinaryIO, order: str, key_size: int, contigs: dict[str, int], *, depth: int) -> None:
    """Read one node of the tree and those below it."""
    if depth > _DEPTH_LIMIT:
        raise ValueError("a tree this deep is a loop")
    leaf, _, count = _unpack(handle, f"{order}BBH")
    children: list[int] = []
    for _ in range(count):
        key = handle.read(key_size)
        if leaf:
            _, length = _unpack(handle, f"{order}II")
            contigs[key.rstrip(b"\0").decode()] = length
        else:
            children += _unpack(handle, f"{order}Q")
    for offset in children:
        handle.seek(offset)
        _read_node(handle, order, key_size, contigs, depth=depth + 1)
