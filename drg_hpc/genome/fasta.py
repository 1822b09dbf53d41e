"""FASTA, plain, gzip or bgzip, read in blocks with the standard library alone (plans run on login nodes)."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from drg_hpc.errors import InputError
from drg_hpc.genome.bgzip import BgzipIndex, is_bgzip

_BLOCK = 1 << 20
_LOWER = bytes(range(ord("a"), ord("z") + 1))
_ALLOWED = _LOWER + _LOWER.upper() + b"*-.\r\n \t"


@dataclass(frozen=True, slots=True)
class Record:
    """One sequence: first word of its header, and its letters as they stand."""

    name: str
    sequence: bytes
    line: int


@dataclass(frozen=True, slots=True)
class Contig:
    """What a plan knows of one sequence of a FASTA.

    Attributes
    ----------
    sha256 : of the upper-case letters
    other : letters that are not A, C, G or T
    soft_masked : lower-case letters
    offset : byte of the first letter in the (uncompressed) file
    """

    name: str
    length: int
    sha256: str
    other: int
    soft_masked: int
    offset: int


@dataclass(frozen=True, slots=True)
class _Piece:
    header: bool
    data: bytes
    line: int
    offset: int


def is_compressed(path: Path) -> bool:
    """Whether a file starts with gzip's magic number (bgzip is gzip)."""
    try:
        with open(path, "rb") as handle:
            return handle.read(2) == b"\x1f\x8b"
    except FileNotFoundError:
        raise InputError(f"no such file: {path}", fix="check the path") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if is_compressed(path) else open(path, "rb")


def _blocks(handle: BinaryIO, path: Path) -> Iterator[bytes]:
    try:
        while block := handle.read(_BLOCK):
            yield block
    except EOFError:
        raise InputError(f"truncated gzip file: {path}", fix="copy or download it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"damaged gzip file: {path} ({error})", fix="copy or download it again") from None


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(line number, line without its end) of a text file, plain or gzip, for the other table readers.

    Raises
    ------
    InputError : missing, truncated gzip, or not UTF-8 text
    """
    try:
        with _open(path) as handle:
            for number, raw in enumerate(handle, 1):
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except EOFError:
        raise InputError(f"truncated gzip file: {path}", fix="copy or download it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"damaged gzip file: {path} ({error})", fix="copy or download it again") from None
    except UnicodeDecodeError:
        raise InputError(f"not a text file: {path}") from None


def _pieces(handle: BinaryIO, path: Path) -> Iterator[_Piece]:
    """Headers (whole lines without ``>``) and runs of sequence lines, with line number and byte offset."""
    data, line, offset, line_start = b"", 1, 0, True
    for block in _blocks(handle, path):
        data = data + block if data else block
        position = 0
        while position < len(data):
            if line_start and data[position] == ord(">"):
                end = data.find(b"\n", position)
                if end < 0:
                    break
                yield _Piece(True, data[position + 1 : end], line, offset + position)
                position, line = end + 1, line + 1
                continue
            found = data.find(b"\n>", position)
            end = len(data) if found < 0 else found + 1
            piece = data[position:end]
            yield _Piece(False, piece, line, offset + position)
            line += piece.count(b"\n")
            line_start = piece.endswith(b"\n")
            position = end
        offset += position
        data = data[position:]
    if data:
        yield _Piece(True, data[1:], line, offset)


def _checked(path: Path) -> Iterator[_Piece]:
    """Pieces with headers cut to their first word and sequences without line ends; faults raise."""
    names: set[bytes] = set()
    with _open(path) as handle:
        for piece in _pieces(handle, path):
            if piece.header:
                name = (piece.data.split(maxsplit=1) or [b""])[0]
                if not name:
                    raise InputError(f"{path}: line {piece.line}: header without a name")
                if name in names:
                    raise InputError(f"{path}: line {piece.line}: {_text(name, path)!r} occurs twice")
                names.add(name)
                yield _Piece(True, name, piece.line, piece.offset + len(piece.data) + 2)
                continue
            sequence = piece.data.translate(None, b"\r\n \t")
            if sequence and not names:
                raise InputError(
                    f"{path}: line {piece.line}: sequence before the first header", fix="a FASTA file starts with '>'"
                )
            if strange := piece.data.translate(None, _ALLOWED):
                before = piece.data[: piece.data.index(strange[:1])].count(b"\n")
                raise InputError(
                    f"{path}: line {piece.line + before}: {chr(strange[0])!r} is not a base", fix="is it a FASTA file?"
                )
            if sequence:
                yield _Piece(False, sequence, piece.line, piece.offset)
    if not names:
        raise InputError(f"no sequence in {path}", fix="is it a FASTA file?")


def _text(name: bytes, path: Path) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise InputError(f"{path}: a header is not text: {name[:30]!r}") from None


def read_records(path: Path) -> Iterator[Record]:
    """All sequences of a FASTA, one at a time.

    Raises
    ------
    InputError : missing, empty or not a FASTA file, truncated gzip, a name twice, an empty sequence (with the line)
    """
    name, line, parts = "", 0, list[bytes]()
    for piece in _checked(path):
        if not piece.header:
            parts.append(piece.data)
            continue
        if name:
            yield _record(path, name, line, parts)
        name, line, parts = _text(piece.data, path), piece.line, []
    yield _record(path, name, line, parts)


def _record(path: Path, name: str, line: int, parts: list[bytes]) -> Record:
    if not parts:
        raise InputError(f"{path}: line {line}: {name!r} has no sequence")
    return Record(name, b"".join(parts), line)


def scan(path: Path) -> list[Contig]:
    """Names, lengths, digests and letter counts of a FASTA, without keeping its sequences.

    Raises
    ------
    InputError : as :func:`read_records`
    """
    found: list[Contig] = []
    name, offset, line, length, other, soft = "", 0, 0, 0, 0, 0
    digest = hashlib.sha256()

    def finish() -> None:
        if not name:
            return
        if not length:
            raise InputError(f"{path}: line {line}: {name!r} has no sequence")
        found.append(Contig(name, length, digest.hexdigest(), other, soft, offset))

    for piece in _checked(path):
        if piece.header:
            finish()
            name, offset, line = _text(piece.data, path), piece.offset, piece.line
            length = other = soft = 0
            digest = hashlib.sha256()
            continue
        digest.update(piece.data.upper())
        length += len(piece.data)
        other += len(piece.data.translate(None, b"ACGTacgt"))
        soft += len(piece.data) - len(piece.data.translate(None, _LOWER))
    finish()
    return found


def stream_contigs(path: Path, offsets: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
    """(name, letters) in pieces, of the named sequences only, in the order of the file.

    Parameters
    ----------
    offsets : name -> :attr:`Contig.offset`; plain and bgzip files are read from there, other gzip from the start
    """
    compressed = is_compressed(path)
    if compressed and not is_bgzip(path):
        yield from _stream_whole(path, offsets)
        return
    index = BgzipIndex(path) if compressed else None
    for name, offset in sorted(offsets.items(), key=lambda item: item[1]):
        with index.open_at(offset) if index else open(path, "rb") as handle:
            if index is None:
                handle.seek(offset)
            for piece in _pieces(handle, path):
                if piece.header:
                    break
                yield name, piece.data.translate(None, b"\r\n \t")


def _stream_whole(path: Path, offsets: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
    """Read a gzip file from its start until the last wanted sequence."""
    left, name = set(offsets), ""
    for piece in _checked(path):
        if piece.header:
            if not left:
                return
            name = _text(piece.data, path)
            left.discard(name)
        elif name in offsets:
            yield name, piece.data
