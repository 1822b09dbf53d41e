"""FASTA, plain, gzip or bgzip, read in blocks with the standard library alone (plans run on login nodes)."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from drg_hpc.errors import InputError
from drg_hpc.genome.compressed import text_blocks, text_kind
from drg_hpc.genome.fasta_pieces import BLANKS, LETTERS, LOWER, Piece, checked_pieces, line_at, refuse_letters
from drg_hpc.genome.hashing import Aside, LettersDigest

SEEK_STEP = 1 << 22
"""A place to start reading is kept for every so many letters of a sequence."""
_INDEX_STEP = 1 << 20
_UPPER = bytes(range(256)).upper()


@dataclass(frozen=True, slots=True)
class Record:
    """One sequence: first word of its header, and its letters as they stand."""

    name: str
    sequence: bytes


@dataclass(slots=True)
class Contig:
    """What a plan knows of one sequence.

    Attributes
    ----------
    sha256 : of the upper-case letters
    n : letters N
    other : letters that are not A, C, G, T or N
    soft_masked : lower-case letters
    places : (letters before, offset in the text) where reading may start; the first is (0, start of the sequence)
    """

    name: str
    length: int = 0
    sha256: str = ""
    n: int = 0
    other: int = 0
    soft_masked: int = 0
    places: list[tuple[int, int]] = field(default_factory=list)

    def set_sha256(self, sha256: str) -> None:
        """Note the digest when it is known."""
        self.sha256 = sha256


@dataclass(frozen=True)
class Scan:
    """What a plan knows of a file.

    Attributes
    ----------
    kind : plain, gzip, bgzip or 2bit
    index : bgzip: (text offset, compressed offset) of some blocks
    record : as of :func:`drg_hpc.digests.describe_input`
    """

    kind: str
    contigs: list[Contig]
    index: list[tuple[int, int]]
    record: dict[str, Any]


def is_compressed(path: Path) -> bool:
    """Whether a file starts with gzip's magic number (bgzip is gzip)."""
    return text_kind(path) != "plain"


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if is_compressed(path) else open(path, "rb")


def read_records(path: Path) -> Iterator[Record]:
    """All sequences of a FASTA, one at a time.

    Raises
    ------
    InputError : missing, empty or not a FASTA file, truncated gzip, a name twice, an empty sequence (with the line)
    """
    blocks = (block for _, block in text_blocks(path, text_kind(path)))
    name, header, parts = "", -1, list[bytes]()
    for current, piece in checked_pieces(blocks, path):
        if not piece.header:
            letters = piece.data.translate(None, BLANKS)
            if strange := letters.translate(None, LETTERS):
                raise refuse_letters(piece, strange, path)
            if letters:
                parts.append(letters)
            continue
        if header >= 0:
            yield _record(path, name, header, parts)
        name, header, parts = current, piece.offset, []
    yield _record(path, name, header, parts)


def _record(path: Path, name: str, header: int, parts: list[bytes]) -> Record:
    if not parts:
        raise InputError(f"{path}: line {line_at(path, header)}: {name!r} has no sequence")
    return Record(name, b"".join(parts))


def scan(path: Path) -> list[Contig]:
    """Names, lengths, digests and letter counts of a FASTA, without keeping its sequences.

    Raises
    ------
    InputError : as :func:`read_records`
    """
    return scan_file(path).contigs


def scan_file(path: Path) -> Scan:
    """The sequences of a FASTA and the file itself, in one pass.

    Raises
    ------
    InputError : as :func:`read_records`
    """
    kind = text_kind(path)
    found = _Contigs(path)
    index: list[tuple[int, int]] = []
    file_digest = hashlib.sha256()
    status = path.stat()
    with Aside() as of_file, Aside() as of_letters:

        def blocks() -> Iterator[bytes]:
            offset = 0
            for file_offset, block in text_blocks(path, kind, seen=lambda data: of_file.call(file_digest.update, data)):
                if kind == "bgzip" and (not index or offset - index[-1][0] >= _INDEX_STEP):
                    index.append((offset, file_offset))
                yield block
                offset += len(block)

        for name, piece in checked_pieces(blocks(), path):
            if piece.header:
                found.begin(name, piece, of_letters)
            else:
                found.add(piece)
        found.end()
    record = describe_stat(path, status, file_digest.hexdigest())
    return Scan(kind, found.contigs, index, record)


def describe_stat(path: Path, status: os.stat_result, sha256: str) -> dict[str, Any]:
    """What :func:`drg_hpc.digests.describe_input` says of a file that was hashed while it was read."""
    whole = {"path": str(path.absolute()), "members": [], "bytes": status.st_size}
    return whole | {"mtime_ns": status.st_mtime_ns, "sha256": sha256}


class _Contigs:
    """The sequences of a file, from its pieces."""

    def __init__(self, path: Path) -> None:
        self.contigs: list[Contig] = []
        self._path = path
        self._header = 0

    def begin(self, name: str, piece: Piece, aside: Aside) -> None:
        """A header: the sequence before it is whole."""
        self.end()
        contig = Contig(name)
        self.contigs.append(contig)
        self._header = piece.offset
        self._digest = LettersDigest(aside, contig.set_sha256)

    def add(self, piece: Piece) -> None:
        """Lines of the sequence, counted by what is left when common letters are taken out."""
        contig = self.contigs[-1]
        unusual = piece.data.translate(None, b"ACGT\n\r")
        if unusual:
            self._count(contig, piece, unusual)
        letters = piece.data.translate(_UPPER, BLANKS)
        if not contig.places or (contig.length + len(letters)) // SEEK_STEP > contig.length // SEEK_STEP:
            contig.places.append((contig.length, piece.offset))
        contig.length += len(letters)
        self._digest.update(letters)

    def _count(self, contig: Contig, piece: Piece, unusual: bytes) -> None:
        rest = unusual.translate(None, b"acgt")
        contig.soft_masked += len(unusual) - len(rest)
        others = rest.translate(None, b"Nn \t")
        if strange := others.translate(None, LETTERS):
            raise refuse_letters(piece, strange, self._path)
        lower_n = rest.count(b"n")
        contig.n += lower_n + rest.count(b"N")
        contig.other += len(others)
        contig.soft_masked += lower_n + len(others) - len(others.translate(None, LOWER))

    def end(self) -> None:
        """No more lines of the sequence."""
        if not self.contigs:
            return
        if not self.contigs[-1].length:
            line = line_at(self._path, self._header)
            raise InputError(f"{self._path}: line {line}: {self.contigs[-1].name!r} has no sequence")
        self._digest.finish()
