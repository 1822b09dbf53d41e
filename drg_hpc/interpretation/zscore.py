"""Seqlets of DRG: positions beyond a cut-off, joined over small gaps (Sasse et al., ``drg_tools``).

The scale of a row and track is the root of the mean square of its attributions over positions and bases (not centred);
z is the attribution of the base that is there over the scale. Scanning from the left, a run takes positions of its sign
beyond ``cut``; another position counts as a gap unless the mean of z within ``max_gap`` positions of it, times the
run's sign, still reaches ``cut``. After more than ``max_gap`` gaps in a row the run ends, and the scan goes on from the
first of them. A run of at least ``min_size`` positions (gaps not counted) is a seqlet. There is no p-value.

The mean near an end of the row is over the positions that there are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.compiled import compiled
from drg_hpc.errors import UsageError
from drg_hpc.interpretation.recursive import frame
from drg_hpc.interpretation.spans import span_sums
from drg_hpc.runs.spec import BLOCK_ROWS

Norm = Literal["global", "seq", "condition", "std"]


@dataclass(frozen=True)
class ZscoreRule:
    """Parameters of the rule.

    Parameters
    ----------
    cut : a position stands out where \\|z\\| is above this
    max_gap : positions in a row that a seqlet may skip
    min_size : positions beyond the cut-off that a seqlet has, at least
    norm : what is the scale: the mean of all rows and tracks, that of a row over tracks, that of a track over rows, or
        a given one
    std : the given scale
    """

    cut: float = 1.96
    max_gap: int = 1
    min_size: int = 4
    norm: Norm = "global"
    std: float = 1.0

    def check(self) -> None:
        """Raise :class:`UsageError` for values out of range."""
        if self.norm not in ("global", "seq", "condition", "std"):
            raise UsageError(f"no norm {self.norm!r}", fix="known: global, seq, condition, std")
        if not self.cut > 0 or self.max_gap < 0 or self.min_size < 1 or not 0 < self.std < math.inf:
            what = f"cut {self.cut} and std {self.std} (above 0), max_gap {self.max_gap} (not negative)"
            raise UsageError(f"seqlet settings out of range: {what}, min_size {self.min_size} (at least 1)")


def row_scales(attributions: NDArray[Any]) -> NDArray[np.float64]:
    """Root of the mean square over bases and positions of (rows, 4, L) attributions, in double precision."""
    found = np.empty(len(attributions))
    for first in range(0, len(attributions), BLOCK_ROWS):
        block = np.asarray(attributions[first : first + BLOCK_ROWS], np.float64)
        found[first : first + BLOCK_ROWS] = np.sqrt((block * block).reshape(len(block), -1).mean(axis=1))
    return found


def block_sums(scales: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums (blocks,) of the scales of blocks of rows; their exact sum does not depend on how blocks are shared out."""
    return np.array([scales[i : i + BLOCK_ROWS].sum() for i in range(0, len(scales), BLOCK_ROWS)])


def scales_of(rule: ZscoreRule, scales: NDArray[np.float64]) -> NDArray[np.float64]:
    """The scale of every track and row, from the roots of all of them (tracks, rows)."""
    if rule.norm == "std":
        return np.full(scales.shape, rule.std)
    if rule.norm == "seq":
        return np.broadcast_to(scales.mean(axis=0), scales.shape)
    means = [math.fsum(block_sums(track).tolist()) / max(track.size, 1) for track in scales]
    if rule.norm == "global":
        means = [math.fsum(means) / len(means)] * len(means)
    return np.broadcast_to(np.array(means)[:, None], scales.shape)


@compiled
def _near(z: Any, at: int, reach: int) -> float:  # pragma: no cover - compiled
    first, last = max(at - reach, 0), min(at + reach + 1, z.size)
    total = 0.0
    for i in range(first, last):
        total += z[i]
    mean: float = total / (last - first)
    return mean


@compiled
def _scan(
    z: Any, cut: float, max_gap: int, min_size: int, starts: Any, ends: Any, signs: Any
) -> int:  # pragma: no cover - compiled
    """Seqlets of one row of z; returns their number."""
    found, at = 0, 0
    first, last, size, sign, gaps, resume = -1, -1, 0, 0, 0, 0
    while True:
        if gaps > max_gap or at >= z.size:
            if size >= min_size:
                starts[found], ends[found], signs[found] = first, last + 1, sign
                found += 1
            if gaps <= max_gap:
                return found
            at = resume  # what the run skipped may begin another one
            size, gaps = 0, 0
        beyond = abs(z[at]) > cut
        here = 1 if z[at] > 0 else -1
        if size == 0:
            if beyond:
                first, last, size, sign, gaps = at, at, 1, here, 0
        elif beyond and here == sign:
            last, gaps = at, 0
            size += 1
        elif sign * _near(z, at, max_gap) < cut:
            if gaps == 0:
                resume = at
            gaps += 1
        at += 1


@compiled
def _scan_rows(
    z: Any, cut: float, max_gap: int, min_size: int, rows: Any, starts: Any, ends: Any, signs: Any
) -> int:  # pragma: no cover - compiled
    found = 0
    for row in range(z.shape[0]):
        count = _scan(z[row], cut, max_gap, min_size, starts[found:], ends[found:], signs[found:])
        rows[found : found + count] = row
        found += count
    return found


def call_zscore(rule: ZscoreRule, projected: NDArray[Any], scales: NDArray[np.float64]) -> pd.DataFrame:
    """Seqlets of one track, sorted by row, start, end; ``p_value`` is NaN.

    Parameters
    ----------
    projected : (rows, L) attributions of the bases that are there
    scales : (rows,) what to divide them by; a row whose scale is 0 has no seqlets
    """
    values = np.ascontiguousarray(projected)
    divisor = np.where(scales > 0, scales, np.inf)
    z = np.asarray(values, np.float64) / divisor[:, None]
    room = z.shape[0] * (z.shape[1] // rule.min_size + 1) + 1
    rows, starts, ends, signs = (np.empty(room, np.int64) for _ in range(4))
    found = _scan_rows(z, rule.cut, rule.max_gap, rule.min_size, rows, starts, ends, signs)
    rows, starts, ends, signs = (array[:found] for array in (rows, starts, ends, signs))
    table = frame([rows, starts, ends, span_sums(values, rows, starts, ends), np.full(found, np.nan), signs])
    return table.sort_values(["row", "start", "end"], kind="stable", ignore_index=True)
