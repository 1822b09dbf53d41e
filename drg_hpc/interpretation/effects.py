"""Effects of motifs by region and by track (drg.md 4.8).

A seqlet has an effect on its track. The effect of a motif in a region on a track is that of its seqlet with the
largest magnitude there, 0 where it has none; over the tracks these give the statistics of a region.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import UsageError
from drg_hpc.interpretation.averages import FoundMotif
from drg_hpc.interpretation.effects_config import EffectValue
from drg_hpc.results.seqlets import Seqlets

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
STATISTICS = ("max", "mean", "sum", "presence", "count", "maxdiff")


@dataclass(frozen=True)
class SeqletEffects:
    """Seqlets of motifs: (n,) motif, row and track, and the effect of each."""

    motif: Int64
    row: Int64
    track: Int64
    value: Float64


@dataclass(frozen=True)
class RegionEffects:
    """The cells of the motif x region matrices that hold a seqlet, sorted by motif and row; all others are 0.

    Parameters
    ----------
    motif, row : (n,)
    statistics : name (of ``STATISTICS``) -> (n,) float64
    """

    motif: Int64
    row: Int64
    statistics: dict[str, Float64]

    def matrix(self, statistic: str, rows: Int64, *, motifs: int) -> Float64:
        """The matrix (motifs, len(rows)) of one statistic.

        Parameters
        ----------
        rows : ascending; cells of other rows are left out

        Raises
        ------
        UsageError : no such statistic
        """
        if statistic not in self.statistics:
            raise UsageError(f"no statistic {statistic!r}", fix=f"choose one of {', '.join(self.statistics)}")
        at = np.searchsorted(rows, self.row).clip(max=max(len(rows) - 1, 0))
        there = rows[at] == self.row if len(rows) else np.zeros(len(self.row), np.bool_)
        out = np.zeros((motifs, len(rows)))
        out[self.motif[there], at[there]] = self.statistics[statistic][there]
        return out


@dataclass(frozen=True)
class TrackEffects:
    """Motif x track matrices (K, T).

    Parameters
    ----------
    seqlets, regions : number of seqlets, and of regions with one, of the motif on the track
    total : sum over regions of the effect of largest magnitude
    mean : total over the number of regions in which the motif has a seqlet on any track, so that tracks compare
    """

    seqlets: Int64
    regions: Int64
    total: Float64
    mean: Float64


def seqlet_values(seqlets: Seqlets, value: EffectValue) -> Float64:
    """Effect of every seqlet, (n,).

    Parameters
    ----------
    value : ``sum`` over its bases, ``mean`` over them, or ``max``, the contribution of largest magnitude among the
        bases that the window holds (a seqlet longer than the window is cut at its ends)
    """
    table = seqlets.table
    start, end = table["start"].to_numpy(np.int64), table["end"].to_numpy(np.int64)
    total = table["attribution"].to_numpy(np.float64)
    if value == "sum":
        return total
    if value == "mean":
        return np.asarray(total / np.maximum(end - start, 1), np.float64)
    width = seqlets.sequence.shape[2]
    there = (seqlets.contribution * seqlets.sequence).sum(axis=1, dtype=np.float64)
    position = ((start + end) // 2 - width // 2)[:, None] + np.arange(width)
    there[(position < start[:, None]) | (position >= end[:, None])] = 0.0
    if not len(there):
        return np.zeros(0)
    return np.asarray(there[np.arange(len(there)), np.abs(there).argmax(axis=1)], np.float64)


def effects_of(motifs: Sequence[FoundMotif], seqlets: Seqlets, value: EffectValue) -> SeqletEffects:
    """Seqlets of all motifs with their effects."""
    members = np.concatenate([np.zeros(0, np.int64), *(motif.members for motif in motifs)])
    number = np.repeat(np.arange(len(motifs)), [len(motif.members) for motif in motifs])
    table = seqlets.table
    row, track = (table[name].to_numpy(np.int64)[members] for name in ("row", "track"))
    return SeqletEffects(number.astype(np.int64), row, track, seqlet_values(seqlets, value)[members])


def _strongest(found: SeqletEffects) -> SeqletEffects:
    """Of each motif, row and track the seqlet whose effect has the largest magnitude; of equal ones the larger."""
    order = np.lexsort((-found.value, -np.abs(found.value), found.track, found.row, found.motif))
    motif, row, track = found.motif[order], found.row[order], found.track[order]
    new = _changes(motif, row, track)
    return SeqletEffects(motif[new], row[new], track[new], found.value[order][new])


def _changes(*columns: Int64) -> NDArray[np.bool_]:
    """Where sorted columns hold another key than the line before."""
    new = np.ones(len(columns[0]), np.bool_)
    if len(new):
        new[1:] = np.logical_or.reduce([np.diff(column) != 0 for column in columns])
    return new


def region_effects(found: SeqletEffects, *, tracks: int, min_regions: int = 1) -> RegionEffects:
    """Statistics of every motif in every region that it is in.

    ``max`` is the largest signed effect of any seqlet. The others are over the tracks, with 0 where a track has no
    seqlet: ``mean``, ``sum``, ``maxdiff`` (largest less smallest), ``presence`` (sign of the one of largest magnitude)
    and ``count`` (tracks with a seqlet).

    Parameters
    ----------
    tracks : number of tracks that seqlets were called on
    min_regions : motifs in fewer regions are dropped
    """
    best = _strongest(found)
    starts = np.flatnonzero(_changes(best.motif, best.row))
    motif, row = best.motif[starts], best.row[starts]
    if not len(starts):
        return RegionEffects(motif, row, {name: np.zeros(0) for name in STATISTICS})
    order = np.lexsort((found.row, found.motif))
    all_starts = np.flatnonzero(_changes(found.motif[order], found.row[order]))
    count = np.diff(np.append(starts, len(best.value)))
    total = np.add.reduceat(best.value, starts)
    low, high = np.minimum.reduceat(best.value, starts), np.maximum.reduceat(best.value, starts)
    full = count >= tracks  # else some track holds a zero
    low, high = np.where(full, low, np.minimum(low, 0)), np.where(full, high, np.maximum(high, 0))
    statistics = {
        "max": np.maximum.reduceat(found.value[order], all_starts),
        "mean": total / tracks,
        "sum": total,
        "presence": np.sign(np.where(high >= -low, high, low)),
        "count": count.astype(np.float64),
        "maxdiff": high - low,
    }
    enough = np.bincount(motif)[motif] >= min_regions
    return RegionEffects(motif[enough], row[enough], {name: values[enough] for name, values in statistics.items()})


def track_effects(found: SeqletEffects, *, motifs: int, tracks: int) -> TrackEffects:
    """Counts and effects of every motif on every track; see :class:`TrackEffects`."""
    best, size = _strongest(found), motifs * tracks
    cell = best.motif * tracks + best.track
    own = best.motif[_changes(best.motif, best.row)]
    total = np.asarray(np.bincount(cell, best.value, minlength=size), np.float64).reshape(motifs, tracks)
    regions = np.bincount(own, minlength=motifs)
    return TrackEffects(
        seqlets=np.bincount(found.motif * tracks + found.track, minlength=size).reshape(motifs, tracks),
        regions=np.bincount(cell, minlength=size).reshape(motifs, tracks),
        total=total,
        mean=total / np.maximum(regions, 1)[:, None],
    )


def group_means(matrix: Float64, groups: Sequence[str]) -> tuple[list[str], Float64]:
    """Means of the columns of a motif x region matrix (K, R) over groups of regions: names, sorted, and (K, groups).

    Parameters
    ----------
    groups : (R,) of each region
    """
    names, code = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    member = (code[:, None] == np.arange(len(names))).astype(np.float64)
    return [str(name) for name in names], np.asarray(matrix @ member / member.sum(axis=0), np.float64)
