"""Options of drg-ablate. Light."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator

from drg_hpc.bodies.row_options import RowOptions
from drg_hpc.bodies.value_options import VALUES_HELP, ModelOptions, TrackOptions, scale_flag, transform_flag
from drg_hpc.config import flag


class PieceOptions(TrackOptions, RowOptions, ModelOptions):  # the last one comes first
    """Which pieces of which sequences are replaced, and by what."""

    group = "pieces"

    windows: str | None = flag(
        None,
        help="windows of W bases over every sequence, side by side, or one every STEP bases; also what they say of "
        "each position: the mean over the windows that cover it",
        metavar="W[:STEP]",
    )
    start: int | None = flag(None, help="where windows begin, from 0 (default: 0)", metavar="N", ge=0)
    end: int | None = flag(
        None, help="where windows end; this position is in none any more (default: the end of the sequence)",
        metavar="N", ge=1,
    )  # fmt: skip
    spans: Path | None = flag(
        None,
        help="instead of windows: the lines of a BED file that lie within a sequence, on the genome, or with the name "
        "of a sequence in place of the contig; those with a name (column 4) are also summed up by it",
        metavar="BED",
    )
    seqlets: Path | None = flag(
        None,
        help="instead of windows: seqlets of drg-seqlets (RUN or out.h5), or sites of motifs in a folder of drg-motifs "
        "--effects, in sequences of the same names; summed up by track and sign, or by motif",
        metavar="RUN|FOLDER",
    )
    replace: str = flag(
        "mono",
        help="what a piece is replaced by: its bases in random order (mono), a shuffle that keeps the counts of "
        "neighbouring pairs and both ends (dinuc), or bases drawn afresh with these frequencies of A, C, G, T; "
        "unknown bases stay",
        metavar="mono|dinuc|background:a,c,g,t",
    )
    shuffles: int = flag(20, help="random copies for each piece, whose mean counts", metavar="N", ge=1, le=1000)

    @field_validator("windows", mode="before")
    @classmethod
    def _width_as_text(cls, value: Any) -> Any:
        """A whole number of a configuration file."""
        return str(value) if type(value) is int else value


class Options(PieceOptions):
    """Options of drg-ablate."""

    engine: Literal["auto", "incremental", "full"] = flag(
        "auto",
        help="incremental: compute only what a replaced piece can change; full: every copy through the whole model; "
        "auto: incremental where the model allows it and a check against full agrees",
    )
    batch_size: int | None = flag(
        None, help="copies of a pass through the whole model (default: what memory and caches are good for)",
        metavar="N", ge=1, le=4096,
    )  # fmt: skip
    format: Literal["both", "h5"] = flag("both", help="out.h5 and out.tsv, or no out.tsv, which has a line per piece")
    transform: str | None = transform_flag("take")
    scale: Literal["link", "output"] | None = scale_flag(VALUES_HELP)
