"""Seqlets as modisco-lite 3.0 extracts them (``extract_seqlets``), from sorted pieces that may lie in several files.

Sums over windows of ``core`` positions are compared with a Laplace null: a threshold per sign is where an isotonic
regression of real against null sums reaches the wanted false discovery rate, moved so that the share of windows beyond
it is between ``min_passing`` and ``max_passing``. Per row the strongest window is taken, with flanks, and its
neighbourhood closed, until none is left. A seqlet is positive or negative when its core's sum is beyond a quantile of
the absolute sums, at most ``weak``; others belong to neither sign.

All that is global is an order statistic or a count of the window sums, or a sample of them whose places depend on their
number alone, so the answer is the same however the rows are cut into pieces. One fault of modisco-lite is not kept:
there a flank of 0 closes every window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.compiled import compiled
from drg_hpc.errors import UsageError
from drg_hpc.interpretation.draws import first_of_permutation
from drg_hpc.interpretation.isotonic import cutoff
from drg_hpc.interpretation.recursive import frame
from drg_hpc.interpretation.sorted_pieces import SortedPieces

SAMPLE = 1_000_000
"""Windows that the thresholds are found from, at most."""
_NULL_SAMPLES = 10_000
_SEED = 1234
Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class TfmodiscoRule:
    """Parameters of the rule, with the defaults of modisco-lite's ``TFMoDISco``.

    Parameters
    ----------
    core : positions of the window that is summed
    flank : positions added at both ends
    fdr : false discovery rate
    min_passing, max_passing : share of windows beyond the thresholds
    weak : largest quantile of absolute sums that a seqlet's core must pass to have a sign
    """

    core: int = 21
    flank: int = 10
    fdr: float = 0.2
    min_passing: float = 0.03
    max_passing: float = 0.2
    weak: float = 0.8

    def check(self) -> None:
        """Raise :class:`UsageError` for values out of range."""
        if self.core < 1 or self.flank < 0 or not 0 < self.fdr < 1 or not 0 <= self.weak < 1:
            what = f"core {self.core} (at least 1), flank {self.flank} (not negative), fdr {self.fdr} (0 to 1)"
            raise UsageError(f"seqlet settings out of range: {what}, weak {self.weak} (0 to 1)")
        if not 0 <= self.min_passing <= self.max_passing <= 1:
            raise UsageError(f"shares of windows {self.min_passing} to {self.max_passing} are not a range")


@dataclass(frozen=True)
class Thresholds:
    """Window sums at which seqlets begin, of both signs, and the absolute sum beyond which one has a sign."""

    positive: float
    negative: float
    sign: float


NONE = Thresholds(math.inf, -math.inf, math.inf)


def window_sums(values: NDArray[Any], core: int) -> Float64:
    """Sums (n, L + 1 - core) over windows; sums from the left are in the values' own precision, as modisco-lite's."""
    sums = np.hstack([np.zeros((len(values), 1)), np.cumsum(values, axis=-1)])
    return np.asarray(sums[:, core:] - sums[:, :-core])


def drawn_places(windows: int, sample: int = SAMPLE) -> NDArray[np.int64]:
    """Which of ``windows`` sums the thresholds are found from, ascending: those modisco-lite draws."""
    return np.arange(windows) if windows <= sample else first_of_permutation(windows, sample, _SEED)


def _peak(pieces: SortedPieces, outer: tuple[float, ...]) -> tuple[float, float]:
    """Edges of the fullest of 1,000 bins between two of the sums; without any, numpy bins from 0 to 1."""
    edges = np.histogram_bin_edges(np.array(outer), bins=1000)
    below = pieces.count_below(edges)
    below[-1] = pieces.count_up_to(edges[-1:])[0]
    peak = int(np.argmax(np.diff(below)))
    return float(edges[peak]), float(edges[peak + 1])


def _mode(pieces: SortedPieces) -> float:
    """Middle of the fullest thousandth of the fullest thousandth of the range."""
    left, right = _peak(pieces, pieces.order([0, pieces.size - 1]))
    first, last = int(pieces.count_up_to(np.array([left]))[0]), int(pieces.count_below(np.array([right]))[0])
    inner = pieces.order([first, last - 1]) if last > first else ()
    left, right = _peak(pieces, inner)
    return (left + right) / 2


def laplace_null(pieces: SortedPieces) -> tuple[Float64, Float64]:
    """10,000 draws from two exponential tails around the mode, split into those from zero on and those below."""
    mode = _mode(pieces)
    percents = 5 * np.arange(1, 20)
    below, up_to = int(pieces.count_below(np.array([mode]))[0]), int(pieces.count_up_to(np.array([mode]))[0])
    above = pieces.size - below
    upper, lower = pieces.percentiles(percents, below, above), pieces.percentiles(100 - percents, 0, up_to)
    tails = -np.log(1 - (percents / 100.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        rise, fall = np.max(tails / (upper - mode)), np.max(tails / np.abs(lower - mode))
    uniform = np.random.RandomState(_SEED).uniform(size=(_NULL_SAMPLES, 2))
    falling = np.log(1 - uniform[:, 1])
    up = uniform[:, 0] < above / (above + up_to)
    drawn = np.where(up, -falling / rise + mode, mode + falling / fall)
    return drawn[drawn >= 0], drawn[drawn < 0]


def find_thresholds(rule: TfmodiscoRule, pieces: SortedPieces, sample: Float64) -> Thresholds:
    """Thresholds of one track.

    Parameters
    ----------
    pieces : all window sums
    sample : those at :func:`drawn_places`, in any order
    """
    if pieces.size == 0 or len(set(pieces.order([0, pieces.size - 1]))) == 1:
        return NONE
    null_positive, null_negative = laplace_null(pieces)
    positive, negative = np.sort(sample[sample >= 0]), np.sort(sample[sample < 0])[::-1]
    up = cutoff(positive, null_positive, increasing=True, fdr=rule.fdr)
    down = cutoff(negative, null_negative, increasing=False, fdr=rule.fdr)
    share = (np.count_nonzero(sample >= up) + np.count_nonzero(sample <= down)) / len(sample)
    for bound, outside in ((rule.min_passing, share < rule.min_passing), (rule.max_passing, share > rule.max_passing)):
        if outside:
            up = float(np.percentile(np.abs(sample), 100 * (1 - bound)))
            down = -up
    ranks = [float(np.sign(t)) * pieces.count_absolute_below(abs(t)) / pieces.size for t in (up, down)]
    weak = min(min(ranks[0], abs(ranks[1])) - 0.0001, rule.weak)
    place = int(weak * pieces.size)
    return Thresholds(up, down, pieces.order_absolute(place if place >= 0 else place + pieces.size))


@compiled
def _extract(
    sums: Any, up: float, down: float, flank: int, reach: int, rows: Any, starts: Any
) -> int:  # pragma: no cover - compiled
    """Windows in the order in which they are taken: row and first position of the core; returns their number."""
    found = 0
    n, width = sums.shape
    track = np.empty(width)
    for row in range(n):
        for i in range(width):
            value = sums[row, i]
            open_ = (value >= up or value <= down) and flank <= i < width - flank
            track[i] = abs(value) if open_ else -np.inf
        while True:
            best = np.argmax(track)
            if track[best] == -np.inf:
                break
            rows[found], starts[found] = row, best
            found += 1
            track[max(best - reach, 0) : min(best + reach + 1, width)] = -np.inf
    return found


def call_tfmodisco(rule: TfmodiscoRule, projected: NDArray[Any], found: Thresholds) -> pd.DataFrame:
    """Seqlets of one track, sorted by row and start; ``attribution`` is the core's sum, ``p_value`` is NaN.

    ``sign`` is 0 where the sum is not beyond the threshold of either sign; modisco-lite makes no motif of those.
    """
    values = np.ascontiguousarray(projected)
    if values.shape[0] == 0 or values.shape[1] < rule.core or found == NONE:
        return frame([])
    sums = window_sums(values, rule.core)
    reach = int(0.5 * rule.core) + rule.flank
    room = len(values) * (sums.shape[1] // (reach + 1) + 1)
    rows, starts = np.empty(room, np.int64), np.empty(room, np.int64)
    count = _extract(sums, found.positive, found.negative, rule.flank, reach, rows, starts)
    rows, starts = rows[:count], starts[:count]
    core = np.arange(rule.core)
    total = values[rows[:, None], starts[:, None] + core].sum(axis=1, dtype=np.float64)
    sign = np.where(total > found.sign, 1, np.where(total < -found.sign, -1, 0))
    begin, end = starts - rule.flank, starts + rule.core + rule.flank
    table = frame([rows, begin, end, total, np.full(count, np.nan), sign])
    return table.sort_values(["row", "start"], kind="stable", ignore_index=True)
