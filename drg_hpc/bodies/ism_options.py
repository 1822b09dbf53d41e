"""Options of drg-ism."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from drg_hpc.bodies.value_options import ValueOptions
from drg_hpc.config import flag

EDITS_HELP = (
    "what is done at every position, several separated by commas: substitutions (every other base); deletions:S (S "
    "bases taken out); insertions:S (random bases) or insertions:ACGT (these); windows of K bases replaced by shuffles "
    "of them (windows:K:shuffle[:R], or dinuc, which keeps neighbouring pairs; the mean over R of them, 10 unless "
    "said), by unknown bases (windows:K:n), or by a motif (windows:motif:TGACTCA); windows:K/S:… at every S-th position"
)


class MutationOptions(ValueOptions):
    """What is mutated, and what is made of the predictions."""

    group = "mutagenesis"

    start: int | None = flag(None, help="first position of each sequence, from 0 (default: 0)", metavar="N", ge=0)
    end: int | None = flag(
        None, help="where positions end; this one is not mutated any more (default: the end of the sequence)",
        metavar="N", ge=1,
    )  # fmt: skip
    positions: Path | None = flag(
        None, help="only bases inside these intervals of the genome; rows that have no coordinates are refused",
        metavar="BED",
    )  # fmt: skip
    mutate: str | None = flag(
        None,
        help="of a model that takes several sequences, those to mutate (default: all of them)",
        metavar="NAME,NAME",
    )
    edits: str = flag("substitutions", help=EDITS_HELP, metavar="EDIT,EDIT")
    compare: str = flag(
        "subtract",
        help="value of a mutant m and its sequence r: subtract, m - r; divide, (m + pseudo) / (r + pseudo); log2fc, "
        "the log2 of that; none, m; or a function of yours of both as arrays, (mutants, values) and (values,)",
        metavar="subtract|divide|log2fc|none|package.module:function",
    )
    pseudo: float = flag(
        0.0, help="of ratios: added to both before they are divided; with --gtf: to the sum, or both sides of a ratio",
        metavar="P", ge=0,
    )  # fmt: skip
    projection: Literal["mean-effect", "centred", "hypothetical"] = flag(
        "mean-effect",
        help="what the bases that are there get: mean-effect, minus the mean of the three substitutions; centred, "
        "minus the mean over all four bases, the one that is there counted as no change; hypothetical, the same "
        "weighted by --base-freqs",
    )
    base_freqs: str | None = flag(
        None, help="base frequencies of the hypothetical projection (default: all alike)", metavar="a,c,g,t"
    )
    screen: str | None = flag(
        None,
        help="mutate only the K positions of each row with the largest mean effect by TISM, an estimate "
        "from one gradient a sequence and value; the others count as not mutated",
        metavar="tism:K",
    )
    engine: Literal["auto", "incremental", "full"] = flag(
        "auto",
        help="incremental: compute only what a mutation can change; full: every mutant through the whole model; auto: "
        "incremental where the model allows it and a check against full agrees",
    )
    batch_size: int | None = flag(
        None,
        help="mutants of a pass through the whole model (default: what memory and caches are good for)",
        metavar="N", ge=1, le=4096,
    )  # fmt: skip


class Options(MutationOptions):
    """Options of drg-ism."""

    format: Literal["h5", "tsv"] = flag(
        "h5",
        help="out.h5, or for a single row and value out.tsv: a line each of A, C, G, T, a column each position, headed "
        "by the base that is there",
    )
