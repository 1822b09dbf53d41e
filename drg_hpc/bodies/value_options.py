"""Options that say which values of which models are explained, shared by commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from drg_hpc.bodies.gene_options import GeneOptions
from drg_hpc.bodies.row_options import RowOptions
from drg_hpc.config import FanoutOptions, flag, positional

_MODELS_HELP = "model folder; of several separated by commas, or a run of drg-train with several: "
_TRANSFORM_HELP = (
    " a function of the tracks instead of each: aggregate[:tracks=A,B][:except=A][:bins=0-4,8]"
    "[:over-bins=sum|mean|min|max|none][:over-tracks=sum|mean|min|max|none][:weight=W]; "
    "specificity:on=A,B[:off=C][:on-fn=mean][:off-fn=mean][:off-weight=1][:off-threshold=T]"
    "[:compare=divide|subtract|log2fc][:bins=…][:over-bins=sum]; profile-shape[:tracks=A,B][:bins=…][:joint=yes]; or "
    "package.module:factory[:key=value][:values=NAME,NAME]. name=TEXT names the one value of the first three"
)
VALUES_HELP = "of the values: logits and log rates, or what they become"
BATCH_SIZE_HELP = "rows of a pass: 1, 2, 4, … 64 (default: what memory and caches are good for)"
"""Of commands whose blocks of rows are cut into equal passes. Copies of one row (drg-ism, drg-ablate) are in no blocks:
a pass may have any number of them."""


def transform_flag(verb: str) -> Any:
    """--transform of a command.

    Parameters
    ----------
    verb : what is done to a function of the tracks, as its help begins
    """
    return flag(None, help=f"{verb}{_TRANSFORM_HELP}", metavar="NAME:…")


def scale_flag(what: str) -> Any:
    """--scale of a command.

    Parameters
    ----------
    what : what has a scale, as its help begins
    """
    return flag(None, help=f"{what} (default: link; ratios: output)")


class ModelOptions(FanoutOptions):
    """The model."""

    model: Path = positional(
        help=f"{_MODELS_HELP}the mean over models and its standard deviation", metavar="MODEL[,MODEL…]"
    )


class EffectModelOptions(FanoutOptions):
    """The model, of commands whose results are effects."""

    model: Path = positional(help=f"{_MODELS_HELP}the mean of their effects", metavar="MODEL[,MODEL…]")


class TrackOptions(FanoutOptions):
    """Which values of the model's output, on which scale, as the mean of what."""

    tracks: str = flag("all", help="all, or names and group:NAME (the mean of a group), separated by commas",
                       metavar="A,B")  # fmt: skip
    groups: Path | None = flag(
        None, help="table of track and group for group:NAME (default: the model's modalities)", metavar="FILE"
    )
    transform: str | None = transform_flag("attribute")
    scale: Literal["link", "output"] | None = scale_flag("attribute logits and log rates, or what they become")
    rc_average: bool = flag(False, help="mean over both strands; stranded tracks by their partner, bins turned")
    shifts: str | None = flag(
        None, help="mean over these shifts in bases, to the right where positive; bases that come in are unknown",
        metavar="A,B",
    )  # fmt: skip


class StoreOptions(FanoutOptions):
    """How they are computed and stored."""

    batch_size: int | None = flag(None, help=BATCH_SIZE_HELP, metavar="N")
    store_dtype: Literal["float16", "float32"] = flag("float16", help="precision of stored attributions")
    export: str | None = flag(
        None,
        help="also write: bigwig, bed, modisco, finemo, drg (several by commas; beside out.h5, in export/)",
        metavar="KIND,KIND",
    )


class ValueOptions(TrackOptions, StoreOptions, GeneOptions, RowOptions, ModelOptions):  # the last one comes first
    """Values that are attributed: those of a row's tracks, or statistics of genes."""
