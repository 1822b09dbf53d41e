"""Motif hits in sequences with exact p-values, as FIMO defines them (Grant et al. 2011, Bioinformatics 27, 1017).

Scores are log2((p + eps) / 0.25) summed over the motif, in units of a tenth of a bit, rounded per cell: sums are then
whole numbers, and their distribution over random sequences of equal base frequencies follows by dynamic programming
without any approximation. Every window of a sequence is scored, the last one too. A window that holds an unknown base
(an all-zero column) has no score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drg_hpc.compiled import compiled
from drg_hpc.errors import UsageError

UNIT = 0.1
"""Bits of one step of the score."""
_EPS = 1e-4
_BLOCK_ROWS = 1024
_FIRST_CAPACITY = 1 << 16


@dataclass(frozen=True)
class Hits:
    """Hits, sorted by row, start, motif and strand.

    Parameters
    ----------
    motif, row : (n,) int64, numbers of the motif and the sequence
    start, end : (n,) int64, half-open, on the sequence as given whatever the strand
    strand : (n,) int8, 1 or -1
    score : (n,) float64, bits, in steps of :data:`UNIT`
    p : (n,) float64, probability of a random window to score as high
    """

    motif: NDArray[np.int64]
    row: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    strand: NDArray[np.int8]
    score: NDArray[np.float64]
    p: NDArray[np.float64]


@dataclass(frozen=True)
class ScoreTable:
    """Whole-number scores of a motif and their exact distribution.

    Parameters
    ----------
    scores : (4, W) int64, in units
    lowest : the smallest sum
    tail : tail[s - lowest] is the probability of a sum of at least s; the last one is 0
    """

    scores: NDArray[np.int64]
    lowest: int
    tail: NDArray[np.float64]

    def cutoff(self, threshold: float) -> int:
        """The smallest sum whose p-value is at most ``threshold``; one beyond the largest where there is none."""
        return self.lowest + int(np.argmax(self.tail <= threshold))


def score_table(pfm: NDArray[np.floating], *, eps: float = _EPS) -> ScoreTable:
    """Scores and p-values of a motif (4, W) of base probabilities."""
    odds = np.log2((np.asarray(pfm, np.float64) + eps) / 0.25)
    scores = np.rint(odds / UNIT).astype(np.int64)
    lowest = int(scores.min(axis=0).sum())
    size = int(scores.max(axis=0).sum()) - lowest + 1
    density = np.zeros(size)
    density[0] = 1.0
    for column in (scores - scores.min(axis=0)).T:
        shifted = np.zeros(size)
        for step in column.tolist():
            shifted[step:] += 0.25 * density[: size - step]
        density = shifted
    tail = np.append(np.cumsum(density[::-1])[::-1], 0.0)
    return ScoreTable(scores, lowest, tail)


def scan_motifs(
    pfms: Sequence[NDArray[np.floating]],
    onehot: NDArray[np.int8],
    *,
    threshold: float = 1e-4,
    both_strands: bool = True,
    eps: float = _EPS,
) -> Hits:
    """Every window that scores with a p-value of at most ``threshold``.

    Parameters
    ----------
    pfms : (4, W) base probabilities, of any widths; one wider than the sequences has no hit
    onehot : (n, 4, L); an all-zero column is an unknown base
    both_strands : scan the reverse complement of each motif too
    eps : added to every probability

    Raises
    ------
    UsageError : threshold outside (0, 1], or a motif that is not (4, W)
    """
    if not 0 < threshold <= 1:
        raise UsageError(f"a threshold of {threshold} is no p-value", fix="give one above 0, at most 1")
    for number, pfm in enumerate(pfms):
        if np.ndim(pfm) != 2 or len(pfm) != 4 or np.shape(pfm)[1] == 0:
            raise UsageError(f"motif {number} has shape {np.shape(pfm)}", fix="give (4, width) probabilities")
    tables = [score_table(pfm, eps=eps) for pfm in pfms]
    parts = []
    for first in range(0, len(onehot), _BLOCK_ROWS):
        block = onehot[first : first + _BLOCK_ROWS]
        codes = np.where(block.any(axis=1), block.argmax(axis=1), -1).astype(np.int8)
        for number, table in enumerate(tables):
            for strand in (1, -1) if both_strands else (1,):
                parts.append(_scan_block(table, codes, threshold, first=first, motif=number, strand=strand))
    return _sorted(parts)


def _scan_block(
    table: ScoreTable, codes: NDArray[np.int8], threshold: float, *, first: int, motif: int, strand: int
) -> Hits:
    """Hits of one motif and strand in a block of sequences (n, L) of base numbers, -1 for unknown."""
    scores = np.ascontiguousarray(table.scores[::-1, ::-1] if strand < 0 else table.scores)
    best = scores.max(axis=0)
    left = np.append(np.cumsum(best[::-1])[::-1], 0)[1:].copy()  # the most that positions to come can add
    capacity = _FIRST_CAPACITY
    while True:
        found = np.empty((capacity, 3), np.int64)
        count = _scan(scores, left, codes, table.cutoff(threshold), found)
        if count <= capacity:
            break
        capacity = count
    row, start, total = found[:count].T
    width = scores.shape[1]
    return Hits(
        np.full(count, motif, np.int64), row + first, start, start + width, np.full(count, strand, np.int8),
        total * UNIT, table.tail[total - table.lowest],
    )  # fmt: skip


@compiled
def _scan(
    scores: NDArray[np.int64], left: NDArray[np.int64], codes: NDArray[np.int8], cutoff: int, out: NDArray[np.int64]
) -> int:
    """Write (row, start, sum) of windows that reach ``cutoff``, as many as fit; returns how many there are."""
    count, width = 0, scores.shape[1]
    for row in range(codes.shape[0]):
        for start in range(codes.shape[1] - width + 1):
            total = 0
            known = True
            for i in range(width):
                base = codes[row, start + i]
                if base < 0:
                    known = False
                    break
                total += scores[base, i]
                if total + left[i] < cutoff:
                    known = False
                    break
            if known:
                if count < out.shape[0]:
                    out[count, 0], out[count, 1], out[count, 2] = row, start, total
                count += 1
    return count


def _sorted(parts: list[Hits]) -> Hits:
    names = ("motif", "row", "start", "end", "strand", "score", "p")
    if not parts:
        none = np.zeros(0, np.int64)
        return Hits(none, none, none, none, none.astype(np.int8), none.astype(np.float64), none.astype(np.float64))
    motif, row, start, end, strand, score, p = (
        np.concatenate([getattr(part, name) for part in parts]) for name in names
    )
    order = np.lexsort((-strand, motif, start, row))
    return Hits(motif[order], row[order], start[order], end[order], strand[order], score[order], p[order])
