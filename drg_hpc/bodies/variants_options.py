"""Options of drg-variants."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from drg_hpc.bodies.value_options import TRANSFORM_HELP, ModelOptions
from drg_hpc.config import flag


class Options(ModelOptions):
    """Options of drg-variants."""

    group = "variants"

    vcf: Path = flag(help="VCF, plain, gzip or bgzip; every alternative allele is a row", metavar="VCF")
    genome: Path = flag(help="genome store made by drg-shard genome", metavar="STORE")
    limit: int | None = flag(None, help="only the first N alleles", metavar="N", ge=1)
    tracks: str = flag("all", help="all, or names and group:NAME (the mean of a group), separated by commas",
                       metavar="A,B")  # fmt: skip
    groups: Path | None = flag(
        None, help="table of track and group for group:NAME (default: the model's modalities)", metavar="FILE"
    )
    transform: str | None = flag(
        None, help=TRANSFORM_HELP.replace("attribute a function", "score a function"), metavar="NAME:…"
    )
    scale: Literal["link", "output"] | None = flag(
        None, help="of the values that are compared (default: link; ratios: output)"
    )
    compare: Literal["subtract", "divide", "log2fc"] = flag(
        "subtract",
        help="effect of an allele, of the values a and r with the alternative and the reference allele: subtract, "
        "a - r; divide, (a + pseudo) / (r + pseudo); log2fc, the log2 of that",
    )
    pseudo: float = flag(0.0, help="of ratios: added to both values", metavar="P", ge=0)
    stats: str | None = flag(
        None,
        help="scores of the bins of each track on the output scale, those of an indel moved back first: SAD, logSAD, "
        "D2, or none (default: all that the tracks have; none with groups or a transform)",
        metavar="NAME,NAME",
    )
    backgrounds: int = flag(
        0, help="also z and p of each effect against those of the same alleles in N dinucleotide shuffles of its "
        "window", metavar="N", ge=0,
    )  # fmt: skip
    rc_average: bool = flag(False, help="mean over both strands; stranded tracks by their partner, bins turned")
    shifts: str | None = flag(
        None, help="mean over these shifts in bases, to the right where positive; bases that come in are unknown",
        metavar="A,B",
    )  # fmt: skip
    batch_size: int | None = flag(
        None, help="rows of a pass: 1, 2, 4, … 64 (default: what memory and caches are good for)", metavar="N"
    )
    format: Literal["both", "h5"] = flag("both", help="out.h5 and out.tsv, or out.h5 alone")
