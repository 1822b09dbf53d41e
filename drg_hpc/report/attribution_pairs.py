"""Attribution runs over the same sequences against each other: do two methods see the same bases?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.report import html
from drg_hpc.report.charts import COLOURS, Chart, padded
from drg_hpc.report.method_words import short_words
from drg_hpc.report.sources import Source, Sources
from drg_hpc.results.reader import Attributions, list_inputs, read_attributions

_BLOCK = 512
_ROWS = 2000
"""Sequences that are compared, at even steps where there are more."""
_POINTS = 4000
_PAIRS, _TRACKS = 12, 12
"""Of a page: pairs of runs, tracks of a pair."""
Values = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Pair:
    """One track of two runs, over the bases of the sequences that both have.

    Parameters
    ----------
    rows, bases : sequences, and known bases of them that both methods looked at
    pearson : of their attributions; NaN where one of them is constant
    points : (n, 2), a sample of them at even steps
    """

    names: tuple[str, str]
    methods: tuple[str, str]
    track: str
    rows: int
    bases: int
    pearson: float
    points: Values

    @property
    def words(self) -> str:
        """``shap (DeepSHAP) and ism (in-silico mutagenesis): Pearson r = 0.91 over 2,000 bases of 20 sequences``."""
        one, other = (f"{name} ({method})" for name, method in zip(self.names, self.methods, strict=True))
        over = f"{html.counted(self.bases, 'base')} of {html.counted(self.rows, 'sequence')}"
        return f"{one} and {other}, track {self.track}: Pearson r = {self.pearson:.3f} over {over}"


def pairs_of(sources: Sources) -> list[Pair]:
    """Every two runs that attribute a track of the same name to the same sequences of the same input."""
    found: list[Pair] = []
    for one, other in combinations(sources.of("attributions"), 2):
        if len(found) < _PAIRS and _origin(one) == _origin(other) is not None:
            found += _compared(one, other, sources)
    return found


def _origin(source: Source) -> str | None:
    """sha256 of what the sequences of a run were read from."""
    inputs = source.header.get("inputs", {})
    record = inputs.get("sequences") or inputs.get("genome") or {}
    return str(record["sha256"]) if "sha256" in record else None


def _compared(one: Source, other: Source, sources: Sources) -> Iterator[Pair]:
    """A pair a track, over all inputs together."""
    inputs = list_inputs(one.file)
    if inputs != list_inputs(other.file):
        return
    with ExitStack() as stack:

        def both(name: str | None) -> tuple[Attributions, Attributions]:
            first, second = (read_attributions(source.file, name) for source in (one, other))
            return stack.enter_context(first), stack.enter_context(second)

        opened = [both(name) for name in inputs or (None,)]
        first, second = opened[0]
        if not (first.by_base and second.by_base):
            return
        rows = _shared(opened)
        shown = [name for name in first.tracks if name in second.tracks][:_TRACKS] if len(rows) else []
        for track in shown:
            values = np.concatenate([part for a, b in opened for part in _values(a, b, rows, track)])
            yield Pair(
                names=(sources.name(one), sources.name(other)),
                methods=(short_words(one.header.get("params", {})), short_words(other.header.get("params", {}))),
                track=track,
                rows=len(rows),
                bases=len(values),
                pearson=_pearson(values),
                points=values[:: max(1, -(-len(values) // _POINTS))],
            )


def _shared(opened: Sequence[tuple[Attributions, Attributions]]) -> Rows:
    """Numbers in both files of the rows that are the same row of the input, with the same sequences, kept in both."""
    own, theirs = (np.where(found.kept, found.regions["row"].to_numpy(np.int64), -1) for found in opened[0])
    both, at, there = np.intersect1d(own, theirs, return_indices=True)
    rows: Rows = np.stack([at, there], axis=1)[both >= 0].astype(np.int64)
    rows = rows[:: max(1, -(-len(rows) // _ROWS))]
    same = np.ones(len(rows), np.bool_)
    for one, other in opened:
        if one.length != other.length:
            return rows[:0]
        parts = [(_rows(one.sequences, a), _rows(other.sequences, b)) for a, b in _stretches(rows)]
        same &= np.concatenate([(x == y).all(axis=(1, 2)) for x, y in parts]) if parts else True
    found: Rows = rows[same]
    return found


def _stretches(rows: Rows) -> Iterator[Rows]:
    """(2, n) numbers of rows that lie close together in both files."""
    blocks = (rows // _BLOCK).sum(axis=1)
    for part in np.split(rows, np.flatnonzero(np.diff(blocks)) + 1 if len(rows) else []):
        if len(part):
            yield part.T


def _rows(dataset: Any, numbers: NDArray[np.int64]) -> NDArray[Any]:
    """Rows of a dataset that lie close together, in any order."""
    first = int(numbers.min())
    found: NDArray[Any] = dataset[first : int(numbers.max()) + 1][numbers - first]
    return found


def _values(one: Attributions, other: Attributions, rows: Rows, track: str) -> Iterator[Values]:
    """(n, 2) attributions of the known bases that both have looked at."""
    for numbers in _stretches(rows):
        known = _rows(one.sequences, numbers[0]).any(axis=1)
        pair = []
        for found, part in zip((one, other), numbers, strict=True):
            if found.scored is not None:
                known &= _rows(found.scored, part).astype(np.bool_)
            values = found.projected(track, int(part.min()), int(part.max()) + 1)
            pair.append(values[part - part.min()].astype(np.float64))
        yield np.stack([values[known] for values in pair], axis=1)


def _pearson(values: Values) -> float:
    centred = values - values.mean(axis=0) if len(values) else values
    scale = np.sqrt((centred**2).sum(axis=0)).prod()
    return float(centred.prod(axis=1).sum() / scale) if scale > 0 else float("nan")


def pairs_section(pairs: Sequence[Pair]) -> str:
    """HTML: a table of correlations and a scatter plot of each pair of runs; nothing without pairs."""
    if not pairs:
        return ""
    head = ("runs", "track", "sequences", "bases", "Pearson r")
    rows = [
        (f"{pair.names[0]} and {pair.names[1]}", pair.track, html.number(pair.rows), html.number(pair.bases),
         html.number(pair.pearson)) for pair in pairs
    ]  # fmt: skip
    text = "<h3>Compared with each other</h3><p>Attributions of the bases that are there, base by base, over the "
    text += "sequences that two runs share.</p>"
    return text + html.table(head, rows, numeric=(2, 3, 4)) + html.figures([_scatter(pair) for pair in _first(pairs)])


def _first(pairs: Sequence[Pair]) -> list[Pair]:
    """The first track of each two runs."""
    return list({pair.names: pair for pair in reversed(pairs)}.values())[::-1]


def _scatter(pair: Pair) -> str:
    x, y = (padded(pair.points[:, side]) for side in (0, 1))
    titles = [f"{name} ({method})" for name, method in zip(pair.names, pair.methods, strict=True)]
    chart = Chart(f"{titles[0]} against {titles[1]}", x, y, titles[0], titles[1])
    chart.points(pair.points, colour=COLOURS[0])
    sampled = "" if len(pair.points) == pair.bases else f"; {html.number(len(pair.points))} of them shown"
    return html.figure(chart.svg(), f"{pair.words}{sampled}.")
