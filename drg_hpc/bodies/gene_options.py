"""Flags of the gene statistics, and what they say that a plan keeps. Light."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from drg_hpc.attribution.gene_words import Counts, GeneStat, Junction, Order
from drg_hpc.config import Options, changed, flag
from drg_hpc.errors import UsageError

GENES_HELP = "only these, by name or id (with or without version), or a file with one per line (default: all)"
_AROUND: dict[GeneStat, Counts] = {"expression": (0, 0), "polya": (128, 160), "splice": (96, 96)}
_ORDERS: tuple[Order, ...] = ("old", "new", "none")


class CoverageOptions(Options):
    """How Borzoi's transforms of tracks are undone."""

    group = "gene statistics"

    targets: Path | None = flag(
        None, help="Borzoi's targets table, with scale, exponent (by sum_stat) and soft clip of each track to undo",
        metavar="TSV",
    )  # fmt: skip
    track_scale: float | None = flag(None, help="scale to undo, of all tracks", metavar="S", gt=0)
    track_transform: float | None = flag(
        None, help="exponent to undo, of all tracks: 0.75, 0.5, …", metavar="T", gt=0, le=1
    )
    clip_soft: float | None = flag(None, help="soft clip to undo, of all tracks", metavar="C", gt=0)
    untransform_old: bool = flag(False, help="undo in the order of the published Borzoi weights: scale, clip, exponent")
    untransform_new: bool = flag(
        False, help="undo in the new order: clip, exponent, scale (default with --targets or one of the three above)"
    )
    untransform_none: bool = flag(False, help="take the model's output as it is (default without them)")


class GeneOptions(CoverageOptions):
    """Attribute statistics of genes instead of tracks."""

    group = "gene statistics"

    gtf: Path | None = flag(
        None, help="a row per gene of this GTF or GFF3 (also .gz), with a window of the model's length from --genome",
        metavar="GTF",
    )  # fmt: skip
    genes: str | None = flag(None, help=GENES_HELP, metavar="A,B|FILE")
    transcripts: list[str] = flag(
        [], help="only transcripts for which KEY has one of the values, such as tag=basic or biotype=protein_coding",
        metavar="KEY=VALUE[,VALUE]",
    )  # fmt: skip
    statistic: GeneStat | None = flag(
        None,
        help="expression: log of the coverage summed over all exons; polya: log ratio of mean coverage before and "
        "behind the gene's own cleavage site; splice: log ratio of an exon and its introns (default: expression)",
    )
    span: bool = flag(False, help="expression of the whole gene, from its first to its last exon")
    exon: str | None = flag(
        None,
        help="of splice: N, counted from the 5' end of the gene's transcript (MANE Select, else canonical, else "
        "longest), TRANSCRIPT:N, an exon_id, or chrom:start-end (0-based), several separated by commas; all: a row per "
        "exon; random:SEED: one per gene",
        metavar="ID|N|chr:a-b|all|random:SEED",
    )
    junction: Junction | None = flag(
        None,
        help="of splice: compare the bases on both sides of the exon's 5' end (acceptor), 3' end (donor) or both "
        "(default: the whole exon with both introns)",
    )
    polya_sites: Path | None = flag(
        None,
        help="of polya: sites of PolyA_DB (a table) or a BED file (default: the transcript end farthest downstream)",
        metavar="FILE",
    )
    site: str | None = flag(
        None, help="of polya: distal, proximal, or the id of a site (default: distal)", metavar="distal|proximal|ID"
    )
    around: str | None = flag(
        None, help="bases compared on the covered and on the other side of a site (default: 128,160) or junction "
        "(default: 96,96)", metavar="A,B",
    )  # fmt: skip
    centre: Literal["exons", "gene", "tss", "feature"] | None = flag(
        None,
        help="the middle of the window: mean position of the gene's exons (default), middle of the gene, its 5' end, "
        "or the exon or site itself",
    )
    pseudo: float = flag(0.0, help="pseudo count of the sum, or of both sides of a ratio", metavar="P", ge=0)
    each_track: bool = flag(
        False, help="a value per track or pair of tracks (default: the mean of all --tracks of the gene's strand)"
    )
    compat: bool = flag(
        False, help="windows, bins and formulas as Borzoi's scripts have them (whole bins, other ones on + than on -)"
    )
    strict: bool = flag(
        False, help="a gene whose feature is missing or not wholly inside the bins is an error (otherwise kept=false, "
        "or counted in part)",
    )  # fmt: skip


def uses_genes(options: GeneOptions) -> bool:
    """Whether --gtf is given.

    Raises
    ------
    UsageError : it is not, but another flag of this group is
    """
    if options.gtf is not None:
        return True
    if own := changed(options, GeneOptions.model_fields):
        raise UsageError(f"--{own[0].replace('_', '-')} needs --gtf")
    return False


def gene_settings(options: GeneOptions) -> dict[str, Any]:
    """What determines windows, bins and formula: plain JSON values.

    Raises
    ------
    UsageError : flags that clash
    """
    statistic: GeneStat = options.statistic or "expression"
    _check(options, statistic)
    return {
        "statistic": statistic,
        "span": options.span,
        "exon": options.exon,
        "junction": options.junction,
        "site": options.site or "distal",
        "around": list(_around(options, statistic)),
        "centre": options.centre or "exons",
        "compat": options.compat,
        "pseudo": options.pseudo,
        "order": coverage_order(options),
    }


def _check(options: GeneOptions, statistic: GeneStat) -> None:
    """Flags that another statistic has, and what compat does not have."""
    own = {"span": "expression", "exon": "splice", "junction": "splice", "polya_sites": "polya", "site": "polya"}
    for name, of in own.items():
        if getattr(options, name) and statistic != of:
            raise UsageError(f"--{name.replace('_', '-')} belongs to --statistic {of}, not to {statistic}")
    if statistic == "splice" and options.exon is None:
        raise UsageError(
            "--statistic splice: of which exon?", fix="--exon N, an exon's id, chr:a-b, all or random:SEED"
        )
    local = statistic == "polya" or options.junction is not None
    if options.around is not None and not local:
        raise UsageError(f"--around {options.around}: only polya and --junction compare bases beside a place")
    if options.site not in (None, "distal", "proximal") and options.polya_sites is None:
        raise UsageError(f"--site {options.site} needs --polya-sites")
    if not options.compat:
        return
    if statistic == "splice" and options.junction is None:
        raise UsageError("--compat: Borzoi's scripts compare bins at a junction", fix="--junction acceptor or donor")
    for name in ("around", "centre"):
        if getattr(options, name) is not None:
            raise UsageError(f"--{name} with --compat, which has its own", fix=f"leave --{name} out")


def _around(options: GeneOptions, statistic: GeneStat) -> Counts:
    if options.around is None:
        return _AROUND[statistic]
    parts = options.around.split(",")
    if len(parts) != 2 or not all(part.strip().isdigit() and int(part) for part in parts):
        raise UsageError(f"--around {options.around!r}: two numbers of bases above 0 are needed, such as 128,160")
    return int(parts[0]), int(parts[1])


def coverage_order(options: CoverageOptions) -> Order:
    """The order in which transforms are undone.

    Raises
    ------
    UsageError : flags that clash
    """
    given = [order for order in _ORDERS if getattr(options, f"untransform_{order}")]
    if len(given) > 1:
        raise UsageError(f"--untransform-{given[0]} and --untransform-{given[1]}", fix="give one of them")
    settings = ("targets", "track_scale", "track_transform", "clip_soft")
    known = next((name for name in settings if getattr(options, name) is not None), None)
    if not given:
        return "new" if known else "none"
    if given[0] == "none" and known:
        raise UsageError(f"--untransform-none with --{known.replace('_', '-')}, which says what to undo",
                         fix="leave one of them out")  # fmt: skip
    if given[0] != "none" and not known:
        raise UsageError(f"--untransform-{given[0]}: what is there to undo?",
                         fix="give --targets, or --track-scale, --track-transform, --clip-soft")  # fmt: skip
    return given[0]
