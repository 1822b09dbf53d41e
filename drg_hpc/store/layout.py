"""What a store holds: arrays, chunk and shard shapes, file names. Light, so that plans and headers agree with writers.

zarr v3 with sharding: a *chunk* is the smallest read, a zarr *shard* is one file and the smallest safe write.
Arrays are sharded along their first axis only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

FORMAT = "drg-store/1"
STORE = "out.zarr"
MODALITY = "main"
SPLITS = ("train", "valid", "test", "excluded")

GENOME_CHUNK = 1 << 18
GENOME_SHARD = 1 << 22
ROW_SHARD_BYTES = 4 << 20
ROW_CHUNK_BYTES = 256 << 10
ROW_SHARD_LIMITS = (64, 16384)
ROW_CHUNK_LIMITS = (64, 1024)

Codec = Literal["packbits", "blosc", "zstd"]


@dataclass(frozen=True)
class ArraySpec:
    """One zarr array: path in the store, shape, dtype name, chunk and shard length on axis 0, codec."""

    path: str
    shape: tuple[int, ...]
    dtype: str
    chunk: int
    shard: int
    codec: Codec

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of a chunk."""
        return (self.chunk, *self.shape[1:])

    @property
    def shards(self) -> tuple[int, ...]:
        """Shape of a zarr shard (one file)."""
        return (self.shard, *self.shape[1:])

    @property
    def shard_count(self) -> int:
        """Number of shard files."""
        return -(-self.shape[0] // self.shard)

    def shard_file(self, index: int) -> str:
        """Path of a shard file relative to the store's root."""
        return f"{self.path}/c/{index}" + "/0" * (len(self.shape) - 1)

    def shard_slice(self, index: int) -> slice:
        """Rows that a shard file holds."""
        return slice(index * self.shard, min((index + 1) * self.shard, self.shape[0]))


def _power_of_two(value: int, limits: tuple[int, int]) -> int:
    """Largest power of two that is not above ``value``, kept within ``limits`` (powers of two themselves)."""
    low, high = limits
    return min(max(1 << (max(value, 1).bit_length() - 1), low), high)


def row_bytes(*, length: int, tracks: int, bins: int) -> int:
    """Bytes of one dataset row on disk before compression: packed sequence, float32 targets, their mask."""
    return length // 2 + tracks * max(bins, 1) * 5


def row_geometry(bytes_per_row: int) -> tuple[int, int]:
    """Rows per zarr shard and per chunk, both powers of two, from the size of a row and nothing else."""
    shard = _power_of_two(ROW_SHARD_BYTES // max(bytes_per_row, 1), ROW_SHARD_LIMITS)
    chunk = _power_of_two(ROW_CHUNK_BYTES // max(bytes_per_row, 1), ROW_CHUNK_LIMITS)
    return shard, min(shard, chunk)


def contig_geometry(length: int) -> tuple[int, int]:
    """Bases per chunk and per zarr shard of a contig; short contigs get one small shard instead of padding."""
    chunk = min(GENOME_CHUNK, 1 << max(length - 1, 1).bit_length())
    return chunk, min(GENOME_SHARD, -(-length // chunk) * chunk)


def genome_arrays(header: Mapping[str, Any]) -> list[ArraySpec]:
    """Arrays of a genome store: per contig ``(length, 4)`` bool in the order A, C, G, T."""
    found = []
    for contig in header["contigs"]:
        chunk, shard = contig_geometry(contig["length"])
        found.append(ArraySpec(contig["array"], (contig["length"], 4), "bool", chunk, shard, header["codec"]))
    return found


def dataset_arrays(header: Mapping[str, Any]) -> list[ArraySpec]:
    """Arrays of a dataset store, all with one row-shard size."""
    rows, shard, chunk = header["rows"], header["row_shard"], header["row_chunk"]
    region_types = {
        "chrom": "str", "start": "int64", "end": "int64", "name": "str", "strand": "str",
        "split": "str", "fold": "int32", "kept": "bool", "reason": "str",
    }  # fmt: skip
    found = [ArraySpec(f"regions/{k}", (rows,), t, chunk, shard, "zstd") for k, t in region_types.items()]
    for name, length in sorted(header["inputs"].items()):
        found.append(ArraySpec(f"inputs/{name}", (rows, length, 4), "bool", chunk, shard, "packbits"))
    shape: tuple[int, ...] = (rows, len(header["tracks"]))
    if header["bins"]:
        shape = (*shape, header["bins"])
    found.append(ArraySpec(f"targets/{MODALITY}", shape, "float32", chunk, shard, "zstd"))
    found.append(ArraySpec(f"targets_mask/{MODALITY}", shape, "bool", chunk, shard, "zstd"))
    return found


def store_arrays(header: Mapping[str, Any]) -> list[ArraySpec]:
    """Arrays of a store of either kind."""
    return genome_arrays(header) if header["kind"] == "genome" else dataset_arrays(header)


def genome_units(header: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    """(contig number, shard number) of every zarr shard, contigs in order: the rows of a genome run are these."""
    for number, spec in enumerate(genome_arrays(header)):
        for index in range(spec.shard_count):
            yield number, index
