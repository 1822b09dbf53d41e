"""The table of ablations of named pieces: a line for each name and value, over sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from drg_hpc.experiments.effect_tests import Summary, adjusted_tests, largest, rounding_of, summarise
from drg_hpc.experiments.tables import Ints
from drg_hpc.results.ablation import Line

_SUMS = 1 << 25
"""Sums that are held at once; with more values, effects are read in several goes."""
Blocks = Callable[[slice], Iterator[tuple[slice, NDArray[np.floating]]]]
"""Effects (block, values) of some values, piece after piece, with the pieces they are of."""


def lines_of(
    blocks: Blocks, *, name: Ints, row: Ints, names: Sequence[str], tracks: Sequence[str], seed: int,
    sizes: NDArray[np.float64],
) -> list[Line]:  # fmt: skip
    """All lines: names in their order, of each all values; q over all of them.

    A sequence counts once: its effect is the mean over its pieces of that name. One whose effect is not finite does not
    count, nor do its pieces.

    Parameters
    ----------
    name : (n,) number of the name of each piece, -1 for none
    row : (n,) its sequence
    seed : of the bootstrap
    sizes : (values,) the largest size of each value of the sequences
    """
    named = np.flatnonzero(name >= 0)
    rows = int(row.max(initial=0)) + 1
    keys, group = np.unique(name[named].astype(np.int64) * rows + row[named], return_inverse=True)
    place = np.full(len(name), -1, np.int64)
    place[named] = group
    pieces = np.bincount(group, minlength=len(keys))
    ends = np.searchsorted(keys, rows * np.arange(len(names) + 1))
    found: list[list[tuple[Summary, int]]] = [[] for _ in names]
    step = max(1, _SUMS // max(1, len(keys)))
    for first in range(0, len(tracks), step):
        some = slice(first, min(first + step, len(tracks)))
        means = _sums(blocks(some), place, (len(keys), some.stop - first)) / pieces[:, None]
        for number, text in enumerate(names):
            own = slice(ends[number], ends[number + 1])
            rounding = rounding_of(sizes[some] + largest(means[own])).tolist()
            for value, track in enumerate(tracks[some]):
                each, stream = np.ascontiguousarray(means[own, value]), f"ablate:bootstrap:{text}:{track}"
                summary = summarise(each, seed=seed, stream=stream, rounding=rounding[value])
                found[number].append((summary, int(pieces[own][np.isfinite(each)].sum())))
    return _lines(
        [each for of_name in found for each in of_name], [(text, track) for text in names for track in tracks]
    )


def _lines(every: Sequence[tuple[Summary, int]], labels: Sequence[tuple[str, str]]) -> list[Line]:
    """Lines with q, of tests and their numbers of pieces."""
    q = adjusted_tests([summary for summary, _ in every])
    return [
        Line(
            name=text, track=track, sequences=summary.count, pieces=count, mean=summary.mean,
            interval=summary.interval, p=summary.p, q=value, note=summary.note,
        )
        for (text, track), (summary, count), value in zip(labels, every, q, strict=True)
    ]  # fmt: skip


def _sums(
    blocks: Iterator[tuple[slice, NDArray[np.floating]]], place: Ints, shape: tuple[int, int]
) -> NDArray[np.float64]:  # fmt: skip
    found = np.zeros(shape)
    with np.errstate(invalid="ignore"):  # of infinities of both signs there is no sum
        for pieces, effects in blocks:
            own = place[pieces]
            np.add.at(found, own[own >= 0], effects[own >= 0].astype(np.float64))
    return found
