"""Options of drg-kernels. Light."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from drg_hpc.bodies.row_options import RowOptions
from drg_hpc.config import flag, positional


class Options(RowOptions):
    """Options of drg-kernels."""

    model: Path = positional(
        help="model folder; several separated by commas, or a run of drg-train with several, are replicates, whose "
        "kernels are clustered together",
        metavar="MODEL[,MODEL…]",
    )
    tracks: str = flag("all", help="all, or names separated by commas", metavar="A,B")
    scale: Literal["link", "output"] = flag("output", help="effects on logits and log rates, or on what they become")
    nullify: Literal["mean", "median", "zero"] = flag(
        "mean", help="what takes the place of a kernel's w.x + b: its mean or median over k-mers, or zero"
    )
    nullify_on: Literal["random", "data"] = flag(
        "random", help="mean and median over random k-mers, or over all k-mers of the rows"
    )
    kmers: Literal["random", "data"] = flag("random", help="k-mers that the motifs are made of: random, or of the rows")
    n_kmers: int = flag(200_000, help="random k-mers", ge=100, le=10_000_000, metavar="N")
    kmer_strands: Literal["both", "forward"] = flag(
        "both", help="k-mers with their reverse complements, or as they are (as DRG does)"
    )
    unique: bool = flag(False, help="count each k-mer of a motif once, however often it occurs")
    activated: Literal["none", "exp", "model"] = flag(
        "none", help="activation of w.x + b before k-mers are chosen and weighted: exp, or the model's own"
    )
    cutoff: float = flag(
        1.64, help="k-mers of a motif: activation this many standard deviations above the mean", ge=0, metavar="SD"
    )
    max_activation: float | None = flag(
        None, help="instead of --cutoff: this share of the way from the least activation to the largest", gt=0, lt=1,
        metavar="F",
    )  # fmt: skip
    classes: Path | None = flag(
        None, help="table of track and class, for the correlation over the tracks of each class (default: the model's "
        "modalities, or all tracks)", metavar="TSV",
    )  # fmt: skip
    min_correlation: float = flag(
        0.3, help="rows count in it whose prediction correlates at least this well", ge=-1, le=1, metavar="R"
    )
    per_row: bool = flag(
        False, help="also write kernattperpnt.h5, the loss of that correlation by row, class of tracks and kernel"
    )
    region_classes: Path | None = flag(
        None, help="table of region name and class, for effects by class of regions", metavar="TSV"
    )
    linkage: Literal["complete", "average", "single"] = flag("complete", help="of the clustering of motifs")
    metric: Literal["correlation", "cosine", "mse", "correlation_pvalue", "jaccard"] = flag(
        "correlation", help="distance of two motifs, of their information over the union: 1 - Pearson, 1 - cosine, "
        "mean squared difference, p-value of Pearson, or 1 - continuous Jaccard"
    )  # fmt: skip
    distance: float | None = flag(
        None, help="cut of its tree (default: 0.3 of correlation, 0.05 of correlation_pvalue, as DRG)", gt=0,
        metavar="D",
    )  # fmt: skip
    split_distance: float = flag(
        0.7, help="clusters are divided until effects over tracks are within this, 1 - Pearson; 2: never", gt=0, le=2,
        metavar="D",
    )  # fmt: skip
    database: tuple[Path, ...] = flag((), help="motif databases in MEME format, to name the motifs", metavar="MEME")
    max_q: float = flag(0.05, help="largest q value at which a match names a motif", gt=0, le=1, metavar="Q")
