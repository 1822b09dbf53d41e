"""BED files (BED3 and more), 0-based half-open. Standard library only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from drg_hpc.errors import InputError
from drg_hpc.genome.fasta import text_lines
from drg_hpc.genome.regions import Region


def read_bed(path: Path) -> Iterator[Region]:
    """Rows of a BED file: columns by tabs or blanks; name (column 4) and strand (column 6) where there are any.

    Comments, ``track`` and ``browser`` lines and empty lines are skipped. A row without a name, or named ``.``,
    is called ``chrom:start-end``.

    Raises
    ------
    InputError : missing or unreadable file, no rows, a faulty row (with its line number)
    """
    rows = 0
    for number, line in text_lines(path):
        if not line.strip() or line.startswith("#") or line.split(maxsplit=1)[0] in ("track", "browser"):
            continue
        rows += 1
        yield _parse(line, path, number)
    if not rows:
        raise InputError(f"no regions in {path}", fix="a BED file has lines of chrom, start, end")


def _parse(line: str, path: Path, number: int) -> Region:
    where = f"{path}: line {number}"
    fields = [field.strip() for field in line.split("\t")] if "\t" in line else line.split()
    if len(fields) < 3:
        raise InputError(f"{where}: {len(fields)} columns, a BED row has at least chrom, start, end")
    chrom = fields[0]
    try:
        start, end = int(fields[1]), int(fields[2])
    except ValueError:
        header = not any(letter.isdigit() for letter in fields[1] + fields[2])
        fix = "remove the header line or begin it with #" if header else ""
        what = f"{where}: start and end must be whole numbers, got {fields[1]!r} {fields[2]!r}"
        raise InputError(what, fix=fix) from None
    if not chrom:
        raise InputError(f"{where}: the contig name is empty")
    if start < 0:
        raise InputError(f"{where}: negative start {start}")
    if end <= start:
        raise InputError(f"{where}: end {end} is not above start {start}")
    name = fields[3] if len(fields) > 3 and fields[3] not in ("", ".") else f"{chrom}:{start}-{end}"
    strand = fields[5] if len(fields) > 5 else "."
    if strand not in ("+", "-", "."):
        raise InputError(f"{where}: strand must be +, - or ., got {strand!r}")
    return Region(chrom, start, end, name, strand)
