"""Sums over attributions that do not depend on who adds them up: blocks, merges, and what is reported.

Every sum follows one tree: its leaves are blocks of 64 rows, and a node of n blocks joins the largest power of two
below n with the rest. A task does whole subtrees of it, so the number of tasks and of workers changes no bit. Counts
are exact integers; sums are float64; spread is merged as Chan, Golub and LeVeque (1983) do it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import CorruptError
from drg_hpc.files import failpoint
from drg_hpc.results.seqlet_source import AttributionSource
from drg_hpc.runs.spec import BLOCK_ROWS

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


def track_block(projected: NDArray[np.float32]) -> TrackSums:
    """Sums of one block (n, L), n at most 64."""
    values = projected.astype(np.float64)
    magnitude = np.abs(values)
    mean = float(values.mean()) if values.size else 0.0
    bins = magnitude_bins(projected).ravel()
    return TrackSums(
        regions=len(values),
        bases=values.size,
        mean=mean,
        squares=float(((values - mean) ** 2).sum()),
        low=float(values.min(initial=np.inf)),
        high=float(values.max(initial=-np.inf)),
        at=values.sum(axis=0),
        absolute_at=magnitude.sum(axis=0),
        counts=np.bincount(bins, minlength=BINS),
        magnitudes=np.bincount(bins, weights=magnitude.ravel(), minlength=BINS).astype(np.float64, copy=False),
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
    )


def report_track(sums: TrackSums) -> dict[str, Any]:
    """What is written of a track: numbers, (L,) arrays, and a quantile for each of ``LEVELS``.

    A number of nothing (no region) is 0. A quantile of the magnitudes is the lower edge of the bin it falls into.
    ``top_share`` is the part of all magnitude that the largest 1 % of positions hold, linear within the bin in which
    they begin.
    """
    n, regions = max(sums.bases, 1), max(sums.regions, 1)
    absolute = float(sums.absolute_at.sum())
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


@dataclass(frozen=True)
class Composition:
    """Sequences of some regions.

    Parameters
    ----------
    regions, left_out : counted, and not counted since they were not kept
    bases : (5, L) A, C, G, T and everything else by position
    pairs : (4, 4) a base and the next one, where both are known
    """

    regions: int
    left_out: int
    bases: NDArray[np.int64]
    pairs: NDArray[np.int64]


def composition_block(onehot: NDArray[np.int8], *, left_out: int = 0) -> Composition:
    """Counts of one block (n, 4, L)."""
    known = onehot.sum(axis=0, dtype=np.int64)
    bases = np.concatenate([known, len(onehot) - known.sum(axis=0, keepdims=True)])
    code = np.where(onehot.any(axis=1), onehot.argmax(axis=1), 4)
    pairs = np.bincount((code[:, :-1] * 5 + code[:, 1:]).ravel(), minlength=25).reshape(5, 5)[:4, :4]
    return Composition(len(onehot), left_out, bases, pairs)


def merge_compositions(left: Composition, right: Composition) -> Composition:
    """Counts over the rows of both."""
    return Composition(
        left.regions + right.regions,
        left.left_out + right.left_out,
        left.bases + right.bases,
        left.pairs + right.pairs,
    )


def track_rows(path: Path, track: int, start: int, stop: int, input: str | None = None) -> TrackSums:
    """Sums of one track over the kept rows of ``start`` to ``stop`` of an attribution file.

    Parameters
    ----------
    track : its place among those that keep their projected form
    start : a whole number of blocks; ``stop`` too, or the end of the file
    input : of several

    Raises
    ------
    InputError, CorruptError : the file is gone, another one, or damaged
    """
    with AttributionSource(path, input) as source, _reading(path):
        kept = source.kept(start, stop)
        parts = source.blocks(source.tracks[track], start, stop)
        return fold((track_block(v[kept[at - start :][: len(v)]]) for at, v in _blocks(parts)), merge_tracks)


def _blocks(parts: Iterable[tuple[int, NDArray[np.float32]]]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    for first, values in parts:
        for at in range(0, len(values), BLOCK_ROWS):
            failpoint("stats.block")
            yield first + at, values[at : at + BLOCK_ROWS]


def composition_rows(path: Path, start: int, stop: int, input: str | None = None) -> Composition:
    """Counts over the kept rows of ``start`` to ``stop``; see :func:`track_rows`."""
    with AttributionSource(path, input) as source, _reading(path):

        def blocks() -> Iterator[Composition]:
            for at in range(start, stop, BLOCK_ROWS):
                end = min(at + BLOCK_ROWS, stop)
                kept = source.kept(at, end)
                yield composition_block(source.onehot(at, end)[kept], left_out=int((~kept).sum()))

        return fold(blocks(), merge_compositions)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns h5py's error of a chunk that cannot be read into ours."""
    try:
        yield
    except OSError as error:
        raise CorruptError(f"cannot read {path}: {error}", fix="drg-inspect --verify says what is damaged") from None
