"""drg-folds: deal chromosomes into sets of about equal rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from drg_hpc.cli.common import Result, run_command
from drg_hpc.config import Options, flag, positional
from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import write_atomic
from drg_hpc.genome.folds import FoldNames, deal_contigs, fold_text, names_by_contig
from drg_hpc.genome.region_files import ANNOTATIONS, Format, Reading, format_of, read_regions
from drg_hpc.genome.selection import Selection, parse_conditions

_SHOWN = 10
SUMMARY = (
    "Deal the chromosomes of a region file into sets of about equal rows, for --split-file. Set I validates, set I+1 "
    "tests, the others train."
)


class FoldsOptions(Options):
    """Options of drg-folds."""

    regions: Path = positional(
        help="BED, narrowPeak, broadPeak, GTF, GFF3, or a table with the columns chrom, start, end and name",
        metavar="BED|GTF",
    )
    out: Path = flag(help="fold file to write, in DRG's format", metavar="FILE", short="-o")
    folds: int = flag(10, help="number of sets", metavar="K", ge=3)
    exclude: str | None = flag(
        None, help="contigs whose rows are in no set, comma-separated; drg-shard excludes them", metavar="chrX,chrY"
    )
    seed: int = flag(0, help="seed of the search for even sets", metavar="N", ge=0)
    feature: str | None = flag(
        None,
        help="rows of a GTF or GFF3: gene, transcript, exon or another type (default: gene)",
        metavar="TYPE",
    )
    name_by: str | None = flag(
        None,
        help="attribute of a GTF or GFF3 that names the rows (default: gene_id of genes, transcript_id of transcripts)",
        metavar="KEY",
    )
    select: list[str] = flag(
        [], help="only rows for which each KEY has one of the values, as in drg-shard regions", metavar="KEY=VALUE"
    )
    one_based: bool = flag(False, help="starts in BED files and tables count from 1")
    format: Format | None = flag(None, help="format of the file (default: by the extension)")


def _read(options: FoldsOptions) -> FoldNames:
    form = options.format or format_of(options.regions)
    for name, value in (("--feature", options.feature), ("--name-by", options.name_by)):
        if value is not None and form not in ANNOTATIONS:
            raise UsageError(f"{name} {value}: only GTF and GFF3 files have features", fix=f"leave {name} out")
    reading = Reading(form, one_based=options.one_based, feature=options.feature or "gene", name_by=options.name_by)
    selection = Selection(parse_conditions(options.select)) if options.select else None
    exclude = [name.strip() for name in (options.exclude or "").split(",") if name.strip()]
    return names_by_contig(read_regions(options.regions, reading, selection), path=options.regions, exclude=exclude)


def _table(found: FoldNames, sets: Mapping[str, int], count: int) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = [{"set": i, "rows": 0, "names": 0, "contigs": []} for i in range(count)]
    for contig, number in sets.items():
        table[number]["rows"] += found.rows[contig]
        table[number]["names"] += len(found.names[contig])
        table[number]["contigs"].append(contig)
    return table


def _shown(contigs: list[str]) -> str:
    more = len(contigs) - _SHOWN
    return ", ".join(contigs[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _refuse(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path} exists; nothing is overwritten", fix="choose another -o")
    if not path.parent.is_dir():
        raise InputError(f"no such folder: {path.parent}", fix="make it, or choose another -o")


def _action(options: FoldsOptions) -> Result:
    _refuse(options.out)
    found = _read(options)
    sets = deal_contigs(found.rows, options.folds, seed=options.seed)
    table = _table(found, sets, options.folds)
    total, sizes = sum(found.rows.values()), [row["rows"] for row in table]
    deviation = sum(abs(size - total / options.folds) for size in sizes) / total
    _refuse(options.out)
    write_atomic(options.out, fold_text(found.names, sets, options.folds))
    lines = [f"set {row['set']}: {row['rows']} rows, {_shown(row['contigs'])}" for row in table]
    lines += [f"in no set, so excluded: {rows} rows, {name}" for name, rows in sorted(found.excluded.items())]
    return {
        "message": f"folds: {options.out}, {options.folds} sets of {min(sizes)} to {max(sizes)} rows, on average "
        f"{100 * deviation:.2g} % from even",
        "out": str(options.out),
        "sets": table,
        "excluded": dict(found.excluded),
        "deviation": deviation,
        "lines": lines,
    }


def main() -> NoReturn:
    """drg-folds."""
    run_command(prog="drg-folds", summary=SUMMARY, options=FoldsOptions, action=_action)
