"""Options of drg-attr."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from drg_hpc.attribution.catalogue import Output
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
Method = Literal[
    "gradient", "inputxgradient", "tism", "integrated-gradients", "expected-gradients", "smoothgrad",
    "smoothgrad-gaussian", "deeplift", "deepshap", "attention",
]  # fmt: skip


class ModelOptions(FanoutOptions):
    """The model."""

    model: Path = positional(
        help="model folder; of several separated by commas, or a run of drg-train with several: the mean over models "
        "and its standard deviation",
        metavar="MODEL[,MODEL…]",
    )


class MethodOptions(FanoutOptions):
    """How importance is computed."""

    group = "method"

    method: Method = flag(
        "gradient",
        help="gradient; inputxgradient; tism (Taylor estimate of mutagenesis); integrated-gradients; "
        "expected-gradients; smoothgrad (mean gradient over copies with random substitutions), smoothgrad-gaussian "
        "(over copies with noise, which are no sequences); deeplift (one reference), deepshap (many); attention (the "
        "weights of attention layers)",
    )
    output: Output | None = flag(
        None,
        help="form (default: corrected for gradients, raw for tism, hypothetical for deeplift, deepshap and "
        "expected-gradients, global for the others)",
    )
    references: str | None = flag(
        None,
        help="references (default: dinuc:20 for deepshap and expected-gradients, zero for integrated-gradients, else "
        "uniform); euler is another name of dinuc, shuffles drawn uniformly; dinuc-compat draws tangermeme's",
        metavar="zero|uniform|freq:a,c,g,t|dinuc:N|dinuc-compat:N|euler:N|FILE",
    )
    base_freqs: str | None = flag(
        None,
        help="base frequencies of the hypothetical form (default: relative to the references, or uniform where there "
        "are none)",
        metavar="a,c,g,t",
    )
    samples: int | None = flag(None, help="copies of each sequence for smoothgrad (default: 16)", metavar="N", ge=1)
    sample_level: float | None = flag(
        None,
        help="smoothgrad: share of bases that a copy keeps (default: 0.9); smoothgrad-gaussian: standard deviation "
        "(default: 0.1)",
        metavar="X",
    )
    block: str | None = flag(None, help="attention layer, by number from 0 (default: all)", metavar="N|all")
    max_size: float | None = flag(
        None, help="refuse attention weights beyond this many GB before compression (default: 100)", metavar="GB", gt=0
    )


class Options(GeneOptions, MethodOptions, RowOptions, ModelOptions):  # the last one comes first
    """Options of drg-attr."""

    tracks: str = flag("all", help="all, or names and group:NAME (the mean of a group), separated by commas",
                       metavar="A,B")  # fmt: skip
    groups: Path | None = flag(
        None, help="table of track and group for group:NAME (default: the model's modalities)", metavar="FILE"
    )
    transform: str | None = flag(None, help=TRANSFORM_HELP, metavar="NAME:…")
    scale: Literal["link", "output"] | None = flag(
        None, help="attribute logits and log rates, or what they become (default: link; ratios: output)"
    )
    rc_average: bool = flag(False, help="mean over both strands; stranded tracks by their partner, bins turned")
    shifts: str | None = flag(
        None, help="mean over these shifts in bases, to the right where positive; bases that come in are unknown",
        metavar="A,B",
    )  # fmt: skip
    batch_size: int | None = flag(
        None, help="rows of a pass: 1, 2, 4, … 64 (default: what memory and caches are good for)", metavar="N"
    )
    store_dtype: Literal["float16", "float32"] = flag("float16", help="precision of stored attributions")
    keep: Literal["projected", "hypothetical"] = flag(
        "projected", help="store the attribution of the bases that are there, or also the form of all four bases"
    )
    top: int = flag(0, help="store only the K strongest positions of each row and track", metavar="K", ge=0)
    export: str | None = flag(
        None,
        help="also write: bigwig, bed, modisco, finemo, drg (several by commas; beside out.h5, in export/)",
        metavar="KIND,KIND",
    )
