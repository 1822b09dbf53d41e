"""Options that say which values of which models are explained, shared by drg-attr and drg-ism."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from drg_hpc.bodies.gene_options import GeneOptions
from drg_hpc.bodies.row_options import RowOptions
from drg_hpc.config import FanoutOptions, flag, positional

TRANSFORM_HELP = (
    "attribute a function of the tracks instead of each: aggregate[:tracks=A,B][:except=A][:bins=0-4,8]"
    "[:over-bins=sum|mean|min|max|none][:over-tracks=sum|mean|min|max|none][:weight=W]; "
    "specificity:on=A,B[:off=C][:on-fn=mean][:off-fn=mean][:off-weight=1][:off-threshold=T]"
    "[:compare=divide|subtract|log2fc][:bins=…][:over-bins=sum]; profile-shape[:tracks=A,B][:bins=…][:joint=yes]; or "
    "package.module:factory[:key=value][:values=NAME,NAME]. name=TEXT names the one value of the first three"
)
RC_AVERAGE_HELP = "mean over both strands; stranded tracks by their partner, bins turned"
SHIFTS_HELP = "mean over these shifts in bases, to the right where positive; bases that come in are unknown"
BATCH_SIZE_HELP = "rows of a pass: 1, 2, 4, … 64 (default: what memory and caches are good for)"


class ModelOptions(FanoutOptions):
    """The model."""

    model: Path = positional(
        help="model folder; of several separated by commas, or a run of drg-train with several: the mean over models "
        "and its standard deviation",
        metavar="MODEL[,MODEL…]",
    )


class ValueOptions(GeneOptions, RowOptions, ModelOptions):  # the last one comes first
    """Which values of the model's output, on which scale, as the mean of what, and how they are stored."""

    tracks: str = flag("all", help="all, or names and group:NAME (the mean of a group), separated by commas",
                       metavar="A,B")  # fmt: skip
    groups: Path | None = flag(
        None, help="table of track and group for group:NAME (default: the model's modalities)", metavar="FILE"
    )
    transform: str | None = flag(None, help=TRANSFORM_HELP, metavar="NAME:…")
    scale: Literal["link", "output"] | None = flag(
        None, help="attribute logits and log rates, or what they become (default: link; ratios: output)"
    )
    rc_average: bool = flag(False, help=RC_AVERAGE_HELP)
    shifts: str | None = flag(None, help=SHIFTS_HELP, metavar="A,B")
    batch_size: int | None = flag(None, help=BATCH_SIZE_HELP, metavar="N")
    store_dtype: Literal["float16", "float32"] = flag("float16", help="precision of stored attributions")
    export: str | None = flag(
        None,
        help="also write: bigwig, bed, modisco, finemo, drg (several by commas; beside out.h5, in export/)",
        metavar="KIND,KIND",
    )
