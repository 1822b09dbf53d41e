"""UCSC 2bit: sequence at two bits a base, blocks of N and of soft-masked letters beside it. Standard library only.

Format: genome.ucsc.edu/FAQ/FAQformat.html#format7. Either byte order; version 0 (32-bit offsets) and 1 (64-bit).
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from drg_hpc.digests import describe_input
from drg_hpc.errors import InputError
from drg_hpc.genome.fasta import Contig, Scan
from drg_hpc.genome.hashing import Aside, LettersDigest

KIND = "2bit"
BASES = b"TCAG"
_MAGIC = bytes.fromhex("1a412743")
_BLOCK = 1 << 16
_LETTER = [bytes(BASES[byte >> shift & 3] for byte in range(256)) for shift in (6, 4, 2, 0)]
_AGAIN = "copy or download it again"


@dataclass(frozen=True)
class Sequence:
    """Where one sequence lies.

    Attributes
    ----------
    length : bases
    dna : offset of its packed bases
    unknown, masked : (starts, sizes) of blocks, ascending
    """

    length: int
    dna: int
    unknown: tuple[array[int], array[int]]
    masked: tuple[array[int], array[int]]


def is_twobit(path: Path) -> bool:
    """Whether a file starts with the signature of a 2bit file.

    Raises
    ------
    InputError : missing or unreadable
    """
    try:
        with open(path, "rb") as handle:
            return handle.read(4) in (_MAGIC, _MAGIC[::-1])
    except FileNotFoundError:
        raise InputError(f"no such file: {path}", fix="check the path") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


class TwoBitFile:
    """An open 2bit file.

    Raises
    ------
    InputError : not one, of an unknown version, truncated, or its tables make no sense
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.handle: BinaryIO = open(path, "rb")  # noqa: SIM115
        self._size = path.stat().st_size
        self._order = ">" if self.handle.read(4) == _MAGIC else "<"
        self._version, self._count, _ = self._numbers(3, "header")
        if self._version not in (0, 1):
            raise InputError(f"{path}: 2bit version {self._version} is not known", fix="versions 0 and 1 are")

    def close(self) -> None:
        """Close the file."""
        self.handle.close()

    def _bytes(self, count: int, what: str) -> bytes:
        data = self.handle.read(count) if count <= self._size else b""
        if len(data) < count:
            raise InputError(f"truncated 2bit file: {self.path} ({what})", fix=_AGAIN)
        return data

    def _numbers(self, count: int, what: str) -> array[int]:
        numbers = array("I", self._bytes(4 * count, what))
        if (self._order == "<") != (sys.byteorder == "little"):
            numbers.byteswap()
        return numbers

    def names(self) -> list[tuple[str, int]]:
        """(name, offset of its record), in the order of the file.

        Raises
        ------
        InputError : truncated; a name is empty, not text, or occurs twice; there is no sequence
        """
        self.handle.seek(16)
        found: dict[str, int] = {}
        offset = struct.Struct(f"{self._order}{'Q' if self._version else 'I'}")
        for number in range(self._count):
            where = f"sequence {number + 1} of its index"
            raw = self._bytes(self._bytes(1, where)[0], where)
            try:
                name = raw.decode()
            except UnicodeDecodeError:
                raise InputError(f"{self.path}: the name of {where} is not text: {raw[:30]!r}") from None
            if not name.strip() or name in found:
                raise InputError(f"{self.path}: {where}: {f'{name!r} occurs twice' if name in found else 'no name'}")
            found[name] = offset.unpack(self._bytes(offset.size, where))[0]
        if not found:
            raise InputError(f"no sequence in {self.path}")
        return list(found.items())

    def sequence(self, name: str, offset: int) -> Sequence:
        """The record of a sequence.

        Raises
        ------
        InputError : truncated, empty, or blocks that do not lie in the sequence in order
        """
        if offset >= self._size:
            raise InputError(f"truncated 2bit file: {self.path} ({name})", fix=_AGAIN)
        self.handle.seek(offset)
        length = self._numbers(1, name)[0]
        if not length:
            raise InputError(f"{self.path}: {name!r} has no sequence")
        unknown, masked = self._blocks(name, length), self._blocks(name, length)
        self._numbers(1, name)
        dna = self.handle.tell()
        if dna + -(-length // 4) > self._size:
            raise InputError(f"truncated 2bit file: {self.path} ({name})", fix=_AGAIN)
        return Sequence(length, dna, unknown, masked)

    def _blocks(self, name: str, length: int) -> tuple[array[int], array[int]]:
        count = self._numbers(1, name)[0]
        starts, sizes = self._numbers(count, name), self._numbers(count, name)
        end = 0
        for start, size in zip(starts, sizes, strict=True):
            if start < end or start + size > length:
                why = f"block {start}-{start + size} of {name!r} (length {length}) is out of order or outside"
                raise InputError(f"damaged 2bit file: {self.path}: {why}", fix=_AGAIN)
            end = start + size
        return starts, sizes

    def letters(self, name: str, sequence: Sequence) -> Iterator[bytearray]:
        """Upper-case letters of a whole sequence, in blocks."""
        starts, sizes = sequence.unknown
        self.handle.seek(sequence.dna)
        block = 0
        for start in range(0, sequence.length, 4 * _BLOCK):
            stop = min(start + 4 * _BLOCK, sequence.length)
            packed = self._bytes(-(-(stop - start) // 4), name)
            out = bytearray(4 * len(packed))
            for place, table in enumerate(_LETTER):
                out[place::4] = packed.translate(table)
            del out[stop - start :]
            while block < len(starts) and starts[block] < stop:
                first, last = max(starts[block], start), min(starts[block] + sizes[block], stop)
                out[first - start : last - start] = b"N" * (last - first)
                if starts[block] + sizes[block] > stop:
                    break
                block += 1
            yield out


def scan_twobit(path: Path) -> Scan:
    """The sequences of a 2bit file, as :func:`drg_hpc.genome.fasta.scan_file` of the same sequences as FASTA.

    Raises
    ------
    InputError : see :class:`TwoBitFile`
    """
    contigs: list[Contig] = []
    file = TwoBitFile(path)
    try:
        with Aside() as aside:
            for name, offset in file.names():
                sequence = file.sequence(name, offset)
                unknown, masked = sum(sequence.unknown[1]), sum(sequence.masked[1])
                contig = Contig(name, sequence.length, n=unknown, soft_masked=masked, places=[(0, offset)])
                contigs.append(contig)
                digest = LettersDigest(aside, contig.set_sha256)
                for letters in file.letters(name, sequence):
                    digest.update(letters)
                digest.finish()
    finally:
        file.close()
    return Scan(KIND, contigs, [], describe_input(path))
