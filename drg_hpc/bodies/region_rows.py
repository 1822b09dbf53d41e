"""Rows of a dataset from region files: windows, contigs, duplicates, blacklist, joins by name. Light.

The plan and every worker read the same files with the same parameters and so find the same rows.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from drg_hpc.bodies.region_windows import OUTSIDE, Source, read_source
from drg_hpc.errors import InputError
from drg_hpc.genome.blacklist import Blacklist
from drg_hpc.genome.regions import Region
from drg_hpc.store.dataset_layout import Input

TABLE = ("input", "file", "line", "name", "chrom", "start", "end", "row", "kept", "reason")
_NO_ROW = -1
_VARIES = re.compile(r" of line \d+$| \S+:\d+$|^padded: \d+ bases ")


@dataclass(frozen=True)
class RegionRows:
    """Rows of a dataset, before labels.

    Attributes
    ----------
    inputs : the sequences of every row
    intervals : per input the interval of every row, contigs named as the genome's, ``strand`` that of the stored
        sequence; those of the first input have the row's name, kept, reason and line
    files : per input the file that was read
    left_over : per input regions that are no rows, with their reasons
    given : contig -> starts and ends in turn of the first input's regions as the file has them
    blacklist : contig -> starts and ends in turn
    notes : lines worth telling the user
    """

    inputs: list[Input]
    intervals: dict[str, list[Region]]
    files: dict[str, Path]
    left_over: dict[str, list[Region]]
    given: dict[str, array[int]]
    blacklist: dict[str, array[int]]
    notes: list[str]

    @property
    def rows(self) -> list[Region]:
        """The first input's intervals."""
        return next(iter(self.intervals.values()))

    @property
    def table(self) -> Iterator[Sequence[object]]:
        """Header and a line for every region of the files that passed --select: what became of it.

        start and end are those of the window; row is -1 for regions that are no rows. ``replace`` of
        :attr:`intervals` by rows that labels have been joined to makes the table say what that changed.
        """
        yield TABLE
        rows = self.rows
        for name, regions in self.intervals.items():
            for number, (row, region) in enumerate(zip(rows, regions, strict=True)):
                if region.line:
                    yield self._line(name, region, number, row)
            for region in self.left_over[name]:
                yield self._line(name, region, _NO_ROW, region)

    def _line(self, name: str, region: Region, number: int, row: Region) -> Sequence[object]:
        place = (region.chrom, region.start, region.end)
        return (name, self.files[name].name, region.line, region.name, *place, number, int(row.kept), row.reason)


def read_rows(
    params: Mapping[str, Any], files: Mapping[str, Path], contigs: Mapping[str, int], *, join: bool = False
) -> RegionRows:
    """Rows from the regions of a plan.

    Every region of the first file is a row. It is kept=false, with the reason, when its window lies wholly off its
    contig or on an unknown one, when it repeats an earlier row (same name and window), when it overlaps the
    blacklist, or when another input has no region of its name that is kept. A window partly off its contig is kept
    and padded with N, which the reason says.

    Parameters
    ----------
    params, files : of ``region_params`` and ``region_files``
    contigs : name -> length of the genome
    join : rows will be joined by name to something else (counts), so a name must stand for one window

    Raises
    ------
    InputError : a faulty file, no contig in common, several lengths and no --length, a name with two windows that
        something is joined by, no row left; with ``strict`` every region that is not wholly in the genome, and
        every row without partner
    UsageError : --select asks for what a file does not have
    """
    join = join or len(params["inputs"]) > 1
    blacklist = Blacklist([files[f"blacklist{number}"] for number in range(params["blacklists"])], contigs)
    sources = [read_source(entry, params, files[entry["file"]], contigs) for entry in params["inputs"]]
    for source in sources:
        _mark_repeats(source, join=join)
        if blacklist.intervals:
            _mark_blacklisted(source, blacklist)
    left_over = _join(sources, strict=params["strict"]) if len(sources) > 1 else {sources[0].name: []}
    first = sources[0]
    if not any(row.kept for row in first.regions):
        raise InputError(
            f"none of the {len(first.regions)} regions of {first.path} can be used: {reasons_of(first.regions)}"
        )
    return RegionRows(
        inputs=[Input(source.name, source.length, params["flank"]) for source in sources],
        intervals={source.name: source.regions for source in sources},
        files={source.name: source.path for source in sources},
        left_over=left_over,
        given=first.given,
        blacklist=blacklist.intervals,
        notes=[*(note for source in sources for note in source.notes), *_row_notes(first, left_over)],
    )


def _mark_repeats(source: Source, *, join: bool) -> None:
    """Give kept=false to rows with the name and the window of an earlier one.

    Raises
    ------
    InputError : with ``join``, a name that stands for two windows
    """
    rows = source.regions
    first: dict[str, int] = {}
    seen: dict[Region, int] = {}
    for number, row in enumerate(rows):
        if not row.kept or (earlier := first.setdefault(row.name, number)) == number:
            continue
        seen.setdefault(rows[earlier], earlier)
        same = seen.setdefault(row, number)
        if same != number:
            rows[number] = replace(row, kept=False, reason=f"duplicate of line {rows[same].line}")
        elif join:
            raise InputError(
                f"{source.path}: lines {rows[earlier].line} and {row.line}: {row.name!r} has two windows, and rows are "
                "joined by name",
                fix="give every region a name of its own",
            )


def _mark_blacklisted(source: Source, blacklist: Blacklist) -> None:
    for number, row in enumerate(source.regions):
        if row.kept and (hit := blacklist.hit(row)):
            source.regions[number] = replace(row, kept=False, reason=f"overlaps blacklist {hit}")


def _join(sources: Sequence[Source], *, strict: bool) -> dict[str, list[Region]]:
    """Line the other inputs' regions up with the first one's rows by name; what is left of each input."""
    first, *others = sources
    partners = [_by_name(source.regions) for source in others]
    left_over: dict[str, list[Region]] = {first.name: []}
    for source, known in zip(others, partners, strict=True):
        names = {row.name for row in first.regions}
        left = [region for region in source.regions if region.name not in names or known[region.name] is not region]
        said = f"not in {first.name}"
        left_over[source.name] = [replace(r, kept=False, reason=said) if r.kept else r for r in left]
        if strict:
            _refuse_alone(first, source, known)
    for number, row in enumerate(first.regions):
        found = [known.get(row.name) for known in partners]
        first.regions[number] = _agreed(row, dict(zip((s.name for s in others), found, strict=True)))
    for source, known in zip(others, partners, strict=True):
        source.regions = [_lined_up(row, known.get(row.name)) for row in first.regions]
    return left_over


def _by_name(regions: Sequence[Region]) -> dict[str, Region]:
    """Name -> the region that is kept, else the first one."""
    found: dict[str, Region] = {}
    for region in regions:
        if region.kept or region.name not in found:
            found[region.name] = region
    return found


def _agreed(row: Region, partners: Mapping[str, Region | None]) -> Region:
    """A row with what its other inputs add: kept=false, or N, and why."""
    reasons = [row.reason] if row.reason else []
    for name, region in partners.items():
        if row.kept and region is None:
            return replace(row, kept=False, reason=f"not in {name}")
        if row.kept and region is not None and not region.kept:
            return replace(row, kept=False, reason=f"{name}: {region.reason}")
        if row.kept and region is not None and region.reason:
            reasons.append(f"{name}: {region.reason}")
    return replace(row, reason="; ".join(reasons)) if len(reasons) > bool(row.reason) else row


def _lined_up(row: Region, partner: Region | None) -> Region:
    """The partner of a row; without one, an interval that stands for nothing."""
    if partner is None:
        return Region("", 0, 0, row.name, kept=False, reason=row.reason)
    return partner if row.kept else replace(partner, kept=False)


def _refuse_alone(first: Source, other: Source, known: Mapping[str, Region]) -> None:
    """Under --strict every row has a partner in every input, and every partner has a row."""
    names = {row.name for row in first.regions}
    for source, there, where in ((first, known, other), (other, names, first)):
        alone = [row for row in source.regions if row.name not in there]
        if alone:
            raise InputError(
                f"{source.path}: line {alone[0].line}: {alone[0].name!r} is not in {where.path}; "
                f"{len(alone)} of {len(source.regions)} rows are not",
                fix="leave --strict out to have them kept=false",
            )


def reasons_of(rows: Sequence[Region]) -> str:
    """Reasons of rows that are not kept, counted, without lines and files."""
    counts = Counter(_VARIES.sub("", row.reason) for row in rows if not row.kept)
    return ", ".join(f"{count} {reason}" for reason, count in counts.most_common())


def _row_notes(first: Source, left_over: Mapping[str, Sequence[Region]]) -> list[str]:
    notes = []
    if padded := sum(OUTSIDE in row.reason for row in first.regions if row.kept and row.reason):
        notes.append(f"{padded} regions reach over a contig's end and are padded with N")
    if lost := reasons_of(first.regions):
        notes.append(f"not kept: {lost}")
    for name, regions in left_over.items():
        if regions:
            notes.append(f"{len(regions)} regions of {name} are no rows ({reasons_of(regions)})")
    return notes
