"""Sums over attributions that do not depend on who adds them up: blocks, merges, and what is reported.

Every sum follows one tree: its leaves are blocks of 64 rows, and a node of n blocks joins the largest power of two
below n with the rest. A task does whole subtrees of it, so the number of tasks and of workers changes no bit. Counts
are exact integers; sums are float64; spread is merged as Chan, Golub and LeVeque (1983) do it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from drg_hpc.interpretation.statistics_loops import add_bins, add_block, add_kmers, squares_from
from drg_hpc.interpretation.statistics_sequences import count_distances, fill_summits

S = TypeVar("S")

BINS_PER_OCTAVE = 32
"""A bin of the histogram of magnitudes spans 1/32 of a power of two: at most 3.2 % from edge to edge."""
LEVELS = (0.5, 0.9, 0.99)
TOP = 0.01
_OCTAVES = (-64, 64)
_FIRST = (127 + _OCTAVES[0]) * BINS_PER_OCTAVE
_SHIFT = 23 - (BINS_PER_OCTAVE.bit_length() - 1)
BINS = (_OCTAVES[1] - _OCTAVES[0]) * BINS_PER_OCTAVE + 1
"""Bin 0 holds what is below 2^-64, zeros among it; the last one all that is above its lower edge."""


def fold(items: Iterable[S], merge: Callable[[S, S], S]) -> S:
    """Join neighbours along the tree; holds as many items as the tree is deep.

    Parameters
    ----------
    items : at least one, in order; blocks, or the results of equal aligned runs of 2^k blocks (the last one shorter)
    merge : (left, right) -> node
    """
    stack: list[tuple[int, S]] = []
    for item in items:
        height = 0
        while stack and stack[-1][0] == height:
            item = merge(stack.pop()[1], item)
            height += 1
        stack.append((height, item))
    _, node = stack.pop()
    while stack:
        node = merge(stack.pop()[1], node)
    return node


@dataclass(frozen=True)
class TrackSums:
    """One track over some regions; L is the length of a sequence.

    Parameters
    ----------
    regions, bases : counted
    mean, squares : of ``projected``: mean, and sum of squared deviations from it
    low, high : extremes; infinite where there is no base
    at, absolute_at : (L,) sums of ``projected`` and of its magnitude by position
    counts, magnitudes : (BINS,) bases of a bin of magnitudes, and their sum of magnitudes
    by_distance : (2L-1,) sums of magnitudes by distance to the summit, from -(L-1) on
    kmers : (4^k,) sums of magnitudes over the occurrences of a k-mer, (0,) where none are wanted
    """

    regions: int
    bases: int
    mean: float
    squares: float
    low: float
    high: float
    at: NDArray[np.float64]
    absolute_at: NDArray[np.float64]
    counts: NDArray[np.int64]
    magnitudes: NDArray[np.float64]
    by_distance: NDArray[np.float64]
    kmers: NDArray[np.float64]


def track_block(
    projected: NDArray[np.float32],
    *,
    summits: NDArray[np.int64] | None = None,
    codes: NDArray[np.uint32] | None = None,
    kmer: int = 0,
    room: NDArray[np.float64] | None = None,
) -> TrackSums:
    """Sums of one block.

    Parameters
    ----------
    projected : (n, L), n at most 64
    summits : (n,) positions in the row, by default the centre
    codes, kmer : (n, L-k+1) numbers of k-mers, 4^k with an unknown base; and k
    room : (64, L) to work in, by default a new one
    """
    values = np.ascontiguousarray(projected, np.float32)
    rows, length = values.shape
    at, absolute_at, by_distance = np.zeros(length), np.zeros(length), np.zeros(max(2 * length - 1, 0))
    counts, sums = np.zeros(BINS, np.int64), np.zeros(BINS)
    kmers = np.zeros(4**kmer + 1 if kmer else 0)
    magnitudes = np.empty(values.shape) if room is None else room[:rows]
    where = fill_summits(None, rows, length) if summits is None else summits
    add_block(values, where, at, absolute_at, by_distance, magnitudes)
    add_bins(values.view(np.uint32), magnitudes, _SHIFT, _FIRST, counts, sums)
    if kmer and codes is not None:
        add_kmers(magnitudes, codes, kmer, kmers)
    mean = float(at.sum() / values.size) if values.size else 0.0
    return TrackSums(
        regions=rows,
        bases=values.size,
        mean=mean,
        squares=float(squares_from(values, mean)),
        low=float(values.min(initial=np.inf)),
        high=float(values.max(initial=-np.inf)),
        at=at,
        absolute_at=absolute_at,
        counts=counts,
        magnitudes=sums,
        by_distance=by_distance,
        kmers=kmers[: 4**kmer] if kmer else kmers,
    )


def magnitude_bins(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Bin of each magnitude, read off the bits of the float32: exact, and the same whatever the data's range."""
    bits = np.abs(values).astype(np.float32).view(np.uint32).astype(np.int64)
    return np.asarray(np.clip((bits >> _SHIFT) - _FIRST + 1, 0, BINS - 1), np.int64)


def bin_edges() -> NDArray[np.float64]:
    """(BINS,) lower edges."""
    bits = ((np.arange(BINS - 1) + _FIRST) << _SHIFT).astype(np.uint32)
    return np.concatenate([[0.0], bits.view(np.float32).astype(np.float64)])


def merge_tracks(left: TrackSums, right: TrackSums) -> TrackSums:
    """Sums over the rows of both."""
    bases = left.bases + right.bases
    apart = right.mean - left.mean
    share = right.bases / bases if bases else 0.0
    return TrackSums(
        regions=left.regions + right.regions,
        bases=bases,
        mean=left.mean + apart * share,
        squares=left.squares + right.squares + apart * apart * left.bases * share,
        low=min(left.low, right.low),
        high=max(left.high, right.high),
        at=left.at + right.at,
        absolute_at=left.absolute_at + right.absolute_at,
        counts=left.counts + right.counts,
        magnitudes=left.magnitudes + right.magnitudes,
        by_distance=left.by_distance + right.by_distance,
        kmers=left.kmers + right.kmers,
    )


def report_track(sums: TrackSums, distances: NDArray[np.int64] | None = None) -> dict[str, Any]:
    """What is written of a track: numbers, (L,) arrays, a (2L-1,) array, and a quantile for each of ``LEVELS``.

    ``distances`` are the bases at each distance to a summit, by default those of summits at the centre.

    A number of nothing (no region) is 0. A quantile of the magnitudes is the lower edge of the bin it falls into.
    ``top_share`` is the part of all magnitude that the largest 1 % of positions hold, linear within the bin in which
    they begin.
    """
    n, regions = max(sums.bases, 1), max(sums.regions, 1)
    absolute = float(sums.absolute_at.sum())
    if distances is None:
        distances = count_distances(fill_summits(None, sums.regions, len(sums.at)), len(sums.at))
    ranks = np.ceil(np.array(LEVELS) * sums.bases).clip(1)
    bins = np.searchsorted(np.cumsum(sums.counts), ranks).clip(max=BINS - 1) if sums.bases else [0] * len(LEVELS)
    return {
        "sum": float(sums.at.sum()),
        "mean": sums.mean,
        "sd": float(np.sqrt(sums.squares / n)),
        "minimum": sums.low if sums.bases else 0.0,
        "maximum": sums.high if sums.bases else 0.0,
        "absolute_sum": absolute,
        "absolute_mean": absolute / n,
        "top_share": _top_share(sums),
        "quantiles": bin_edges()[bins],
        "mean_by_position": sums.at / regions,
        "absolute_mean_by_position": sums.absolute_at / regions,
        "absolute_mean_by_distance": sums.by_distance / np.maximum(distances, 1),
    }


def _top_share(sums: TrackSums) -> float:
    wanted = TOP * sums.bases
    counts, magnitudes = sums.counts[::-1], sums.magnitudes[::-1]
    whole = int(np.searchsorted(np.cumsum(counts), wanted, side="right"))  # bins that lie in the top as a whole
    total = float(magnitudes.sum())
    if not total:
        return 0.0
    part = (wanted - int(counts[:whole].sum())) / max(int(counts[whole]), 1)
    return float((magnitudes[:whole].sum() + part * magnitudes[whole]) / total)
