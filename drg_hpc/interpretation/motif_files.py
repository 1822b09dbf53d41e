"""What drg-motifs writes: out.h5, motifs.meme and matches.tsv."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.files import table_text, write_atomic
from drg_hpc.genome.motifs import Motif, write_meme
from drg_hpc.interpretation.averages import FoundMotif
from drg_hpc.interpretation.naming import Match
from drg_hpc.results.motifs import MotifRecord, write_motifs

COLUMNS = (
    "motif", "n_seqlets", "mean_contribution", "strength", "sign", "consensus",
    "target", "p", "q", "offset", "strand", "overlap", "database", "runners_up",
)  # fmt: skip
"""Columns of matches.tsv: mean_contribution is the mean |sum over the seqlet|, strength is that times n_seqlets; offset
is the start of the trimmed motif relative to its target on ``strand``; q is over the targets of all databases together;
runners_up are the next targets, with q."""


@dataclass(frozen=True)
class NamedMotif:
    """A motif, its name (``pos_0``: strongest positive one), its best match if a database was given, its consensus."""

    name: str
    motif: FoundMotif
    match: Match | None
    consensus: str


def write_motif_files(folder: Path, named: Sequence[NamedMotif], *, attributes: dict[str, Any]) -> list[dict[str, Any]]:
    """Write the three files into ``folder``; returns the rows of matches.tsv."""
    rows = [_row(item) for item in named]
    write_motifs(folder / "out.h5", [_record(item, row) for item, row in zip(named, rows, strict=True)], attributes)
    cells = ([row.get(name, "") for name in COLUMNS] for row in rows)
    write_atomic(folder / "matches.tsv", table_text([COLUMNS, *cells]))
    limit = float(attributes["params"]["max_q"])
    write_meme(folder / "motifs.meme", [_meme(item, limit) for item in named])
    return rows


def _row(item: NamedMotif) -> dict[str, Any]:
    motif, match = item.motif, item.match
    row: dict[str, Any] = {
        "motif": item.name,
        "n_seqlets": len(motif.members),
        "mean_contribution": float(f"{motif.mean:.6g}"),
        "strength": float(f"{motif.strength:.6g}"),
        "sign": motif.sign,
        "consensus": item.consensus,
    }
    if match is not None:
        found = {"target": match.target, "p": match.p, "q": match.q, "offset": match.offset}
        row |= found | {"strand": match.strand, "overlap": match.overlap, "database": match.database}
        row["runners_up"] = "; ".join(f"{name} (q={q:.2g})" for name, q in match.runners_up)
    return row


def _record(item: NamedMotif, row: dict[str, Any]) -> MotifRecord:
    motif = item.motif
    arrays: dict[str, NDArray[Any]] = {
        "pfm": motif.pfm,
        "cwm": motif.cwm,
        "form": motif.form,
        "coverage": motif.coverage,
        "members/seqlet": motif.members.astype(np.int64),
        "members/offset": motif.offset.astype(np.int16),
        "members/flipped": motif.flipped.astype(np.int8),
        "members/similarity": motif.similarity.astype(np.float32),
    }
    if item.match is not None:
        arrays["target_pfm"] = item.match.pfm
    return MotifRecord(item.name, arrays, {**row, "start": motif.start, "end": motif.end})


def _meme(item: NamedMotif, max_q: float) -> Motif:
    trusted = item.match is not None and item.match.q <= max_q
    alternate = item.match.target if trusted and item.match else ""
    return Motif(name=item.name, pfm=item.motif.core_pfm, alternate=alternate, nsites=len(item.motif.members))
