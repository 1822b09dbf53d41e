"""Options of drg-variants."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from drg_hpc.bodies.gene_options import GENES_HELP, CoverageOptions
from drg_hpc.bodies.value_options import BATCH_SIZE_HELP, EffectModelOptions, TrackOptions, scale_flag, transform_flag
from drg_hpc.config import flag


class VariantGeneOptions(CoverageOptions):
    """Log fold changes of genes."""

    group = "gene statistics"

    gtf: Path | None = flag(
        None,
        help="also score the genes of this GTF or GFF3 (also .gz) near each allele: SED and logSED of the sums "
        "over the bins of their exons",
        metavar="GTF",
    )
    genes: str | None = flag(None, help=GENES_HELP, metavar="A,B|FILE")
    transcripts: list[str] = flag(
        [], help="only exons of transcripts for which KEY has one of the values, such as tag=basic",
        metavar="KEY=VALUE[,VALUE]",
    )  # fmt: skip
    span: bool = flag(False, help="sums over whole genes, from their first to their last exon")
    gene_pseudo: float = flag(1.0, help="added to both sums of logSED", metavar="P", gt=0)


class VariantOptions(VariantGeneOptions, EffectModelOptions):  # the last one comes first
    """Which alleles are scored, and how."""

    vcf: Path = flag(help="VCF, plain, gzip or bgzip; every alternative allele is a row", metavar="VCF")
    genome: Path = flag(help="genome store made by drg-shard genome", metavar="STORE")
    limit: int | None = flag(None, help="only the first N alleles", metavar="N", ge=1)
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
    batch_size: int | None = flag(None, help=BATCH_SIZE_HELP, metavar="N")
    format: Literal["both", "h5"] = flag("both", help="out.h5 and out.tsv, or out.h5 alone")


class ComparedOptions(TrackOptions):
    """Which values are compared."""

    transform: str | None = transform_flag("score")
    scale: Literal["link", "output"] | None = scale_flag("of the values that are compared")


class Options(VariantOptions, ComparedOptions):
    """Options of drg-variants."""
