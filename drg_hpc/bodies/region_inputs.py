"""Flags that say which regions become rows, and with which sequences; what a plan keeps of them. Light.

``read_rows`` of :mod:`drg_hpc.bodies.region_rows` makes the rows from :func:`region_params` and
:func:`region_files`, in the plan and again in every worker.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from drg_hpc.bodies.split_options import SplitOptions
from drg_hpc.config import flag
from drg_hpc.errors import UsageError
from drg_hpc.genome.region_files import ANNOTATIONS, Format, format_of
from drg_hpc.genome.selection import parse_conditions
from drg_hpc.store.dataset_layout import INPUT

_INPUT = re.compile(r"(?P<name>[^=]*)=(?P<path>.+?)(?::(?P<length>\d+))?")
_NAME = re.compile(r"[A-Za-z0-9_-]+")


class RegionOptions(SplitOptions):
    """Which regions, and the window of each that is stored."""

    group = "regions"

    regions: Path | None = flag(
        None,
        help="BED, narrowPeak, broadPeak, GTF, GFF3, or a table (CSV, TSV) with the columns chrom, start, end and, "
        "where known, name and strand; without a header name, chrom, start, end. Each also as .gz",
        metavar="FILE",
    )
    input: list[str] = flag(
        [],
        help="several sequences per row instead of --regions: each NAME=FILE gives one, L bases long, joined by row "
        "name in the order of the first file",
        metavar="NAME=FILE[:L]",
    )
    length: int | None = flag(
        None,
        help="take L bases at the anchor of each region (default: the length that all share)",
        metavar="L",
        ge=1,
    )
    anchor: Literal["centre", "start", "summit", "tss"] | None = flag(
        None,
        help="where --length lies: around the centre; from the 5' end on (start); around the summit of a narrowPeak "
        "row; around the 5' end (tss). start and tss go by the strand (default: "
        "summit for narrowPeak, start with --spliced, else centre)",
    )
    feature: str | None = flag(
        None,
        help="rows of a GTF or GFF3: gene, transcript, exon, CDS or another type (default: gene, with --spliced "
        "transcript)",
        metavar="TYPE",
    )
    spliced: bool = flag(
        False,
        help="the exons of each transcript (--feature CDS: their coding parts) of a GTF, GFF3 or BED12, joined from "
        "5' to 3' and cut or padded with N at the 3' end to --length; needs --stranded",
    )
    select: list[str] = flag(
        [],
        help="only rows for which each KEY has one of the values: name, id (with or without version), biotype, tag, "
        "type or any attribute of a GTF or GFF3; name, chrom or strand of other files, any column of a table; "
        "KEY=@FILE has one value per line",
        metavar="KEY=VALUE[,VALUE]",
    )
    name_by: str | None = flag(
        None,
        help="attribute of a GTF or GFF3 that names the rows: gene_id, gene_name, transcript_id, … (default: gene_id "
        "of genes, transcript_id of transcripts, else chrom:start-end; so also rows without the attribute)",
        metavar="KEY",
    )
    one_based: bool = flag(False, help="starts in BED files and tables count from 1, ends are part of the region")
    format: Format | None = flag(None, help="format of the region files (default: by the extension)")
    blacklist: list[Path] = flag(
        [], help="a row whose window overlaps a region of these files has kept=false, with the line", metavar="BED"
    )
    stranded: bool = flag(
        False, help="regions on - are reverse-complemented, bins reversed, strand pairs of tracks swapped"
    )
    strict: bool = flag(
        False,
        help="a region partly or wholly off its contig, on an unknown one, or without a partner in another --input, is "
        "an error; otherwise what lies outside is padded with N, and a row that misses a sequence has kept=false, each "
        "with its reason",
    )
    flank: int = flag(
        0, help="store S bases more on either side of every row, for shifts in training", metavar="S", ge=0
    )


def parse_input(text: str) -> tuple[str, Path, int | None]:
    """Name, file and length of ``NAME=FILE[:L]``; a colon that is part of an existing file's name stays.

    Raises
    ------
    UsageError : another form, or a name with other characters than letters, digits, ``-`` and ``_``
    """
    match = _INPUT.fullmatch(text)
    if match is None or _NAME.fullmatch(match["name"]) is None:
        raise UsageError(
            f"--input {text!r}: NAME=FILE or NAME=FILE:LENGTH is needed, the name of letters, digits, - and _",
            fix="for example --input dna=promoters.bed:1000",
        )
    whole = text.partition("=")[2]
    if match["length"] is None or Path(whole).exists():
        return match["name"], Path(whole), None
    if int(match["length"]) < 1:
        raise UsageError(f"--input {text!r}: the length must be at least 1")
    return match["name"], Path(match["path"]), int(match["length"])


def _sources(options: RegionOptions) -> list[tuple[str, Path, int | None]]:
    """Name, file and length of every input."""
    if (options.regions is None) == (not options.input):
        raise UsageError("give --regions FILE or --input NAME=FILE, one of the two")
    if options.regions is not None:
        return [(INPUT, options.regions, options.length)]
    found = [parse_input(text) for text in options.input]
    names = [name for name, _, _ in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"two inputs are called {twice!r}", fix="give each --input another name")
    return [(name, path, length or options.length) for name, path, length in found]


def region_files(options: RegionOptions) -> dict[str, Path]:
    """Files that the rows come from, by the name that a plan's inputs have for them.

    Raises
    ------
    UsageError : neither or both of --regions and --input, or a faulty --input
    """
    sources = _sources(options)
    files = {f"regions_{name}": path for name, path, _ in sources} if options.input else {"regions": sources[0][1]}
    return files | {f"blacklist{number}": path for number, path in enumerate(options.blacklist)}


def region_params(options: RegionOptions) -> dict[str, Any]:
    """What determines the rows, besides the content of the files: plain JSON values.

    Raises
    ------
    UsageError : flags that clash, an unknown format
    InputError : a file of values of --select cannot be read
    """
    sources = _sources(options)
    keys = [name for name in region_files(options) if not name.startswith("blacklist")]
    formats = [options.format or format_of(path) for _, path, _ in sources]
    _check(options, formats)
    return {
        "inputs": [
            {"name": name, "file": key, "format": form, "length": length, "anchor": _anchor(options, form, length)}
            for (name, _, length), key, form in zip(sources, keys, formats, strict=True)
        ],
        "feature": options.feature or ("transcript" if options.spliced else "gene"),
        "spliced": options.spliced,
        "select": parse_conditions(options.select),
        "name_by": options.name_by,
        "one_based": options.one_based,
        "blacklists": len(options.blacklist),
        "stranded": options.stranded,
        "strict": options.strict,
        "flank": options.flank,
    }


def _anchor(options: RegionOptions, form: Format, length: int | None) -> str:
    if options.anchor is not None:
        return options.anchor
    if options.spliced:
        return "start"
    return "summit" if form == "narrowPeak" and length else "centre"


def _check(options: RegionOptions, formats: list[Format]) -> None:
    """Flags that clash."""
    if options.anchor not in (None, "centre") and not all(length for _, _, length in _sources(options)):
        raise UsageError(f"--anchor {options.anchor} needs --length")
    if options.anchor == "summit" and any(form != "narrowPeak" for form in formats):
        raise UsageError("--anchor summit: only narrowPeak files have summits", fix="--format narrowPeak, if it is one")
    annotated = [form in ANNOTATIONS for form in formats]
    for name, value in (("--feature", options.feature), ("--name-by", options.name_by)):
        if value is not None and not any(annotated):
            raise UsageError(f"{name} {value}: only GTF and GFF3 files have features", fix=f"leave {name} out")
    if options.one_based and all(annotated):
        raise UsageError("--one-based: GTF and GFF3 files are read as 1-based anyway", fix="leave --one-based out")
    if options.spliced:
        _check_spliced(options, formats)


def _check_spliced(options: RegionOptions, formats: list[Format]) -> None:
    if not options.stranded:
        raise UsageError("--spliced needs --stranded: transcripts are joined from 5' to 3'")
    if options.flank:
        raise UsageError(f"--flank {options.flank} with --spliced: a transcript has nothing beyond its ends")
    if options.anchor not in (None, "start"):
        raise UsageError(f"--anchor {options.anchor} with --spliced: a transcript is taken from its 5' end on")
    if options.feature not in (None, "transcript", "CDS"):
        raise UsageError(f"--feature {options.feature} with --spliced", fix="transcript or CDS")
    if any(form not in (*ANNOTATIONS, "bed") for form in formats):
        raise UsageError("--spliced needs GTF, GFF3 or BED12 files")
