"""What an array of a store is: shape, chunk and zarr shard, codec, file names. Light, so that plans agree with writers.

zarr v3 with sharding: a *chunk* is the smallest read, a zarr *shard* is one file and the smallest safe write.
Arrays are sharded along their first axis only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FORMAT = "drg-store/2"
STORE = "out.zarr"

Codec = Literal["packbits", "blosc", "zstd"]


@dataclass(frozen=True)
class ArraySpec:
    """One zarr array: path in the store, shape, dtype, chunk and shard length on axis 0, codec, dimension names."""

    path: str
    shape: tuple[int, ...]
    dtype: str
    chunk: int
    shard: int
    codec: Codec
    dims: tuple[str, ...]

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
