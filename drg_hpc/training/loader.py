"""The batches of an epoch, this rank's part of each, gathered ahead while the model computes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from drg_hpc.store.prefetch import prefetched
from drg_hpc.training.augment import Augmentation, sample_keys
from drg_hpc.training.data import Batch, HostBatch, TrainingData
from drg_hpc.training.distributed import Group

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Samples:
    """A global batch: global row numbers, and how often each came before in the epoch (None: never)."""

    rows: Array
    repeats: Array | None = None


@dataclass(frozen=True)
class Piece:
    """Rows on the device, and their dropout keys.

    Parameters
    ----------
    counted : False where this rank has no row for it, and takes part with one that does not count
    """

    batch: Batch
    keys: torch.Tensor
    counted: bool = True

    def part(self, rows: slice) -> Piece:
        """Some of the rows, at least one."""
        if rows.start == rows.stop or not self.counted:
            first = self.batch.part(slice(0, 1))
            unseen = Batch(first.sequence, first.target, torch.zeros_like(first.valid))
            return Piece(unseen, self.keys[:1], counted=False)
        return Piece(self.batch.part(rows), self.keys[rows])


@dataclass(frozen=True)
class TrainBatch:
    """This rank's part of a global batch.

    Parameters
    ----------
    largest : rows of the rank that has most
    """

    whole: Piece
    largest: int

    def pieces(self, count: int) -> list[Piece]:
        """At most ``count`` parts of nearly equal size, in order; every rank gets the same number of them."""
        rows = len(self.whole.keys)
        count = min(count, self.largest)
        if count == 1:
            return [self.whole]
        return [self.whole.part(slice(i * rows // count, (i + 1) * rows // count)) for i in range(count)]


class Loader:
    """Makes batches of samples, always the same ones for the same (seed, epoch, samples).

    Attributes
    ----------
    wait_s : seconds that batches were waited for
    """

    def __init__(self, data: TrainingData, *, augmentation: Augmentation, group: Group) -> None:
        self.wait_s = 0.0
        self._data, self._augmentation, self._group = data, augmentation, group

    def _load(self, samples: Samples, epoch: int) -> tuple[HostBatch, Array, bool, int]:
        """This rank's share: on the host, its dropout keys, whether it is there for the company only; and the rows of
        the largest share."""
        share = self._group.share(len(samples.rows))
        padding = share.start == share.stop  # more ranks than rows: take part with a row that does not count
        if padding:
            share = slice(0, 1)
        rows = samples.rows[share]
        repeats = None if samples.repeats is None else samples.repeats[share]
        varied = self._augmentation
        host = self._data.load(
            rows, flips=varied.flips(epoch, rows, repeats), shifts=varied.shifts(epoch, rows, repeats)
        )
        keys = sample_keys(varied.seed, epoch, rows, "dropout", repeats).view(np.int64)
        return host, keys, padding, -(-len(samples.rows) // self._group.world)

    @contextmanager
    def batches(self, samples: Iterable[Samples], *, epoch: int) -> Iterator[Iterator[TrainBatch]]:
        """The batches of some global batches of an epoch, in order; leaving the block ends the work ahead."""

        def delivered(loaded: Iterator[tuple[HostBatch, Array, bool, int]]) -> Iterator[TrainBatch]:
            while True:
                started = time.monotonic()
                item = next(loaded, None)
                if item is None:
                    return
                host, keys, padding, largest = item
                piece = Piece(self._data.deliver(host), torch.from_numpy(keys).to(self._group.device))
                found = TrainBatch(piece.part(slice(0, 0)) if padding else piece, largest)
                self.wait_s += time.monotonic() - started
                yield found

        with prefetched(samples, lambda part: self._load(part, epoch)) as loaded:
            yield delivered(loaded)
