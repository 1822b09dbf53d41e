"""Sequence files for tests, written independently of the package's readers."""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

BGZIP_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def wrapped(records: Mapping[str, str], *, width: int = 60, end: str = "\n") -> bytes:
    """FASTA text."""
    lines = []
    for name, sequence in records.items():
        lines += [f">{name} some words", *(sequence[i : i + width] for i in range(0, len(sequence), width))]
    return "".join(line + end for line in lines).encode()


def bgzip(data: bytes, *, block: int = 65280) -> bytes:
    """A bgzip file (SAM specification 4.1)."""
    blocks = []
    for start in range(0, len(data), block):
        piece = data[start : start + block]
        packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        packed = packer.compress(piece) + packer.flush()
        head = struct.pack("<4BI2BH2B2H", 31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, len(packed) + 25)
        blocks.append(head + packed + struct.pack("<II", zlib.crc32(piece), len(piece)))
    return b"".join(blocks) + BGZIP_END


def twobit(records: Mapping[str, str], *, order: Literal["<", ">"] = "<", version: int = 0) -> bytes:
    """A 2bit file; letters other than A, C, G, T are N there."""
    heads = [name.encode() for name in records]
    offset_kind, offset_size = ("Q", 8) if version else ("I", 4)
    position = 16 + sum(1 + len(head) + offset_size for head in heads)
    index, bodies = b"", b""
    for head, sequence in zip(heads, records.values(), strict=True):
        index += bytes([len(head)]) + head + struct.pack(order + offset_kind, position + len(bodies))
        bodies += _twobit_record(sequence, order)
    return struct.pack(order + "4I", 0x1A412743, version, len(heads), 0) + index + bodies


def _twobit_record(sequence: str, order: str) -> bytes:
    def blocks(pattern: str) -> bytes:
        found = [match.span() for match in re.finditer(pattern, sequence)]
        numbers = [len(found), *(start for start, _ in found), *(stop - start for start, stop in found)]
        return struct.pack(f"{order}{len(numbers)}I", *numbers)

    bits = "".join(f"{max('TCAG'.find(letter), 0):02b}" for letter in sequence.upper())
    bits += "0" * (-len(bits) % 8)
    packed = int(bits or "0", 2).to_bytes(len(bits) // 8, "big")
    head = struct.pack(order + "I", len(sequence))
    return head + blocks("[^ACGTacgt]+") + blocks("[a-z]+") + struct.pack(order + "I", 0) + packed


def write(path: Path, records: Mapping[str, str], kind: str) -> Path:
    """A file of one of ``KINDS``; ``2bit>`` is big-endian and of version 1."""
    text = wrapped(records, width=61, end="\r\n" if kind == "crlf" else "\n")
    made = {
        "plain": lambda: text,
        "crlf": lambda: text,
        "gzip": lambda: gzip.compress(text),
        "bgzip": lambda: bgzip(text, block=1500),
        "2bit": lambda: twobit(records),
        "2bit>": lambda: twobit(records, order=">", version=1),
    }
    path.write_bytes(made[kind]())
    return path


KINDS = ("plain", "crlf", "gzip", "bgzip", "2bit", "2bit>")
