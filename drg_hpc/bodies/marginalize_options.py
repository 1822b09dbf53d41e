"""Options of drg-marginalize. Light."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from drg_hpc.bodies.row_options import RowOptions
from drg_hpc.bodies.value_options import (
    BATCH_SIZE_HELP,
    VALUES_HELP,
    EffectModelOptions,
    TrackOptions,
    scale_flag,
    transform_flag,
)
from drg_hpc.config import flag
from drg_hpc.experiments.marginal_designs import By
from drg_hpc.genome.motif_formats import MotifFormat


class Options(TrackOptions, RowOptions, EffectModelOptions):  # the last one comes first
    """Options of drg-marginalize."""

    motif_db: list[Path] = flag(
        [], help="motifs to put in: MEME, JASPAR, TRANSFAC, ENCODE or HOCOMOCO files, plain or gzip", metavar="FILE"
    )
    motif_format: MotifFormat = flag("auto", help="their format, where the files do not show it")
    motifs: list[str] = flag([], help="those of them, by name (default: all)", metavar="NAME")
    sequences: list[str] = flag(
        [], help="sequences to put in, as ACGT or NAME=ACGT; N keeps the base of the background", metavar="ACGT"
    )
    sites: Literal["consensus", "sampled"] = flag(
        "consensus",
        help="of a motif: its most probable bases, or for each background a site drawn from its probabilities",
    )
    by: By = flag(
        "motif", help="motif: each alone, in the middle; position: each alone, at --positions; spacing: pairs, with "
        "--spacings between them, the block in the middle",
    )  # fmt: skip
    strands: Literal["forward", "both"] = flag("forward", help="of single sites; both: a line for each")
    positions: str | None = flag(
        None, help="first bases of sites, from 0: numbers and FIRST:END:STEP (END is not among them; without one, as "
        "far as the longest fits)", metavar="A,B|A:B:S",
    )  # fmt: skip
    pairs: list[str] = flag(
        [], help="left, right, left, right, … (default: every two of the motifs and sequences)", metavar="NAME"
    )
    both_orders: bool = flag(False, help="of each pair also the other order")
    spacings: str = flag(
        "0:30:2", help="bases between the end of the left and the start of the right site, as --positions",
        metavar="A,B|A:B:S",
    )  # fmt: skip
    orientations: list[str] = flag(
        [], help="strands of the left and the right site, f forward, r reverse: ff fr rf rr (default: all four); what "
        "comes out has them as ++ +- -+ --", metavar="SS",
    )  # fmt: skip
    backgrounds: int = flag(
        100, help="sequences drawn from the input for backgrounds (all, where it has fewer)", metavar="N", ge=1
    )
    shuffle: Literal["dinuc", "mono", "none"] = flag(
        "dinuc", help="how they become backgrounds: bases in another order with the same pairs of neighbours, in any "
        "order, or as they are",
    )  # fmt: skip
    shuffles: int = flag(1, help="shuffles of each of them, a background each", metavar="N", ge=1)
    background_dist: list[str | float] = flag(
        [], help="without an input, random backgrounds: frequencies of A, C, G, T, or dinuc:FASTA, base given base as "
        "in those sequences", metavar="P",
    )  # fmt: skip
    engine: Literal["auto", "incremental", "full"] = flag(
        "auto", help="incremental: only what an insertion changes is computed; full: every sequence through the whole "
        "model; auto: incremental where that is exact and far less work",
    )  # fmt: skip
    batch_size: int | None = flag(None, help=BATCH_SIZE_HELP, metavar="N")
    keep_effects: bool = flag(False, help="also store the effect on each background")
    format: Literal["both", "h5"] = flag("both", help="out.h5 and out.tsv, or out.h5 alone")
    transform: str | None = transform_flag("the change of")
    scale: Literal["link", "output"] | None = scale_flag(VALUES_HELP)
