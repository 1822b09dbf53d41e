"""Random access to bgzip files: gzip members of at most 64 KiB that tell their own size (SAM specification 4.1)."""

from __future__ import annotations

import gzip
import struct
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

_HEADER = struct.Struct("<4BI2BH2B2H")


def _block_size(header: bytes) -> int:
    """Bytes of a block, 0 when these are not the first 18 bytes of one."""
    if len(header) < _HEADER.size:
        return 0
    *magic, _, _, _, extra, first, second, size, bsize = _HEADER.unpack(header)
    known = magic == [31, 139, 8, 4] and (extra, first, second, size) == (6, ord("B"), ord("C"), 2)
    return bsize + 1 if known else 0


def is_bgzip(path: Path) -> bool:
    """Whether a file starts with a bgzip block."""
    with open(path, "rb") as handle:
        return _block_size(handle.read(_HEADER.size)) > 0


class BgzipIndex:
    """Where blocks start, compressed and uncompressed; found by hopping over the block headers, nothing inflated."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._compressed: list[int] = []
        self._plain: list[int] = []
        position = plain = 0
        with open(path, "rb") as handle:
            while size := _block_size(handle.read(_HEADER.size)):
                self._compressed.append(position)
                self._plain.append(plain)
                handle.seek(position + size - 4)
                tail = handle.read(4)
                if len(tail) < 4:
                    break
                plain += int.from_bytes(tail, "little")
                position += size

    @contextmanager
    def open_at(self, offset: int) -> Iterator[BinaryIO]:
        """The uncompressed stream from byte ``offset`` on."""
        block = bisect_right(self._plain, offset) - 1
        with open(self.path, "rb") as raw:
            raw.seek(self._compressed[block])
            with gzip.GzipFile(fileobj=raw) as stream:
                stream.read(offset - self._plain[block])
                yield cast(BinaryIO, stream)
