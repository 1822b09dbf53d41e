"""Flags that say which rows a run over a model works on. Light."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from drg_hpc.config import FanoutOptions, flag, positional
from drg_hpc.errors import UsageError

if TYPE_CHECKING:
    from drg_hpc.bodies.where_rows import Where

ROWS = "sequences"
"""Key of the input of a plan that the rows' sequences are read from."""
WHERE_HELP = (
    'only rows for which this holds: columns of --evaluation (such as pearson, "jsd:class:blood", max_target) or of '
    "the input (chrom, start, end, name; of a store also max_target, mean_target), compared with numbers, texts in "
    "quotes, or quantiles of the column over all rows (q90); with and, or, not, parentheses"
)


class RowOptions(FanoutOptions):
    """Which rows."""

    group = "rows"

    input: Path | None = positional(
        None, help="dataset store (RUN or store), or FASTA with sequences of the model's length; or --regions"
    )
    split: str | None = flag(
        None, help="rows of a store: train, valid, test, excluded, all or fold:I (default: test, or what --evaluation "
        "is of)",
    )  # fmt: skip
    limit: int | None = flag(None, help="only the first N of these rows", metavar="N", ge=1)
    where: str | None = flag(None, help=WHERE_HELP, metavar="EXPR")
    evaluation: Path | None = flag(
        None,
        help="folder of drg-evaluate over these rows, or a TSV with a column row (of FASTA and BED also name): the "
        "rows and columns for --where",
        metavar="DIR|TSV",
    )
    regions: str | None = flag(
        None,
        help="instead of an input: windows of the model's length around the centre of each region of a BED, GTF or "
        "table, around the summit of narrowPeak, from --genome; N beyond the ends of contigs. For a model of several "
        "inputs NAME=FILE of each, separated by commas, and joined by name",
        metavar="BED",
    )
    genome: Path | None = flag(None, help="genome store made by drg-shard genome", metavar="STORE")
    stranded: bool = flag(False, help="--regions on - are reverse-complemented")


def where_of(options: RowOptions) -> Where | None:
    """What --where and --evaluation ask for.

    Raises
    ------
    UsageError : no condition, or an evaluation without one
    """
    from drg_hpc.bodies.where_rows import Where

    if options.where is None:
        if options.evaluation is not None:
            raise UsageError("--evaluation without --where", fix="give a condition, such as --where 'pearson>0.5'")
        return None
    return Where(options.where, options.evaluation, options.limit)


def require_rows_of_one(options: RowOptions) -> None:
    """Refuse flags of another input than the one there is.

    Raises
    ------
    UsageError : no input or two, or flags that have no effect on it
    """
    if options.regions is not None:
        if options.input is not None:
            raise UsageError(f"{options.input} and --regions: rows are of one", fix="leave one of them out")
        if options.genome is None:
            raise UsageError("--regions needs --genome, the store that their sequences are read from")
        if options.split is not None:
            raise UsageError(f"--split {options.split}: regions of a file have no splits", fix="leave --split out")
        return
    if options.input is None:
        raise UsageError("no input", fix="give a dataset store, a FASTA, or --regions BED --genome STORE")
    if options.genome is not None:
        raise UsageError("--genome without --regions", fix=f"{options.input} has its own sequences; leave it out")
    if options.stranded:
        raise UsageError("--stranded without --regions", fix="sequences of a store or FASTA are as they are there")
