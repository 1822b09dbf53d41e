"""bgzip: gzip members of at most 64 KiB that tell their own size (SAM specification 4.1), so files can be sought in."""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from drg_hpc.errors import InputError

_HEADER = struct.Struct("<4BI2BH2B2H")
_TAIL = struct.Struct("<2I")
_BATCH = 1 << 18
AGAIN = "copy or download it again"


def block_size(header: bytes | memoryview) -> int:
    """Bytes of a block, 0 when these are not the first 18 bytes of one."""
    if len(header) < _HEADER.size:
        return 0
    *magic, _, _, _, extra, first, second, size, bsize = _HEADER.unpack_from(header)
    known = magic == [31, 139, 8, 4] and (extra, first, second, size) == (6, ord("B"), ord("C"), 2)
    return bsize + 1 if known and bsize >= _HEADER.size + _TAIL.size else 0


def is_bgzip(path: Path) -> bool:
    """Whether a file starts with a bgzip block."""
    with open(path, "rb") as handle:
        return block_size(handle.read(_HEADER.size)) > 0


def _inflate(block: memoryview, path: Path, offset: int) -> bytes:
    checksum, size = _TAIL.unpack(block[-_TAIL.size :])
    try:
        data = zlib.decompress(block[_HEADER.size : -_TAIL.size], -15, size)
    except zlib.error as error:
        raise InputError(f"damaged bgzip file: {path}, block at byte {offset} ({error})", fix=AGAIN) from None
    if len(data) != size or zlib.crc32(data) != checksum:
        raise InputError(f"damaged bgzip file: {path}, block at byte {offset} (wrong checksum)", fix=AGAIN)
    return data


def bgzip_blocks(chunks: Iterable[bytes], path: Path) -> Iterator[tuple[int, bytes]]:
    """(compressed offset, text that begins there) of a whole file in batches of some 256 KiB.

    Raises
    ------
    InputError : damaged, or without the empty block that ends every whole bgzip file
    """
    rest, offset, ended = b"", 0, False
    batch, batch_start, batch_size = list[bytes](), 0, 0
    for chunk in chunks:
        view, at = memoryview(rest + chunk), 0
        while len(view) - at >= _HEADER.size:
            size = block_size(view[at:])
            if not size:
                raise InputError(f"damaged bgzip file: {path}, no block at byte {offset + at}", fix=AGAIN)
            if at + size > len(view):
                break
            data = _inflate(view[at : at + size], path, offset + at)
            if not batch:
                batch_start = offset + at
            batch.append(data)
            batch_size, ended, at = batch_size + len(data), not data, at + size
            if batch_size >= _BATCH:
                yield batch_start, b"".join(batch)
                batch, batch_size = [], 0
        rest, offset = bytes(view[at:]), offset + at
    if batch_size:
        yield batch_start, b"".join(batch)
    if rest or not ended:
        raise InputError(f"truncated bgzip file: {path} (its end marker is not there)", fix=AGAIN)


class Window:
    """The last two blocks of a text: who reads a little too far finds the rest there."""

    def __init__(self, start: int) -> None:
        self.start = start
        self._blocks = (b"", b"")

    @property
    def stop(self) -> int:
        """Offset after the last block."""
        return self.start + sum(map(len, self._blocks))

    def add(self, block: bytes) -> None:
        """The next block; the last but one is forgotten."""
        self.start += len(self._blocks[0])
        self._blocks = (self._blocks[1], block)

    def get(self, start: int, size: int) -> bytes:
        """Text from an offset that is not before the window, as far as one block has it; empty after the window."""
        at = start - self.start
        first, second = self._blocks
        if at < len(first):
            return first[at : at + size]
        return second[at - len(first) : at - len(first) + size]


class BgzipFile:
    """Text of a bgzip file from any offset.

    Parameters
    ----------
    index : (text offset, compressed offset) of some blocks, ascending; the first is (0, 0)
    """

    def __init__(self, path: Path, index: list[tuple[int, int]]) -> None:
        self._path, self._index = path, index
        self._handle = open(path, "rb", buffering=1 << 18)  # noqa: SIM115
        self._window = Window(0)

    def close(self) -> None:
        """Close the file."""
        self._handle.close()

    def read(self, start: int, size: int) -> bytes:
        """Text from an offset, shorter at the end of the file."""
        text, block = self._index[bisect_right(self._index, start, key=lambda entry: entry[0]) - 1]
        if start < self._window.start or text > self._window.stop:
            self._handle.seek(block)
            self._window = Window(text)
        found: list[bytes] = []
        while size > 0:
            piece = self._window.get(start, size)
            if not piece and not self._advance():
                break
            found.append(piece)
            start, size = start + len(piece), size - len(piece)
        return b"".join(found)

    def _advance(self) -> bool:
        """Inflate the next block; false at the end of the file."""
        offset, header = self._handle.tell(), self._handle.read(_HEADER.size)
        if not header:
            return False
        size = block_size(header)
        block = header + self._handle.read(size - len(header)) if size else b""
        if not size or len(block) < size:
            raise InputError(f"damaged bgzip file: {self._path}, no block at byte {offset}", fix=AGAIN)
        self._window.add(_inflate(memoryview(block), self._path, offset))
        return True


def read_chunks(handle: BinaryIO, size: int) -> Iterator[bytes]:
    """The bytes of an open file in chunks."""
    while chunk := handle.read(size):
        yield chunk
