"""Motifs as patterns of modisco-lite, and patterns as motifs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.errors import CorruptError, InputError
from drg_hpc.interpretation.averages import FoundMotif, consensus, trim_core
from drg_hpc.interpretation.motif_files import NamedMotif
from drg_hpc.interpretation.similarity import flip, place
from drg_hpc.results.modisco_file import Pattern, Windows
from drg_hpc.results.motifs import MotifRecord
from drg_hpc.results.seqlets import Seqlets

_ARRAYS = ("pfm", "cwm", "form", "members/seqlet", "members/offset", "members/flipped")


def pattern_of(record: MotifRecord, seqlets: Seqlets) -> Pattern:
    """A motif as a pattern over its whole frame; starts and ends are places in the row.

    Bases of a member that lie in the frame but beyond the member's window are zero in its own arrays; the row's ends do
    not cut them off, so a start may be negative.

    Raises
    ------
    CorruptError : the motif does not belong to these seqlets, or lacks arrays
    """
    missing = [name for name in _ARRAYS if name not in record.arrays]
    if missing:
        raise CorruptError(f"motif {record.name} lacks {', '.join(missing)}", fix="run drg-motifs again")
    members = record.arrays["members/seqlet"].astype(np.int64)
    if len(members) and members.max() >= len(seqlets.table):
        raise CorruptError(f"motif {record.name} has members that are not among the seqlets", fix="give its seqlets")
    offset = record.arrays["members/offset"].astype(np.int64)
    flipped = record.arrays["members/flipped"].astype(np.bool_)
    width, window = record.arrays["pfm"].shape[1], seqlets.sequence.shape[2]
    table = seqlets.table.iloc[members]
    first = (table["start"].to_numpy(np.int64) + table["end"].to_numpy(np.int64)) // 2 - window // 2
    start = np.where(flipped, first + window + offset - width, first - offset)
    sequence = place(seqlets.sequence[members], offset, flipped, width=width)
    form = place(seqlets.contribution[members], offset, flipped, width=width)
    windows = Windows(*(array.astype(np.float32) for array in (sequence, sequence * form, form)))
    return Pattern(
        sign=int(record.facts["sign"]),
        sequence=record.arrays["pfm"].astype(np.float64),
        contribution=record.arrays["cwm"].astype(np.float64),
        hypothetical=record.arrays["form"].astype(np.float64),
        row=table["row"].to_numpy(np.int64),
        start=start,
        end=start + width,
        flipped=flipped,
        windows=windows,
    )


def motif_of(
    pattern: Pattern,
    *,
    trim: float,
    members: NDArray[np.int64],
    offset: NDArray[np.int64],
    flipped: NDArray[np.bool_],
    attribution: NDArray[np.float64],
) -> FoundMotif:
    """A pattern as a motif: the averages are the pattern's.

    Parameters
    ----------
    trim : see :class:`~drg_hpc.interpretation.config.MotifsOptions`
    members, offset, flipped : seqlets, and how their windows lie over the pattern
    attribution : of the members
    """
    width = pattern.sequence.shape[1]
    start, end = _core(pattern, trim)
    total = pattern.sequence.sum(axis=0)
    return FoundMotif(
        sign=pattern.sign,
        pfm=pattern.sequence / np.where(total > 0, total, 1.0),
        cwm=pattern.contribution,
        form=pattern.hypothetical,
        coverage=np.ones(width),
        start=start,
        end=end,
        members=members,
        offset=offset,
        flipped=flipped,
        similarity=_similarity(pattern, members),
        mean=float(np.abs(attribution).mean()) if len(attribution) else 0.0,
    )


def _core(pattern: Pattern, trim: float) -> tuple[int, int]:
    """First and last position, half-open, of the trimmed pattern."""
    contribution = np.maximum(pattern.contribution * pattern.sign, 0)
    return trim_core(contribution, np.ones(contribution.shape[1]), trim)


def _similarity(pattern: Pattern, members: NDArray[np.int64]) -> NDArray[np.float32]:
    """Cosine of each seqlet's contributions to the pattern's; NaN where the members are not the file's own seqlets."""
    if pattern.windows is None or len(members) != len(pattern.row):
        return np.full(len(members), np.nan, np.float32)
    own = pattern.windows.contribution.astype(np.float64)
    size = np.sqrt((own**2).sum(axis=(1, 2)) * (pattern.contribution**2).sum())
    dot = np.einsum("nbw,bw->n", own, pattern.contribution)
    return np.asarray(dot / np.maximum(size, 1e-30), np.float32)


@dataclass(frozen=True)
class ReadMotifs:
    """Motifs of a file of modisco-lite, and its seqlets in the order of the motifs."""

    motifs: list[NamedMotif]
    seqlets: Seqlets


def motifs_of_patterns(patterns: Sequence[Pattern], *, trim: float, shift: int = 0) -> ReadMotifs:
    """Motifs in the order of the patterns, named ``pos_0``, ``neg_0`` as in the file.

    A seqlet's attribution is the sum over the trimmed pattern: flanks of a frame are no part of what was called.

    Parameters
    ----------
    shift : from the window of modisco-lite to the row: L // 2 - window_size // 2

    Raises
    ------
    InputError : no seqlets, patterns of several widths, or seqlets without arrays of their own
    """
    widths = sorted({pattern.sequence.shape[1] for pattern in patterns})
    if len(widths) != 1:
        raise InputError(f"patterns of {len(widths)} widths, one is wanted", fix="run modisco motifs with one -t")
    tables, sequences, contributions, motifs = [], [], [], []
    number, at = {1: 0, -1: 0}, 0
    for pattern in patterns:
        if pattern.windows is None:
            raise InputError("a pattern's seqlets have no arrays of their own", fix="use modisco-lite 2 or later")
        start, end = _core(pattern, trim)
        attribution = pattern.windows.contribution[:, :, start:end].sum(axis=(1, 2), dtype=np.float64)
        count = len(pattern.row)
        motif = motif_of(
            pattern, trim=trim, members=np.arange(at, at + count), offset=np.zeros(count, np.int64),
            flipped=pattern.flipped, attribution=attribution,
        )  # fmt: skip
        name = f"{'pos' if pattern.sign > 0 else 'neg'}_{number[pattern.sign]}"
        motifs.append(NamedMotif(name, motif, None, consensus(motif.core_pfm)))
        tables.append(_table(pattern, attribution, shift))
        sequences.append(_unturned(pattern.windows.sequence, pattern.flipped))
        contributions.append(_unturned(pattern.windows.hypothetical, pattern.flipped))
        number[pattern.sign] += 1
        at += count
    attributes = {"params": {"method": "modisco-lite"}, "form": "hypothetical", "tracks": ["modisco-lite"]}
    whole = Seqlets(
        pd.concat(tables, ignore_index=True),
        np.concatenate(contributions).astype(np.float32),
        np.rint(np.concatenate(sequences)).astype(np.int8),
        attributes,
    )
    return ReadMotifs(motifs, whole)


def _unturned(windows: NDArray[np.float32], flipped: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Windows in the direction of their rows."""
    return np.asarray(np.where(flipped[:, None, None], flip(windows), windows), np.float32)


def _table(pattern: Pattern, attribution: NDArray[np.float64], shift: int) -> pd.DataFrame:
    start, end = pattern.start + shift, pattern.end + shift
    names = [f"row_{row}" for row in pattern.row.tolist()]
    columns = {"row": pattern.row, "start": start, "end": end, "sign": pattern.sign, "attribution": attribution}
    places = {"track": 0, "chrom": names, "name": names, "origin": "given", "genome_start": start, "genome_end": end}
    return pd.DataFrame(columns | {"p_value": np.nan} | places)
