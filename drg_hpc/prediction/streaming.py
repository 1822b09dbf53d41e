"""One pass over the rows: what metrics need of targets and predictions, and no more.

Single values are kept. Of targets in bins only statistics of each row and track are, and the values of some rows, for
the metrics that need ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.log import Progress
from drg_hpc.models.moments import FIELDS, row_moments, value_moments
from drg_hpc.prediction.predictors import Kind, Predictor
from drg_hpc.prediction.rows import Block, Rows, track_chunks
from drg_hpc.prediction.shapes import flat_divergence, row_spearman, shape_divergence

KEPT_VALUES = 1 << 24
"""Values of binned targets kept of each predictor; with more, rows at even steps stand for all."""
FEWEST_KEPT = 10
"""Rows: with fewer, none are kept."""
RANKED_VALUES = 1 << 17
"""Tracks times bins up to which a rank correlation is computed in every row."""
Array = NDArray[Any]


def kept_rows(rows: int, tracks: int, bins: int) -> NDArray[np.int64]:
    """Positions of the rows whose values are kept: all of them, or some at even steps, or none."""
    if not bins or rows * tracks * bins <= KEPT_VALUES:
        return np.arange(rows)
    count = KEPT_VALUES // (tracks * bins)
    return np.unique(np.linspace(0, rows - 1, count).astype(np.int64)) if count >= FEWEST_KEPT else np.arange(0)


class Truth:
    """What is known of the targets.

    Attributes
    ----------
    rows, tracks, bins : how many
    kept : positions of the rows whose values are kept
    values : (kept, tracks[, bins]) float32, NaN where missing
    largest : (rows, tracks) largest value
    flat : (rows, tracks) divergence of a flat profile, in bits; None without bins
    binary : (tracks,) whether all values are 0 or 1
    """

    def __init__(self, rows: int, tracks: int, bins: int) -> None:
        self.rows, self.tracks, self.bins = rows, tracks, bins
        self.kept = kept_rows(rows, tracks, bins)
        self.ranked = 0 < tracks * bins <= RANKED_VALUES
        self.values = np.full((len(self.kept), tracks, *([bins] if bins else [])), np.nan, np.float32)
        self.largest = np.full((rows, tracks), np.nan, np.float32)
        self.flat = np.full((rows, tracks), np.nan) if bins else None
        self.binary = np.ones(tracks, bool)

    def add(self, at: slice, tracks: slice, target: Array) -> None:
        """Take in the targets of some rows and tracks."""
        seen = ~np.isnan(target)
        self.binary[tracks] &= (np.isin(target, (0.0, 1.0)) | ~seen).swapaxes(0, 1).reshape(target.shape[1], -1).all(1)
        if self.flat is None:
            self.largest[at, tracks] = target
        else:
            top = np.where(seen, target, -np.inf).max(axis=2)
            self.largest[at, tracks] = np.where(seen.any(axis=2), top, np.nan)
            self.flat[at, tracks] = flat_divergence(target)
        keep(self.values, self.kept, at=at, tracks=tracks, values=target)


class Outputs:
    """What is known of one predictor's outputs, on the output scale.

    Attributes
    ----------
    values : (kept, tracks[, bins]) float64
    largest : (rows, tracks) largest output
    divergence : (rows, tracks) of the profile's shape from the measured one, in bits; None without bins
    spearman : (rows, tracks) over bins; None where tracks times bins are too many
    finite : (tracks,) whether all are
    """

    def __init__(self, truth: Truth, *, name: str, kind: Kind) -> None:
        self.name, self.kind, self._truth = name, kind, truth
        shape = (truth.rows, truth.tracks)
        self.values = np.full(truth.values.shape, np.nan)
        self.largest = np.full(shape, np.nan, np.float32)
        self.finite = np.ones(truth.tracks, bool)
        self._moments = np.zeros((len(FIELDS), *shape)) if truth.bins else None
        self.divergence = np.full(shape, np.nan) if truth.bins else None
        self.spearman = np.full(shape, np.nan) if truth.ranked else None

    def add(self, at: slice, tracks: slice, *, prediction: Array, target: Array) -> None:
        """Take in predictions (n, tracks[, bins]) of some rows and tracks."""
        self.finite[tracks] &= np.isfinite(prediction).swapaxes(0, 1).reshape(prediction.shape[1], -1).all(1)
        self.largest[at, tracks] = prediction if prediction.ndim == 2 else prediction.max(axis=2)
        if self._moments is not None and self.divergence is not None:
            self._moments[:, at, tracks] = row_moments(prediction, target)
            self.divergence[at, tracks] = shape_divergence(prediction, target)
        if self.spearman is not None:
            self.spearman[at, tracks] = row_spearman(prediction, target)
        keep(self.values, self._truth.kept, at=at, tracks=tracks, values=prediction)

    def moments(self, tracks: slice | Sequence[int]) -> Array:
        """Moments (8, rows, tracks) of each row over its bins, or of its one value."""
        if self._moments is not None:
            return self._moments[:, :, tracks]
        return value_moments(self.values[:, tracks], self._truth.values[:, tracks])


def keep(into: Array, kept: NDArray[np.int64], *, at: slice, tracks: slice, values: Array) -> None:
    """Store those of ``values``, which are of rows ``at``, whose rows are kept."""
    first, last = np.searchsorted(kept, (at.start, at.stop))
    into[first:last, tracks] = values[kept[first:last] - at.start]


def collect(source: Rows, predictors: Sequence[Predictor], *, threads: int = 1) -> tuple[Truth, list[Outputs]]:
    """Predict all rows and take in what the metrics need, some tracks a thread."""
    truth = Truth(len(source), len(source.places), source.bins)
    found = [Outputs(truth, name=predictor.name, kind=predictor.kind) for predictor in predictors]
    with Progress(len(source), "predict") as progress, ThreadPoolExecutor(threads) as pool:
        for block in source.blocks():
            raws = {predictor.name: predictor.raw(block) for predictor in predictors}

            def take_in(tracks: slice, block: Block = block, raws: dict[str, Any] = raws) -> None:
                at, target = slice(block.at, block.at + len(block.rows)), block.target[:, tracks]
                truth.add(at, tracks, target)
                for predictor, outputs in zip(predictors, found, strict=True):
                    outputs.add(at, tracks, prediction=predictor.outputs(raws, tracks), target=target)

            list(pool.map(take_in, track_chunks(truth.tracks, block.target[:, 0].size)))
            progress.add(len(block.rows))
    return truth, found
