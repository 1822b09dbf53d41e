"""The rows of an evaluation, with sequences and the targets of the model's tracks, block by block."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.models.header import model_inputs, track_heads
from drg_hpc.runs.spec import BLOCK_ROWS
from drg_hpc.store.reader import DatasetStore

_READ_BYTES = 64 << 20
_CHUNK_VALUES = 1 << 21


@dataclass(frozen=True)
class Block:
    """At most 64 rows.

    Parameters
    ----------
    at : position of the first among the rows evaluated
    rows : global numbers
    sequences : one-hot (n, 4, length) of each input that is needed, by name
    target : (n, tracks[, bins]), NaN where missing
    """

    at: int
    rows: NDArray[np.int64]
    sequences: Mapping[str, NDArray[np.float32]]
    target: NDArray[np.float32]


def track_chunks(tracks: int, values: int) -> Iterator[slice]:
    """Runs of tracks whose ``values`` a track fit into memory as float64 many times over."""
    step = max(1, _CHUNK_VALUES // max(values, 1))
    return (slice(first, min(first + step, tracks)) for first in range(0, tracks, step))


def track_places(header: Mapping[str, Any], store: DatasetStore) -> list[tuple[str, int]]:
    """(modality, number there) in a store of each track of a model: that of the modality with its head's name, else
    the first track of its name.

    Raises
    ------
    InputError : the store lacks tracks
    """
    heads = track_heads(header)
    found, missing = [], []
    for head, name in zip(heads, map(str, header["tracks"]), strict=True):
        known = [head] if head in store.modalities and name in store.modalities[head].names else list(store.modalities)
        place = next(((m, store.modalities[m].names.index(name)) for m in known if name in store.modalities[m].names),
                     None)  # fmt: skip
        if place is None:
            missing.append(name)
        else:
            found.append(place)
    if missing:
        raise InputError(
            f"{store.path} lacks {len(missing)} of the model's {len(heads)} tracks, the first is {missing[0]!r}",
            fix=f"its tracks: {', '.join(store.tracks[:10])}",
        )
    return found


def input_names(header: Mapping[str, Any], store: DatasetStore) -> list[str]:
    """The inputs of a store that a model takes, in its order.

    Raises
    ------
    InputError : the store has no such input, or sequences of another length
    """
    wanted = model_inputs(dict(header))
    names = list(store.inputs) if len(wanted) == len(store.inputs) == 1 else list(wanted)
    for name, length in zip(names, wanted.values(), strict=True):
        if name not in store.inputs:
            raise InputError(f"{store.path} has no input {name!r}", fix=f"its inputs: {', '.join(store.inputs)}")
        if store.inputs[name].length != length:
            raise InputError(
                f"sequences of {store.path} have {store.inputs[name].length} bases, the model takes {length}",
                fix="take the store that the model was trained for",
            )
    return names


def check_bins(header: Mapping[str, Any], store: DatasetStore, places: Sequence[tuple[str, int]]) -> None:
    """The targets of a model's tracks must lie as its outputs do.

    Raises
    ------
    InputError : other bins, or bins of other bases
    """
    length = next(iter(store.inputs.values())).length
    for name in dict.fromkeys(modality for modality, _ in places):
        modality = store.modalities[name]
        if modality.bins != int(header["bins"]):
            raise InputError(f"{store.path} has {modality.bins} bins a target, the model {header['bins']}")
        spans = [int(span) or length for span in (modality.span, header["span"])]
        if modality.bins and spans[0] != spans[1]:
            raise InputError(
                f"bins of {store.path} are of the middle {spans[0]} bases, those of the model of {spans[1]}"
            )


class Rows:
    """Chosen rows of a store.

    Parameters
    ----------
    places : (modality, number there) of each track
    inputs : which sequences to read
    """

    def __init__(
        self, store: DatasetStore, rows: NDArray[np.int64], *, places: Sequence[tuple[str, int]], inputs: Sequence[str]
    ) -> None:
        self.store, self.rows = store, rows
        self.inputs = list(dict.fromkeys(inputs))
        self.places = list(places)
        self.bins = store.modalities[places[0][0]].bins

    @property
    def path(self) -> Path:
        """The store."""
        return self.store.path

    @classmethod
    def of_tracks(cls, store: DatasetStore, header: Mapping[str, Any], tracks: Sequence[int]) -> Rows:
        """For the targets of some of a model's tracks, without rows of its own; errors as :func:`check_bins`."""
        places = track_places(header, store)
        check_bins(header, store, places)
        return cls(store, np.zeros(0, np.int64), places=[places[track] for track in tracks], inputs=())

    def __len__(self) -> int:
        return len(self.rows)

    def targets(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Targets (n, tracks[, bins]) of any rows of the store."""
        parts = []
        for name, run in itertools.groupby(self.places, key=lambda place: place[0]):
            columns = [number for _, number in run]
            values = self.store.targets(rows, modality=name)
            parts.append(values if columns == list(range(values.shape[1])) else values[:, columns])
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def blocks(self) -> Iterator[Block]:
        """Blocks of 64 rows, read from the store in larger pieces."""
        lengths = [self.store.inputs[name].length for name in self.inputs]
        each = 16 * sum(lengths) + 8 * len(self.places) * max(self.bins, 1)
        step = max(1, _READ_BYTES // (each * BLOCK_ROWS)) * BLOCK_ROWS
        for first in range(0, len(self.rows), step):
            rows = self.rows[first : first + step]
            sequences = {name: self.store.input_sequences(name, rows) for name in self.inputs}
            target = self.targets(rows)
            for at in range(0, len(rows), BLOCK_ROWS):
                here = slice(at, at + BLOCK_ROWS)
                cut = {name: values[here] for name, values in sequences.items()}
                yield Block(first + at, rows[here], cut, target[here])
