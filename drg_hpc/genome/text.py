"""Lines of text tables, plain, gzip or bgzip, read in blocks; faults name the line. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from drg_hpc.errors import InputError
from drg_hpc.genome.compressed import text_blocks, text_kind

_LONGEST = 16 << 20
_BLANKS = re.compile("[ \t]+")


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(line number from 1, line without its end) of a UTF-8 file; CRLF and a byte order mark are taken off.

    Raises
    ------
    InputError : missing or unreadable; with the line: not UTF-8, truncated or damaged gzip, a line above 16 MiB
    """
    number, rest = 0, b""
    blocks = text_blocks(path, text_kind(path))
    while block := _next(blocks, path, number):
        rest = rest + block if rest else block
        cut = rest.rfind(b"\n") + 1
        if cut:
            for line in _decoded(rest[: cut - 1], path, number).split("\n"):
                number += 1
                yield number, line.rstrip("\r")
            rest = rest[cut:]
        elif len(rest) > _LONGEST:
            raise InputError(f"{path}: line {number + 1}: longer than 16 MiB", fix="is it a text file?")
    if rest:
        yield number + 1, _decoded(rest, path, number).rstrip("\r")


def _next(blocks: Iterator[tuple[int, bytes]], path: Path, lines: int) -> bytes:
    """The next block, empty at the end; a fault of the compression is told with the number of lines before it."""
    try:
        return next(blocks, (0, b""))[1]
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except InputError as error:
        raise InputError(f"{error.what}, after line {lines}", fix=error.fix) from None


def _decoded(data: bytes, path: Path, before: int) -> str:
    """Text of whole lines, the first of which is number ``before + 1``."""
    try:
        return data.decode("utf-8" if before else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = before + 1 + data.count(b"\n", 0, error.start)
        raise InputError(f"{path}: line {line}: not UTF-8 text", fix="is it a text file?") from None


def columns(line: str) -> list[str]:
    """Columns by tabs, or by runs of blanks where there is no tab; blanks around a column are taken off."""
    if "\t" in line:
        fields = line.split("\t")
        return [field.strip(" ") for field in fields] if " " in line else fields
    return _BLANKS.split(line.strip(" "))
