"""Text files, plain, gzip or bgzip: read from end to end, or from an offset. Standard library only."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Literal, Protocol

from drg_hpc.errors import InputError
from drg_hpc.genome.bgzip import AGAIN, BgzipFile, Window, bgzip_blocks, block_size, read_chunks

Kind = Literal["plain", "gzip", "bgzip"]
BLOCK = 1 << 18


class TextFile(Protocol):
    """A file whose text can be read from an offset."""

    def read(self, start: int, size: int) -> bytes:
        """Text from an offset, shorter at the end of the file."""

    def close(self) -> None:
        """Close the file."""


def text_kind(path: Path) -> Kind:
    """How a file is compressed.

    Raises
    ------
    InputError : missing or unreadable
    """
    try:
        with open(path, "rb") as handle:
            start = handle.read(18)
    except FileNotFoundError:
        raise InputError(f"no such file: {path}", fix="check the path") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    if block_size(start):
        return "bgzip"
    return "gzip" if start[:2] == b"\x1f\x8b" else "plain"


def text_blocks(
    path: Path, kind: Kind, *, seen: Callable[[bytes], object] = len
) -> Generator[tuple[int, bytes], None, None]:
    """(offset in the file, text that begins there) of a whole file, in blocks.

    Parameters
    ----------
    seen : called with the file's own bytes, chunk by chunk

    Raises
    ------
    InputError : truncated or damaged
    """

    def chunks() -> Iterator[bytes]:
        for chunk in read_chunks(handle, BLOCK):
            seen(chunk)
            yield chunk

    with open(path, "rb", buffering=0) as handle:
        if kind == "bgzip":
            yield from bgzip_blocks(chunks(), path)
        elif kind == "gzip":
            yield from ((0, block) for block in _gzip_blocks(chunks(), path))
        else:
            offset = 0
            for chunk in chunks():
                yield offset, chunk
                offset += len(chunk)


def _gzip_blocks(chunks: Iterable[bytes], path: Path) -> Iterator[bytes]:
    """Text of all gzip members, in blocks of bounded size (a member of Ns inflates a thousandfold)."""
    member = None
    try:
        for chunk in chunks:
            waiting = chunk
            while waiting or member is not None:
                if member is None:
                    waiting = waiting.lstrip(b"\0")  # gzip allows padding after a member
                    if not waiting:
                        break
                    member = zlib.decompressobj(31)
                block = member.decompress(waiting, BLOCK)
                if block:
                    yield block
                if member.eof:
                    waiting, member = member.unused_data, None
                    continue
                waiting = member.unconsumed_tail
                if not waiting and len(block) < BLOCK:
                    break
    except zlib.error as error:
        raise InputError(f"damaged gzip file: {path} ({error})", fix=AGAIN) from None
    if member is not None:
        raise InputError(f"truncated gzip file: {path}", fix=AGAIN)


class _PlainFile:
    def __init__(self, path: Path) -> None:
        self._handle = open(path, "rb", buffering=0)  # noqa: SIM115

    def close(self) -> None:
        self._handle.close()

    def read(self, start: int, size: int) -> bytes:
        self._handle.seek(start)
        return b"".join(iter_read(self._handle.read, size))


def iter_read(read: Callable[[int], bytes], size: int) -> Iterator[bytes]:
    """Pieces of together ``size`` bytes (unbuffered reads may be short), fewer at the end."""
    while size > 0 and (piece := read(size)):
        size -= len(piece)
        yield piece


class _GzipFile:
    """gzip can only be read forwards; an offset before the last two blocks means starting again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._restart()

    def _restart(self) -> None:
        self._blocks = text_blocks(self._path, "gzip")
        self._window = Window(0)

    def close(self) -> None:
        self._blocks.close()

    def read(self, start: int, size: int) -> bytes:
        if start < self._window.start:
            self._restart()
        found: list[bytes] = []
        while size > 0:
            piece = self._window.get(start, size)
            if not piece:
                following = next(self._blocks, None)
                if following is None:
                    break
                self._window.add(following[1])
            found.append(piece)
            start, size = start + len(piece), size - len(piece)
        return b"".join(found)


def open_text(path: Path, kind: Kind, index: list[tuple[int, int]]) -> TextFile:
    """A file to read from offsets; ``index`` is for bgzip, see :class:`drg_hpc.genome.bgzip.BgzipFile`."""
    if kind == "bgzip":
        return BgzipFile(path, index)
    return _GzipFile(path) if kind == "gzip" else _PlainFile(path)
