"""Batches from the node-local caches: gathered on the host, made one-hot and augmented on the way to the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from drg_hpc.errors import InputError
from drg_hpc.store.device import one_hot, present, turn_targets
from drg_hpc.store.mixture import Columns, Mixture
from drg_hpc.training.losses import TargetFacts
from drg_hpc.training.objective import Objective

Array = np.ndarray[Any, Any]
_SCAN_ROWS = 1 << 14
_TORCH_TYPES = {"float32": torch.float32, "float16": torch.float16, "uint8": torch.uint8, "bool": torch.bool}


@dataclass(frozen=True)
class Batch:
    """Rows on the device.

    Attributes
    ----------
    sequence : one-hot float32 (rows, 4, length); of a store with several inputs, a list of them
    target, valid : float32 and bool (rows, tracks[, bins])
    """

    sequence: torch.Tensor | list[torch.Tensor]
    target: torch.Tensor
    valid: torch.Tensor

    def part(self, rows: slice) -> Batch:
        """Some of the rows."""
        x = self.sequence
        sequence = x[rows] if isinstance(x, torch.Tensor) else [each[rows] for each in x]
        return Batch(sequence, self.target[rows], self.valid[rows])


@dataclass(frozen=True)
class HostBatch:
    """Rows as they are copied to the device, in pinned memory where that is a GPU.

    Attributes
    ----------
    sequences : by input, base codes uint8 (rows, length); or one-hot, already turned, where the device is this host
    turned : rows that become their reverse complement, or None
    target : as stored
    mask : where a target is there; None: everywhere
    """

    sequences: list[torch.Tensor]
    turned: torch.Tensor | None
    target: torch.Tensor
    mask: torch.Tensor | None


class TrainingData:
    """Rows of one or several cached stores, by global row number.

    Attributes
    ----------
    tracks, bins : shape of the targets

    Parameters
    ----------
    source : the rows
    tracks : indices of the tracks to use, counted over all modalities, which have the same bins
    partners : for each of them, which one takes its place on the other strand
    device : where batches go
    onehot_here : make one-hot while gathering; by default where the device is this host, since one pass over
        the bases is then faster than two
    """

    def __init__(
        self,
        source: Mixture,
        *,
        tracks: Sequence[int],
        partners: Sequence[int],
        device: torch.device,
        onehot_here: bool | None = None,
    ) -> None:
        self._source, self._device = source, device
        alone = list(partners) == list(range(len(partners)))
        self._partners = None if alone else torch.tensor(list(partners), device=device)
        self._pinned = device.type == "cuda"
        self._onehot_here = device.type == "cpu" if onehot_here is None else onehot_here
        self._picks = list(_picks(source, list(tracks)))
        self.tracks = len(tracks)
        self.bins = next(iter(source.modalities.values())).bins

    def split(self, name: str, *, key: str, number: int = 0) -> Array:
        """Global rows of a split of store ``number``; ``key`` is the option that asks for it.

        Raises
        ------
        InputError : it has none
        """
        rows = self._source.split_rows(number, name)
        if len(rows) == 0:
            which = "the store" if number == 0 else f"store {number} of [[data.mix]]"
            fix = "shard with --valid, or name another split"
            raise InputError(f"{which} has no rows in split {name!r} ({key})", fix=fix)
        return rows

    def _stored(self, rows: Array) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Targets and mask as stored."""
        shape = (len(rows), self.tracks, *([self.bins] if self.bins else []))
        values = self._empty(shape, str(self._source.dtype))
        mask = self._empty(shape, "bool") if self._source.masked else None
        for name, columns, tracks in self._picks:
            self._source.targets(name, rows, tracks, values.numpy(), columns)
            if mask is not None:
                self._source.mask(name, rows, tracks, mask.numpy(), columns)
        return values, mask

    def _empty(self, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
        # PyTorch keeps pinned blocks until the copies from them are done, and gives them out again.
        return torch.empty(shape, dtype=_TORCH_TYPES[dtype], pin_memory=self._pinned)

    def targets(self, rows: Array) -> tuple[Array, Array]:
        """Targets float32 and where they are not missing, (rows, tracks[, bins])."""
        values, mask = self._stored(rows)
        return values.to(torch.float32).numpy(), present(values, mask).numpy()

    def scan(self, rows: Array, parts: Sequence[slice] = (slice(None),)) -> list[TargetFacts]:
        """Look at all targets of ``rows`` once; the facts of each of some parts of the tracks.

        Raises
        ------
        InputError : a part without any value, or an infinite one
        """
        facts = [TargetFacts(binary=True, unit_interval=True, non_negative=True) for _ in parts]
        found = [False for _ in parts]
        for start in range(0, len(rows), _SCAN_ROWS):
            chunk = rows[start : start + _SCAN_ROWS]
            values, valid = self.targets(chunk)
            if (infinite := np.isinf(values) & valid).any():
                at = int(chunk[np.argwhere(infinite)[0][0]])
                raise InputError(f"target of row {at} is infinite", fix="mend the counts or tracks, and shard again")
            for number, tracks in enumerate(parts):
                seen = values[:, tracks][valid[:, tracks]]
                found[number] = found[number] or len(seen) > 0
                facts[number] = facts[number].joined(seen)
        if not all(found):
            raise InputError("every target of the training rows is missing", fix="check the counts or tracks")
        return facts

    def units(self, rows: Array, objective: Objective) -> Array:
        """Units of each term in each row, int64 (rows, terms): every rank knows the size of every global batch."""
        starts = range(0, len(rows), _SCAN_ROWS)
        return np.concatenate([objective.units(self.targets(rows[start : start + _SCAN_ROWS])[1]) for start in starts])

    def load(self, rows: Array, *, flips: Array | None = None, shifts: Array | None = None) -> HostBatch:
        """Gather rows; any thread may.

        Parameters
        ----------
        flips : bool (rows,): these as their reverse complement
        shifts : int64 (rows,): bases by which the windows are moved
        """
        moved = np.zeros(len(rows), np.int64) if shifts is None else shifts
        sequences = []
        for name, item in self._source.inputs.items():
            if self._onehot_here:
                onehot = self._empty((len(rows), 4, item.length), "float32")
                turned = np.zeros(len(rows), bool) if flips is None else flips
                self._source.onehot(name, rows, moved, turned, onehot.numpy())
                sequences.append(onehot)
            else:
                codes = self._empty((len(rows), item.length), "uint8")
                self._source.codes(name, rows, moved, codes.numpy())
                sequences.append(codes)
        target, mask = self._stored(rows)
        flags = None
        if flips is not None:
            flags = self._empty((len(rows),), "bool")
            flags.numpy()[:] = flips
        return HostBatch(sequences, flags, target, mask)

    def deliver(self, host: HostBatch) -> Batch:
        """Copy to the device and make a batch of it: one-hot float32, targets float32, turned where asked."""
        turned = self._copied(host.turned)
        sequences = [self._copied(tensor) for tensor in host.sequences]
        if not self._onehot_here:
            sequences = [one_hot(codes, turned) for codes in sequences]
        values = self._copied(host.target)
        valid = present(values, self._copied(host.mask))
        values = values.to(torch.float32)
        if turned is not None:
            values, valid = (turn_targets(tensor, turned, self._partners) for tensor in (values, valid))
        return Batch(sequences[0] if len(sequences) == 1 else sequences, values, valid)

    def _copied(self, tensor: Any) -> Any:
        return None if tensor is None else tensor.to(self._device, non_blocking=True)

    def batch(self, rows: Array, *, flips: Array | None = None, shifts: Array | None = None) -> Batch:
        """Load and deliver rows."""
        return self.deliver(self.load(rows, flips=flips, shifts=shifts))


def _picks(source: Mixture, tracks: list[int]) -> Iterator[tuple[str, Columns, list[int] | None]]:
    """Per modality: its name, the columns of a batch, and the tracks there (None: all, in order)."""
    first = 0
    for name, modality in source.modalities.items():
        count = len(modality.tracks)
        columns = [i for i, track in enumerate(tracks) if first <= track < first + count]
        here = [tracks[i] - first for i in columns]
        if here:
            together = columns == list(range(columns[0], columns[0] + len(columns)))
            chosen: Columns = slice(columns[0], columns[0] + len(columns)) if together else np.array(columns)
            yield name, chosen, None if here == list(range(count)) else here
        first += count
