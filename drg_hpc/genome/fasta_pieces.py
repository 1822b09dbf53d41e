"""The lines of a FASTA as headers and runs of letters, in blocks; faults name the line. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from drg_hpc.errors import InputError
from drg_hpc.genome.compressed import text_blocks, text_kind

BLANKS = b"\r\n \t"
LOWER = bytes(range(ord("a"), ord("z") + 1))
LETTERS = LOWER + LOWER.upper() + b"*-."
_LONGEST_HEADER = 1 << 20


class Piece(NamedTuple):
    """A header (its line without ``>``) or a run of sequence lines or of parts of them, and its offset in the text."""

    header: bool
    data: bytes
    offset: int


def raw_pieces(blocks: Iterable[bytes], path: Path) -> Iterator[Piece]:
    """Headers and runs of lines as they stand. ``>`` begins a header at the start of a line only."""
    header: bytes | None = None
    offset, line_start = 0, True
    for block in blocks:
        position = 0
        while position < len(block):
            if header is not None or (line_start and block[position] == ord(">")):
                start = offset + position - len(header or b"")
                end = block.find(b"\n", position)
                header = (header or b"") + block[position : len(block) if end < 0 else end]
                if len(header) > _LONGEST_HEADER:
                    fix = "is it a FASTA file? Lines end with LF or CRLF"
                    raise InputError(f"{path}: line {line_at(path, start)}: header longer than 1 MiB", fix=fix)
                if end < 0:
                    break
                yield Piece(True, header[1:], start)
                header, position, line_start = None, end + 1, True
                continue
            end = block.find(b">", position + 1)
            while end > 0 and block[end - 1] != ord("\n"):
                end = block.find(b">", end + 1)
            end = len(block) if end < 0 else end
            yield Piece(False, block[position:end], offset + position)
            position, line_start = end, block[end - 1] == ord("\n")
        offset += len(block)
    if header is not None:
        yield Piece(True, header[1:], offset - len(header))


def line_at(path: Path, offset: int) -> int:
    """Number of the line that an offset in the text lies in: the file is read again, for a message only."""
    line = 1
    for _, block in text_blocks(path, text_kind(path)):
        line += block[: max(offset, 0)].count(b"\n")
        offset -= len(block)
        if offset <= 0:
            break
    return line


def header_name(piece: Piece, path: Path) -> str:
    """First word of a header.

    Raises
    ------
    InputError : there is none, or it is not text
    """
    words = piece.data.split(maxsplit=1)
    if not words:
        raise InputError(f"{path}: line {line_at(path, piece.offset)}: header without a name")
    try:
        return words[0].decode()
    except UnicodeDecodeError:
        line = line_at(path, piece.offset)
        raise InputError(f"{path}: line {line}: a header is not text: {words[0][:30]!r}") from None


def refuse_letters(piece: Piece, strange: bytes, path: Path) -> InputError:
    """The error for the first of some bytes that are no letters of a sequence."""
    line = line_at(path, piece.offset + piece.data.index(strange[:1]))
    return InputError(f"{path}: line {line}: {chr(strange[0])!r} is not a base", fix="is it a FASTA file?")


def checked_pieces(blocks: Iterable[bytes], path: Path) -> Iterator[tuple[str, Piece]]:
    """(name, piece): every piece with the name of its sequence; blank ones before the first header are left out.

    Raises
    ------
    InputError : letters before the first header, a header without a name, a name twice, no header at all
    """
    seen: set[str] = set()
    name = ""
    for piece in raw_pieces(blocks, path):
        if piece.header:
            name = header_name(piece, path)
            if name in seen:
                raise InputError(f"{path}: line {line_at(path, piece.offset)}: {name!r} occurs twice")
            seen.add(name)
        elif not seen:
            if piece.data.translate(None, BLANKS):
                line = line_at(path, piece.offset + len(piece.data) - len(piece.data.lstrip(BLANKS)))
                why = f"{path}: line {line}: sequence before the first header"
                raise InputError(why, fix="a FASTA file starts with '>'")
            continue
        yield name, piece
    if not seen:
        raise InputError(f"no sequence in {path}", fix="is it a FASTA file?")
