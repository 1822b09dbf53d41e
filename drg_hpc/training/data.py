"""Batches from the node-local cache: which rows, their augmentation, and the way to the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from drg_hpc.errors import InputError, UsageError
from drg_hpc.rng import row_key
from drg_hpc.store.cache import CachedDataset
from drg_hpc.training.losses import Loss, TargetFacts

Array = np.ndarray[Any, Any]
_SCAN_ROWS = 1 << 14


@dataclass(frozen=True)
class Batch:
    """Rows on the device: sequence (rows, 4, length) float32, target and valid (rows, tracks[, bins])."""

    sequence: torch.Tensor
    target: torch.Tensor
    valid: torch.Tensor


def sample_keys(seed: int, epoch: int, rows: Array, stream: str) -> Array:
    """A 64-bit key for each global row in one epoch, uint64: what makes augmentation and dropout independent
    of batches and processes (splitmix64 over :func:`drg_hpc.rng.row_key`)."""
    counters = (rows.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = counters + np.uint64(row_key(seed, epoch, stream))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Array = z ^ (z >> np.uint64(31))
    return mixed


def choose_flips(seed: int, epoch: int, rows: Array, probability: float) -> Array:
    """Which rows are trained on as their reverse complement, bool (rows,)."""
    uniform = (sample_keys(seed, epoch, rows, "reverse-complement") >> np.uint64(11)).astype(np.float64) / 2.0**53
    flips: Array = uniform < probability
    return flips


def select_tracks(known: Sequence[str], chosen: str) -> list[int]:
    """Indices of ``all`` or of names separated by commas.

    Raises
    ------
    UsageError : an unknown or repeated name
    """
    if chosen == "all":
        return list(range(len(known)))
    names = [name.strip() for name in chosen.split(",")]
    for name in names:
        if name not in known:
            shown = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
            raise UsageError(f"--tracks: no track {name!r} in the store", fix=f"tracks: {shown}")
    if len(set(names)) < len(names):
        raise UsageError(f"--tracks: a name twice in {chosen!r}")
    return [list(known).index(name) for name in names]


def strand_partners(track_info: Sequence[Mapping[str, Any]], tracks: Sequence[int]) -> list[int | None]:
    """For each chosen track, the position among them of the track that holds the other strand: its own for an
    unstranded track, None where the partner was not chosen."""
    chosen = list(tracks)
    partners = [int(track_info[track]["strand_partner"]) for track in chosen]
    return [chosen.index(partner) if partner in chosen else None for partner in partners]


def require_partners(partners: Sequence[int | None], names: Sequence[str]) -> list[int]:
    """All partners, for augmentation by the reverse complement.

    Raises
    ------
    UsageError : the other strand of a track was not chosen
    """
    for partner, name in zip(partners, names, strict=True):
        if partner is None:
            raise UsageError(
                f"--tracks has {name!r} without the track of its other strand, which data.reverse_complement needs",
                fix="choose both, or set data.reverse_complement = 0",
            )
    return [partner for partner in partners if partner is not None]


class TrainingData:
    """Rows of a cached store, by global row number.

    Parameters
    ----------
    cache : open cache
    tracks : indices of the tracks to use
    partners : for each of them, which one takes its place on the other strand
    device : where batches go
    """

    def __init__(
        self, cache: CachedDataset, *, tracks: Sequence[int], partners: Sequence[int], device: torch.device
    ) -> None:
        self._cache = cache
        self._tracks = None if list(tracks) == list(range(cache.targets.shape[1])) else list(tracks)
        self._partners = list(partners)
        self._device = device
        self._letters = torch.arange(4, dtype=torch.uint8, device=device)[:, None]

    def split(self, name: str, *, key: str) -> Array:
        """Rows of a split.

        Raises
        ------
        InputError : it has none
        """
        rows = self._cache.split_rows(name)
        if len(rows) == 0:
            raise InputError(
                f"the store has no rows in split {name!r} ({key})", fix="shard with --valid, or name another split"
            )
        return rows

    def targets(self, rows: Array) -> tuple[Array, Array]:
        """Targets float32 and where they are not missing, (rows, tracks[, bins])."""
        values = np.asarray(self._cache.targets[rows], dtype=np.float32)
        present = np.asarray(self._cache.mask[rows], dtype=bool)
        if self._tracks is not None:
            values, present = values[:, self._tracks], present[:, self._tracks]
        return values, present & ~np.isnan(values)

    def scan(self, rows: Array) -> TargetFacts:
        """Look at all targets of ``rows`` once.

        Raises
        ------
        InputError : no value at all, or an infinite one
        """
        binary = unit = positive = True
        some = False
        for start in range(0, len(rows), _SCAN_ROWS):
            part = rows[start : start + _SCAN_ROWS]
            values, valid = self.targets(part)
            seen = values[valid]
            if np.isinf(seen).any():
                at = int(part[np.argwhere(np.isinf(values) & valid)[0][0]])
                raise InputError(f"target of row {at} is infinite", fix="mend the counts or tracks, and shard again")
            some = some or len(seen) > 0
            binary = binary and bool(np.isin(seen, (0.0, 1.0)).all())
            unit = unit and bool(((seen >= 0) & (seen <= 1)).all())
            positive = positive and bool((seen >= 0).all())
        if not some:
            raise InputError("every target of the training rows is missing", fix="check the counts or tracks")
        return TargetFacts(binary=binary, unit_interval=unit, non_negative=positive)

    def units(self, rows: Array, loss: Loss) -> Array:
        """Units of the loss in each row, int64 (rows,): every rank knows the size of every global batch."""
        starts = range(0, len(rows), _SCAN_ROWS)
        return np.concatenate([loss.units(self.targets(rows[start : start + _SCAN_ROWS])[1]) for start in starts])

    def _other_strand(self, values: Array) -> Array:
        swapped = values[:, self._partners]
        return swapped[..., ::-1] if swapped.ndim == 3 else swapped

    def batch(self, rows: Array, *, flips: Array | None = None) -> Batch:
        """Load rows; those in ``flips`` as their reverse complement: bins reversed, tracks from the other strand."""
        codes = np.asarray(self._cache.codes[rows])
        values, valid = self.targets(rows)
        if flips is not None and flips.any():
            turned = codes[flips, ::-1]
            codes[flips] = np.where(turned < 4, 3 - turned, turned)
            values[flips], valid[flips] = self._other_strand(values[flips]), self._other_strand(valid[flips])
        letters = torch.from_numpy(codes).to(self._device)
        return Batch(
            sequence=(letters[:, None, :] == self._letters).to(torch.float32),
            target=torch.from_numpy(values).to(self._device),
            valid=torch.from_numpy(valid).to(self._device),
        )
