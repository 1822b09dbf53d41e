"""Arrays of a genome store: ``(length, 4)`` bool in the order A, C, G, T. Light.

A contig has an array of its own, or lies in one that short contigs share: ten thousand scaffolds are not ten thousand
folders. The header says where: ``array`` and ``offset``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from drg_hpc.store.layout import ArraySpec

GENOME_CHUNK = 1 << 18
GENOME_SHARD = 1 << 22
MANY_CONTIGS = 256
"""A genome of more contigs has those shorter than a zarr shard packed end to end."""
GROUP = "contigs"
LABELS = f"{GROUP}/base"
_PACKED = "packed-"
_NUMBERED = "contig-number-"
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


class Piece(NamedTuple):
    """Bases ``start`` to ``stop`` of contig number ``contig``, which lie in an array from position ``at``."""

    contig: int
    start: int
    stop: int
    at: int


def contig_geometry(length: int) -> tuple[int, int]:
    """Bases per chunk and per zarr shard of an array; short ones get one small shard instead of padding."""
    chunk = min(GENOME_CHUNK, 1 << max(length - 1, 1).bit_length())
    return chunk, min(GENOME_SHARD, -(-length // chunk) * chunk)


def array_path(name: str, number: int) -> str:
    """Where a contig lies: by its name, or by number where the name is no safe file name or is taken."""
    safe = set(name) <= _PLAIN and not name.startswith((".", "__", _PACKED, _NUMBERED)) and len(name) <= 100
    return f"{GROUP}/{name if safe and name not in ('base', 'zarr.json') else f'{_NUMBERED}{number:05d}'}"


def is_shared(array: str) -> bool:
    """Whether an array holds several contigs."""
    return array.startswith(f"{GROUP}/{_PACKED}")


def place_contigs(contigs: list[tuple[str, int]], *, after: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """``array`` and ``offset`` of each contig, given (name, length).

    Parameters
    ----------
    after : header records of contigs that are in the store already; new ones never share an array with them
    """
    shared = {contig["array"] for contig in after if is_shared(contig["array"])}
    packed = f"{GROUP}/{_PACKED}{len(shared):04d}"
    many = len(after) + len(contigs) > MANY_CONTIGS
    placed, offset = [], 0
    for number, (name, length) in enumerate(contigs, len(after)):
        if many and length < GENOME_SHARD:
            placed.append({"array": packed, "offset": offset})
            offset += length
        else:
            placed.append({"array": array_path(name, number), "offset": 0})
    return placed


def _lengths(header: Mapping[str, Any]) -> dict[str, tuple[int, str]]:
    """Array -> its length and what its positions are called, in order."""
    found: dict[str, tuple[int, str]] = {}
    for contig in header["contigs"]:
        path = contig["array"]
        name = path.removeprefix(f"{GROUP}/").replace("-", "_") if is_shared(path) else contig["name"]
        found[path] = contig["offset"] + contig["length"], f"{name}_position"
    return found


def genome_arrays(header: Mapping[str, Any]) -> list[ArraySpec]:
    """Arrays of a genome store, in the order of their first contigs."""
    found = []
    for path, (length, position) in _lengths(header).items():
        chunk, shard = contig_geometry(length)
        found.append(ArraySpec(path, (length, 4), "bool", chunk, shard, header["codec"], (position, "base")))
    return found


def genome_units(header: Mapping[str, Any], *, skip: int = 0) -> list[tuple[ArraySpec, int]]:
    """(array, shard number) of every zarr shard, in order: the rows of a genome run are these.

    Parameters
    ----------
    skip : leave out the arrays of so many contigs from the first on (those of the store that is appended to)
    """
    old = {contig["array"] for contig in header["contigs"][:skip]}
    return [(a, i) for a in genome_arrays(header) if a.path not in old for i in range(a.shard_count)]


def pieces_of(header: Mapping[str, Any], *, skip: int = 0) -> Iterator[tuple[str, int, Piece]]:
    """(array, shard number, piece) of every contig but the first ``skip``, cut where zarr shards end, in order."""
    shards = {spec.path: spec.shard for spec in genome_arrays(header)}
    for number, contig in enumerate(header["contigs"][skip:], skip):
        array, offset, length = contig["array"], contig["offset"], contig["length"]
        size, start = shards[array], 0
        while start < length:
            index, at = divmod(offset + start, size)
            stop = min(start + size - at, length)
            yield array, index, Piece(number, start, stop, at)
            start = stop


def genome_labels(header: Mapping[str, Any]) -> dict[str, list[str]]:
    """Coordinate arrays, path -> values."""
    return {LABELS: list("ACGT")}


def genome_files(header: Mapping[str, Any]) -> int:
    """Files of the store: shards, a zarr.json per array and group, labels, manifest."""
    arrays = genome_arrays(header)
    return sum(spec.shard_count + 1 for spec in arrays) + 5
