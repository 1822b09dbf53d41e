"""The one place that calls zarr: creating and opening arrays with our codecs."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, ZstdCodec
from zarr.codecs.numcodecs import PackBits
from zarr.storage import LocalStore

from drg_hpc.store.layout import ArraySpec, Codec

# Several workers share a node: zarr's own pool (one thread per CPU, in every worker) would crowd it.
zarr.config.set({"async.concurrency": 4, "threading.max_workers": 4})


@contextmanager
def _quiet() -> Iterator[None]:
    """packbits is a numcodecs filter, not (yet) in the zarr v3 specification; zarr says so on every open."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Numcodecs codecs are not in the Zarr version 3")
        yield


def _codecs(codec: Codec) -> dict[str, Any]:
    """Every codec carries a checksum, so that flipped bits raise instead of reading as data."""
    if codec == "blosc":
        return {
            "filters": [],
            "serializer": BytesCodec(),
            "compressors": [BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle", typesize=1), Crc32cCodec()],
        }
    filters = [PackBits()] if codec == "packbits" else []
    return {"filters": filters, "compressors": [ZstdCodec(level=1, checksum=True)]}


_FILL: dict[str, Any] = {"bool": False, "str": "", "float32": 0.0, "float16": 0.0, "int64": 0, "int32": 0}


def create_array(root: Path, spec: ArraySpec) -> zarr.Array[Any]:
    """Write an array's metadata below ``root`` and return it ready for whole-shard writes.

    Empty chunks are written too: a missing file must mean a lost file.
    """
    with _quiet():
        return zarr.create_array(
            LocalStore(root),
            name=spec.path,
            shape=spec.shape,
            dtype=spec.dtype,
            chunks=spec.chunks,
            shards=spec.shards,
            fill_value=_FILL[spec.dtype],
            zarr_format=3,
            dimension_names=spec.dims,
            config={"write_empty_chunks": True},
            **_codecs(spec.codec),
        )


def write_labels(root: Path, path: str, values: list[str]) -> list[str]:
    """Write a small array of text along a dimension of its own name, as xarray's coordinates; returns its files."""
    count = max(len(values), 1)
    dims = (path.rsplit("/", 1)[-1],)
    spec = ArraySpec(path, (len(values),), "str", count, count, "zstd", dims)
    array = create_array(root, spec)
    if not values:
        return [f"{path}/zarr.json"]
    array[:] = np.array(values, dtype=np.dtypes.StringDType())
    return [f"{path}/zarr.json", spec.shard_file(0)]


def open_array(root: Path, path: str) -> zarr.Array[Any]:
    """Open an array for reading."""
    with _quiet():
        return zarr.open_array(LocalStore(root, read_only=True), path=path, mode="r", zarr_format=3)


def group_metadata(attributes: dict[str, Any]) -> str:
    """Text of a group's ``zarr.json``, keys sorted so that equal stores have equal bytes."""
    group = {"attributes": attributes, "node_type": "group", "zarr_format": 3}
    return json.dumps(group, indent=1, sort_keys=True, allow_nan=False) + "\n"
