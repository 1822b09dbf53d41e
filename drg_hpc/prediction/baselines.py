"""Baselines fitted on the training rows: the mean of their targets, and a linear regression on GC and CpG content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.log import Progress
from drg_hpc.prediction.predictors import Kind, Predictor
from drg_hpc.prediction.rows import Block, Rows, track_chunks
from drg_hpc.store.reader import DatasetStore

MEAN, LINEAR = "train_mean", "gc_cpg"
Array = NDArray[Any]
_C, _G = 1, 2


def contents(onehot: Array, bins: int, part: slice = slice(None)) -> Array:
    """GC and CpG content, ``(n, 4, length) -> (n, bins, 2)``, of equal bins of a part of the sequences: of all bases of
    a bin, the share that are C or G, and the share at which a CG dinucleotide begins."""
    c, g = onehot[:, _C] > 0, onehot[:, _G] > 0
    pairs = np.zeros(c.shape, bool)
    pairs[:, :-1] = c[:, :-1] & g[:, 1:]
    shares = [flags[:, part].reshape(len(flags), bins, -1).mean(axis=2) for flags in (c | g, pairs)]
    return np.stack(shares, axis=2)


class Features:
    """A constant, the GC and CpG content of each input, and, of binned targets, those of each bin.

    Bins lie side by side in the middle ``span`` bases of the first input.
    """

    def __init__(self, store: DatasetStore, *, bins: int, span: int) -> None:
        self.inputs = list(store.inputs)
        self._bins, first = bins, store.inputs[self.inputs[0]].length
        self._offset, self._span = (first - (span or first)) // 2, span or first
        if bins and self._span % bins:
            raise InputError(
                f"{bins} bins of {store.path} do not divide their {self._span} bases", fix="leave --baselines out"
            )

    def __call__(self, sequences: Mapping[str, Array]) -> Array:
        """(n, bins or 1, features) float64."""
        windows = [contents(sequences[name], 1) for name in self.inputs]
        whole = np.concatenate([np.ones((len(windows[0]), 1, 1)), *windows], axis=2)
        if not self._bins:
            return whole
        here = contents(sequences[self.inputs[0]], self._bins, slice(self._offset, self._offset + self._span))
        return np.concatenate([np.broadcast_to(whole, (*here.shape[:2], whole.shape[2])), here], axis=2)


class MeanBaseline(Predictor):
    """The mean target of each track and bin, ``(tracks[, bins])``; the same for every row."""

    kind: Kind = "baseline"

    def __init__(self, values: Array) -> None:
        super().__init__(MEAN)
        self._values = values

    def raw(self, block: Block) -> int:
        return len(block.rows)

    def outputs(self, raws: Mapping[str, Any], tracks: slice) -> NDArray[np.float64]:
        values = self._values[tracks]
        return np.broadcast_to(values, (raws[self.name], *values.shape)).copy()


class LinearBaseline(Predictor):
    """Least squares on :class:`Features`; ``weights`` is (tracks, features)."""

    kind: Kind = "baseline"

    def __init__(self, features: Features, weights: Array, *, binned: bool) -> None:
        super().__init__(LINEAR)
        self._features, self._weights, self._binned = features, weights, binned

    def raw(self, block: Block) -> Array:
        return self._features(block.sequences)

    def outputs(self, raws: Mapping[str, Any], tracks: slice) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.einsum("nbf,tf->ntb", raws[self.name], self._weights[tracks])
        return found if self._binned else found[:, :, 0]


class _Sums:
    """Normal equations and sums of targets, over blocks."""

    def __init__(self, tracks: int, bins: int, features: int) -> None:
        self._products = np.zeros((tracks, features, features))
        self._answers = np.zeros((tracks, features))
        self._totals, self._counts = np.zeros((2, tracks, max(bins, 1)))

    def add(self, x: Array, target: Array) -> None:
        """Count a block in: features (n, bins, features), targets (n, tracks, bins)."""
        flat = x.reshape(-1, x.shape[2])
        pairs = (flat[:, :, None] * flat[:, None, :]).reshape(len(flat), -1)
        for tracks in track_chunks(target.shape[1], target[:, 0].size):
            seen = ~np.isnan(target[:, tracks])
            y = np.where(seen, target[:, tracks], 0.0).astype(np.float64)
            self._totals[tracks] += y.sum(axis=0)
            self._counts[tracks] += seen.sum(axis=0)
            there, values = (v.transpose(1, 0, 2).reshape(v.shape[1], -1) for v in (seen.astype(np.float64), y))
            self._answers[tracks] += values @ flat
            self._products[tracks] += (there @ pairs).reshape(self._products[tracks].shape)

    def mean(self) -> Array:
        """(tracks, bins), NaN where no training row has a value."""
        found: Array = np.where(self._counts > 0, self._totals / np.maximum(self._counts, 1), np.nan)
        return found

    def weights(self) -> Array:
        """(tracks, features): the shortest of the least-squares solutions, NaN for a track without values."""
        found: Array = np.einsum(
            "tfg,tg->tf", np.linalg.pinv(self._products, rcond=1e-12, hermitian=True), self._answers
        )
        found[self._counts.sum(axis=1) == 0] = np.nan
        return found


def fit_baselines(train: Rows, *, span: int) -> list[Predictor]:
    """Fit both on all rows of ``train``, whose blocks must have every input of the store.

    Raises
    ------
    InputError : no rows, or bins that do not divide their bases
    """
    if not len(train):
        raise InputError(f"{train.path} has no rows in split 'train' to fit baselines on", fix="leave --baselines out")
    features = Features(train.store, bins=train.bins, span=span)
    sums: _Sums | None = None
    with Progress(len(train), "fit baselines") as progress:
        for block in train.blocks():
            x = features(block.sequences)
            target = block.target if train.bins else block.target[:, :, None]
            sums = sums or _Sums(target.shape[1], train.bins, x.shape[2])
            sums.add(x, target)
            progress.add(len(block.rows))
    assert sums is not None
    mean = sums.mean() if train.bins else sums.mean()[:, 0]
    return [LinearBaseline(features, sums.weights(), binned=bool(train.bins)), MeanBaseline(mean)]
