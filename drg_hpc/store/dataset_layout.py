"""What a dataset store holds: inputs, modalities, regions; its arrays, all with one row-shard size. Light."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from drg_hpc.errors import InputError
from drg_hpc.store.layout import ArraySpec

INPUT = "seq"
"""Name of the input of a store that has one."""
MODALITY = "main"
"""Name of the modality of a store that has one."""
SPLITS = ("train", "valid", "test", "excluded")
ORIGINS = ("given", "dinuc", "dinuc-compat", "gc")
"""Where a row comes from: given by the user, or made from row ``parent`` as a negative."""
ROW_SHARD_BYTES = 4 << 20
ROW_CHUNK_BYTES = 256 << 10
ROW_SHARD_LIMITS = (8, 16384)
ROW_CHUNK_LIMITS = (8, 1024)
REGION_TYPES = {
    "chrom": "str", "start": "int64", "end": "int64", "name": "str", "strand": "str",
    "split": "str", "fold": "int32", "kept": "bool", "reason": "str", "origin": "str", "parent": "int64",
}  # fmt: skip
INTERVAL_TYPES = {"chrom": "str", "start": "int64", "end": "int64", "strand": "str"}


@dataclass(frozen=True)
class Input:
    """One sequence of every row.

    Attributes
    ----------
    length : bases that readers return
    flank : bases stored besides on either side, for shifts in training
    """

    name: str
    length: int
    flank: int = 0

    @property
    def stored(self) -> int:
        """Bases on disk."""
        return self.length + 2 * self.flank


@dataclass(frozen=True)
class Modality:
    """Targets of one kind, from one matrix or table of tracks.

    Attributes
    ----------
    tracks : {name, group, strand_partner (number in this modality of the track on the other strand, or its own),
        transform, …}
    bins : bins of a target, 0 when it is one value a track
    dtype : float32 or float16, as stored
    span : bases around the centre of the first input that the targets are of, 0 for all of them
    """

    name: str
    tracks: tuple[Mapping[str, Any], ...]
    bins: int = 0
    dtype: str = "float32"
    span: int = 0

    @property
    def names(self) -> list[str]:
        """Names of the tracks."""
        return [str(track["name"]) for track in self.tracks]

    def shape(self, rows: int) -> tuple[int, ...]:
        """Shape of the targets of some rows."""
        return (rows, len(self.tracks), *([self.bins] if self.bins else []))


def inputs_of(header: Mapping[str, Any]) -> list[Input]:
    """The inputs of a dataset, in order."""
    return [Input(**record) for record in header["inputs"]]


def modalities_of(header: Mapping[str, Any]) -> list[Modality]:
    """The modalities of a dataset, in order."""
    return [
        Modality(m["name"], tuple(m["tracks"]), m["bins"], m["dtype"], m.get("span", 0)) for m in header["modalities"]
    ]


def contents(inputs: Iterable[Input], modalities: Iterable[Modality]) -> dict[str, Any]:
    """The part of a header that :func:`inputs_of` and :func:`modalities_of` read."""
    described = [
        {"name": m.name, "tracks": list(m.tracks), "bins": m.bins, "dtype": m.dtype, "span": m.span} for m in modalities
    ]
    return {"inputs": [asdict(item) for item in inputs], "modalities": described}


def joined_tracks(modalities: Sequence[Modality]) -> list[dict[str, Any]]:
    """Tracks of all modalities in one row, ``strand_partner`` counted over all, with ``modality``."""
    found: list[dict[str, Any]] = []
    for modality in modalities:
        first = len(found)
        for track in modality.tracks:
            partner = first + int(track["strand_partner"])
            found.append({**track, "strand_partner": partner, "modality": modality.name})
    return found


def common_bins(modalities: Sequence[Modality]) -> int | None:
    """Bins of all modalities, None when they differ."""
    bins = {modality.bins for modality in modalities}
    return bins.pop() if len(bins) == 1 else None


def common_span(modalities: Sequence[Modality], length: int) -> int | None:
    """Bases that the binned targets of all modalities are of, None when they differ.

    Parameters
    ----------
    length : of the first input, which they are of where nothing else is said
    """
    spans = {modality.span or length for modality in modalities if modality.bins} or {length}
    return spans.pop() if len(spans) == 1 else None


def single_input(header: Mapping[str, Any]) -> Input:
    """The input of a dataset that must have one.

    Raises
    ------
    InputError : it has several
    """
    inputs = inputs_of(header)
    if len(inputs) != 1:
        names = ", ".join(f"{item.name} ({item.length})" for item in inputs)
        raise InputError(f"the store has {len(inputs)} inputs: {names}; one sequence a row is needed here")
    return inputs[0]


def _power_of_two(value: int, limits: tuple[int, int]) -> int:
    """Largest power of two that is not above ``value``, kept within ``limits`` (powers of two themselves)."""
    low, high = limits
    return min(max(1 << (max(value, 1).bit_length() - 1), low), high)


def row_bytes(inputs: Iterable[Input], modalities: Iterable[Modality]) -> int:
    """Bytes of one row on disk before compression: packed sequences, targets and their mask."""
    sequences = sum(item.stored // 2 for item in inputs)
    sizes = {"float32": 4, "float16": 2}
    return sequences + sum(len(m.tracks) * max(m.bins, 1) * (sizes[m.dtype] + 1) for m in modalities)


def row_geometry(bytes_per_row: int) -> tuple[int, int]:
    """Rows per zarr shard and per chunk, both powers of two, from the size of a row and nothing else."""
    shard = _power_of_two(ROW_SHARD_BYTES // max(bytes_per_row, 1), ROW_SHARD_LIMITS)
    chunk = _power_of_two(ROW_CHUNK_BYTES // max(bytes_per_row, 1), ROW_CHUNK_LIMITS)
    return shard, min(shard, chunk)


def dataset_arrays(header: Mapping[str, Any]) -> list[ArraySpec]:
    """Arrays of a dataset store, all with one row-shard size."""
    rows, shard, chunk = header["rows"], header["row_shard"], header["row_chunk"]
    inputs = inputs_of(header)

    def column(path: str, dtype: str) -> ArraySpec:
        return ArraySpec(path, (rows,), dtype, chunk, shard, "zstd", ("row",))

    found = [column(f"regions/{name}", dtype) for name, dtype in REGION_TYPES.items()]
    for item in inputs[1:]:
        found += [column(f"intervals/{item.name}/{name}", dtype) for name, dtype in INTERVAL_TYPES.items()]
    for item in inputs:
        around = ("row", f"{item.name}_position", "base")
        path = f"inputs/{item.name}"
        found.append(ArraySpec(path, (rows, item.stored, 4), "bool", chunk, shard, "packbits", around))
    for modality in modalities_of(header):
        dims = ("row", f"{modality.name}_track", *([f"{modality.name}_bin"] if modality.bins else []))
        shape = modality.shape(rows)
        found.append(ArraySpec(f"targets/{modality.name}", shape, modality.dtype, chunk, shard, "zstd", dims))
        found.append(ArraySpec(f"targets_mask/{modality.name}", shape, "bool", chunk, shard, "zstd", dims))
    return found


def dataset_labels(header: Mapping[str, Any]) -> dict[str, list[str]]:
    """Coordinate arrays that name what lies along a dimension, path -> values: small, written with the metadata."""
    labels = {"inputs/base": list("ACGT")}
    for modality in modalities_of(header):
        for group in ("targets", "targets_mask"):
            labels[f"{group}/{modality.name}_track"] = modality.names
    return labels
