"""Options of drg-motifs; light, so that ``--help`` needs nothing but pydantic."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from drg_hpc.config import Options, changed, flag, positional
from drg_hpc.errors import UsageError

SUMMARY = "Cluster seqlets into motifs, average them, and name them by a motif database."

EPILOG = """\
Comparing seqlets is shared out to worker processes, or to the tasks of one srun: rank 0 schedules, rank 1 reads the
results and writes the folder, the others work (three tasks at least). A worker that dies is made up for by the others
if srun lets it, and all files but done.json are the same, byte for byte, for any number of workers of one kind of
CPU:

  srun -N2 -n6 --kill-on-bad-exit=0 drg-motifs seqlets --scheduler slurm --database motifs.meme -o motifs
"""


class MotifsOptions(Options):
    """Options of drg-motifs."""

    seqlets: Path = positional(help="seqlet run, or its out.h5", metavar="SEQLETS")
    method: Literal["linkage", "leiden", "modisco"] = flag(
        "linkage",
        help="first groups: linkage of a sample; leiden (an extra): communities of nearest neighbours; modisco: the "
        "patterns of modisco-lite, where that is installed, in the attributions that the seqlets come from",
    )
    linkage: Literal["average", "complete", "single"] = flag("average", help="distance of two groups, of linkage")
    neighbours: int = flag(15, help="neighbours of a seqlet, of leiden", ge=2, le=200, metavar="N")
    resolution: float = flag(1.0, help="of leiden; more gives smaller groups", gt=0, metavar="R")
    split_by_effects: float | None = flag(
        None, help="split motifs by 1 - correlation of their seqlets' effects on the tracks, at most D", gt=0, le=2,
        metavar="D",
    )  # fmt: skip
    database: tuple[Path, ...] = flag((), help="motif databases in MEME format, to name the motifs", metavar="MEME")
    min_seqlets: int = flag(20, help="seqlets of a motif, at least", ge=2, metavar="N")
    max_seqlets: int = flag(
        3000,
        help="seqlets per sign that linkage sees: all up to N, else the strongest half and a draw; modisco's -n",
        ge=10,
        le=20_000,
        metavar="N",
    )
    by_chance: float = flag(
        0.05,
        help="share of a motif's seqlets that windows of shuffled letters would be, at most",
        gt=0,
        lt=1,
        metavar="F",
    )
    similarity: float | None = flag(
        None,
        help="cut of the tree and least similarity of a seqlet to its motif (default: from shuffled windows)",
        gt=0,
        lt=1,
        metavar="S",
    )
    merge: float = flag(
        0.9,
        help="motifs at least this similar become one, as do those whose seqlets often pass as each other's",
        gt=0,
        le=1,
        metavar="S",
    )
    metric: Literal["cosine", "pearson"] = flag("cosine", help="similarity of two windows")
    min_overlap: int = flag(15, help="shared bases of two windows, at least", ge=4, metavar="N")
    trim: float = flag(
        0.2, help="cut flanks whose contribution is below this share of the largest", ge=0, lt=1, metavar="F"
    )
    min_positions: int = flag(
        4,
        help="positions with half a bit or more that a motif has, at least; groups of chance seqlets have one or two",
        ge=1,
        metavar="N",
    )
    min_information: float = flag(
        0.6, help="least mean information of a motif's best six positions, in bits", ge=0, le=2, metavar="BITS"
    )
    max_q: float = flag(0.05, help="largest q value at which a match names a motif", gt=0, le=1, metavar="Q")
    seed: int = flag(0, help="seed of the draw of seqlets", ge=0, metavar="N")
    device: Literal["cpu", "cuda"] = flag("cpu", help="where all pairs of windows are compared")
    threads: int = flag(1, help="threads of the database search; the result does not depend on it", ge=1, metavar="N")
    out: Path = flag(help="folder to write", metavar="DIR", short="-o")


_OTHERS: dict[str, tuple[str, ...]] = {
    "linkage": ("neighbours", "resolution"),
    "leiden": ("linkage", "max_seqlets"),
    "modisco": (
        "linkage", "neighbours", "resolution", "split_by_effects", "by_chance", "similarity", "merge", "metric",
        "min_overlap", "min_positions", "min_information", "seed", "device",
    ),
}  # fmt: skip


def check_method(options: MotifsOptions) -> None:
    """Refuse flags of other methods.

    Raises
    ------
    UsageError : naming the flags, or two that exclude each other
    """
    if options.similarity is not None and changed(options, ("by_chance",)):
        raise UsageError("--by-chance with --similarity, which replaces it", fix="leave one out")
    given = changed(options, _OTHERS[options.method])
    if given:
        words = ", ".join("--" + name.replace("_", "-") for name in given)
        raise UsageError(f"{words} with --method {options.method}", fix="leave out, or choose another method")
