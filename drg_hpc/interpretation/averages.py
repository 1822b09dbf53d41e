"""A motif from a cluster: aligned averages of sequence and contribution, trimmed, turned and measured."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from drg_hpc.interpretation.centres import Cluster
from drg_hpc.interpretation.similarity import flip, place

_MIN_WIDTH = 4
_MIN_COVERAGE = 0.5
_INFORMATION_WIDTH = 6
_CONSERVED_BITS = 0.5
_IUPAC = {
    "A": "A", "C": "C", "G": "G", "T": "T", "AG": "R", "CT": "Y", "CG": "S", "AT": "W", "GT": "K", "AC": "M",
}  # fmt: skip


@dataclass(frozen=True)
class FoundMotif:
    """One motif.

    Parameters
    ----------
    sign : 1 or -1, that of its seqlets' contributions
    pfm : (4, W) base frequencies of the aligned members, the whole frame
    cwm : (4, W) mean contribution of the base that is there
    form : (4, W) mean of the four-base form of the attributions (equal to ``cwm`` where only the projection was kept)
    coverage : (W,) share of members whose window reaches the position
    start, end : the trimmed core within the frame
    members, offset, flipped, similarity : see :class:`~drg_hpc.interpretation.clusters.Cluster`
    mean : mean |attribution| of the member seqlets
    """

    sign: int
    pfm: NDArray[np.float64]
    cwm: NDArray[np.float64]
    form: NDArray[np.float64]
    coverage: NDArray[np.float64]
    start: int
    end: int
    members: NDArray[np.int64]
    offset: NDArray[np.int64]
    flipped: NDArray[np.bool_]
    similarity: NDArray[np.float32]
    mean: float

    @property
    def strength(self) -> float:
        """Number of seqlets times mean |contribution|: what the motif adds up to over all regions."""
        return len(self.members) * self.mean

    @property
    def core_pfm(self) -> NDArray[np.float64]:
        """Trimmed PFM."""
        return self.pfm[:, self.start : self.end]

    def turned(self, window: int) -> FoundMotif:
        """The same motif, reverse complemented.

        Parameters
        ----------
        window : width of the members' windows
        """
        width = self.pfm.shape[1]
        return replace(
            self,
            pfm=flip(self.pfm).astype(np.float64),
            cwm=flip(self.cwm).astype(np.float64),
            form=flip(self.form).astype(np.float64),
            coverage=self.coverage[::-1].copy(),
            start=width - self.end,
            end=width - self.start,
            offset=width - window - self.offset,
            flipped=~self.flipped,
        )


def average(
    cluster: Cluster,
    *,
    sequence: NDArray[np.int8],
    contribution: NDArray[np.float32],
    attribution: NDArray[np.float32],
    sign: int,
    trim: float,
) -> FoundMotif:
    """The motif of a cluster.

    Parameters
    ----------
    sequence, contribution : (n, 4, W) windows of all seqlets, contribution in the attributions' form
    attribution : (n,) of the seqlets
    sign : of the seqlets
    trim : flanks whose contribution in the direction of ``sign`` is below this share of the largest are cut

    Averages run over the members whose window reaches a position. Base frequencies carry a pseudocount of a quarter
    per base, so that a motif of few seqlets is not written as certain.
    """
    rows, width = cluster.members, sequence.shape[2]
    laid = place(sequence[rows], cluster.offset, cluster.flipped, width=width)
    form = place(contribution[rows], cluster.offset, cluster.flipped, width=width)
    ones = place(np.ones_like(sequence[rows]), cluster.offset, cluster.flipped, width=width)[:, 0].sum(axis=0)
    counts = laid.sum(axis=0)
    pfm = (counts + 0.25) / (counts.sum(axis=0) + 1.0)
    reached = np.maximum(ones, 1.0)
    cwm = (laid * form).sum(axis=0) / reached
    coverage = ones / len(rows)
    start, end = trim_core(np.maximum(cwm * sign, 0), coverage, trim)
    return FoundMotif(
        sign=sign,
        pfm=pfm,
        cwm=cwm,
        form=form.sum(axis=0) / reached,
        coverage=coverage,
        start=start,
        end=end,
        members=rows,
        offset=cluster.offset,
        flipped=cluster.flipped,
        similarity=cluster.similarity,
        mean=float(np.abs(attribution[rows].astype(np.float64)).mean()),
    )


def trim_core(cwm: NDArray[np.float64], coverage: NDArray[np.float64], trim: float) -> tuple[int, int]:
    """First and last position, half-open, that at least half of the members reach and whose |CWM| is large enough.

    At least 4 positions, around the strongest.
    """
    weight = np.where(coverage >= _MIN_COVERAGE, np.abs(cwm).sum(axis=0), 0.0)
    inside = np.flatnonzero((weight >= trim * weight.max()) & (weight > 0))
    if not inside.size:
        return 0, cwm.shape[1]
    start, end = int(inside[0]), int(inside[-1]) + 1
    while end - start < min(_MIN_WIDTH, cwm.shape[1]):
        left = weight[start - 1] if start > 0 else -1.0
        right = weight[end] if end < len(weight) else -1.0
        start, end = (start - 1, end) if left >= right else (start, end + 1)
    return start, end


def _information(pfm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bits per position, against uniform bases."""
    bits: NDArray[np.float64] = 2 + (pfm * np.log2(np.maximum(pfm, 1e-12))).sum(axis=0)
    return bits


def conserved_positions(pfm: NDArray[np.float64]) -> int:
    """Positions with at least half a bit of information.

    Windows are grouped by the bases that make them seqlets, so even noise gives groups with one or two fixed bases.
    """
    return int((_information(pfm) >= _CONSERVED_BITS).sum())


def best_information(pfm: NDArray[np.float64]) -> float:
    """Mean information content, in bits, of the six neighbouring positions where it is largest.

    Narrower motifs count as if padded with uninformative positions. The filter of TF-MoDISco, where it is 0.6 bits.
    """
    return float(np.convolve(_information(pfm), np.ones(_INFORMATION_WIDTH)).max() / _INFORMATION_WIDTH)


def consensus(pfm: NDArray[np.float64]) -> str:
    """IUPAC letters: one base from a share of 0.6, two from 0.8 together, else N."""
    letters = []
    for column in pfm.T:
        order = np.argsort(-column, kind="stable")
        first, second = "ACGT"[order[0]], "ACGT"[order[1]]
        if column[order[0]] >= 0.6:
            letters.append(first)
        elif column[order[0]] + column[order[1]] >= 0.8:
            letters.append(_IUPAC["".join(sorted(first + second))])
        else:
            letters.append("N")
    return "".join(letters)
