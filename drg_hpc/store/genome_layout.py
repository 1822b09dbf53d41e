"""Arrays of a genome store: per contig ``(length, 4)`` bool in the order A, C, G, T. Light."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from drg_hpc.store.layout import ArraySpec

GENOME_CHUNK = 1 << 18
GENOME_SHARD = 1 << 22


def contig_geometry(length: int) -> tuple[int, int]:
    """Bases per chunk and per zarr shard of a contig; short contigs get one small shard instead of padding."""
    chunk = min(GENOME_CHUNK, 1 << max(length - 1, 1).bit_length())
    return chunk, min(GENOME_SHARD, -(-length // chunk) * chunk)


def genome_arrays(header: Mapping[str, Any]) -> list[ArraySpec]:
    """Arrays of a genome store: per contig ``(length, 4)`` bool in the order A, C, G, T."""
    found = []
    for contig in header["contigs"]:
        chunk, shard = contig_geometry(contig["length"])
        found.append(ArraySpec(contig["array"], (contig["length"], 4), "bool", chunk, shard, header["codec"], (f"{contig['name']}_position", "base")))
    return found


def genome_units(header: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    """(contig number, shard number) of every zarr shard, contigs in order: the rows of a genome run are these."""
    for number, spec in enumerate(genome_arrays(header)):
        for index in range(spec.shard_count):
            yield number, index


def genome_labels(header: Mapping[str, Any]) -> dict[str, list[str]]:
    """Coordinate arrays, path -> values."""
    return {"contigs/base": list("ACGT")}
