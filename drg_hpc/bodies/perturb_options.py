"""Options of drg-perturb. Light."""

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
from drg_hpc.genome.motif_formats import MotifFormat


class Options(TrackOptions, RowOptions, EffectModelOptions):  # the last one comes first
    """Options of drg-perturb."""

    motifs: list[str] = flag(
        [], help="motifs to test, by name, and all pairs of them (default: all of a simulation)", metavar="NAME"
    )
    tests: str = flag(
        "presence,order,distance,interaction",
        help="presence: sites of a motif replaced by background; order: two sites exchanged; distance: two sites moved "
        "to random places, left stays left, and as a control (shift) the pair moved as one; interaction: both motifs "
        "replaced, against the sum of replacing each",
        metavar="A,B",
    )
    num_perturbs: int = flag(5, help="random copies of a sequence for each test", metavar="N", ge=1, le=1000)
    background_dist: list[str | float] = flag(
        [], help="what replaces a site: frequencies of A, C, G, T, or dinuc:FASTA, base given base as in those "
        "sequences (default: as simulated, else 0.25 each)", metavar="P",
    )  # fmt: skip
    sites: str | None = flag(
        None,
        help="where the motifs are: simulation, what drg-simulate wrote beside its store; scan, hits of --motif-db; a "
        "BED file with names of motifs in column 4; or a folder of drg-motifs --effects (default: simulation)",
        metavar="SOURCE",
    )
    motif_db: Path | None = flag(
        None, help="motifs to scan for: MEME, JASPAR, TRANSFAC, ENCODE, HOCOMOCO; plain or gzip", metavar="FILE"
    )
    motif_format: MotifFormat = flag("auto", help="its format, where the file does not show it")
    max_p: float = flag(1e-4, help="largest p-value of a hit (FIMO's)", metavar="P", gt=0, le=1)
    scan_strands: Literal["both", "forward"] = flag("both", help="scan both strands, or the sequence as it is")
    min_dist: int | None = flag(
        None, help="with --max-dist: gaps from N to M bases are those of the rule, which a moved pair does not get "
        "(default: those of a simulation of --gen-type distance, for its pair)", metavar="N", ge=0,
    )  # fmt: skip
    max_dist: int | None = flag(None, help="see --min-dist", metavar="M", ge=0)
    effects: str | None = flag(
        None,
        help="loss, of yes-or-no labels: negative, what was perturbed matters; logit, its change with the sign of the "
        "label; value, the change of what --tracks, --transform and --scale ask for (default: loss,logit where there "
        "are labels and the model gives logits, else value)",
        metavar="A,B",
    )
    batch_size: int | None = flag(None, help=BATCH_SIZE_HELP, metavar="N")
    transform: str | None = transform_flag("test")
    scale: Literal["link", "output"] | None = scale_flag(VALUES_HELP)
