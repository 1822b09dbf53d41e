"""Regions to keep clear of, from BED files. Standard library only."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate, chain
from pathlib import Path

from drg_hpc.genome.bed import read_bed
from drg_hpc.genome.contigs import map_contigs
from drg_hpc.genome.regions import Region


@dataclass
class _Contig:
    """Intervals of a contig by start; ``reach`` is the largest end so far, so both columns ascend."""

    starts: list[int] = field(default_factory=list)
    reach: list[int] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)


class Blacklist:
    """Intervals of BED files that rows must not overlap, by the genome's contig names.

    Parameters
    ----------
    contigs : name -> length of the genome; intervals on other contigs concern nobody

    Attributes
    ----------
    intervals : contig -> starts and ends in turn

    Raises
    ------
    InputError : a faulty file, or one that shares no contig with the genome
    """

    def __init__(self, paths: Iterable[Path], contigs: Mapping[str, int]) -> None:
        found: dict[str, list[tuple[int, int, str]]] = {}
        for path in paths:
            rows = list(read_bed(path))
            mapping = map_contigs((row.chrom for row in rows), contigs, what=str(path))
            for row in rows:
                if row.chrom in mapping:
                    found.setdefault(mapping[row.chrom], []).append((row.start, row.end, f"{path.name}:{row.line}"))
        self.intervals = {chrom: array("q", chain.from_iterable(r[:2] for r in rows)) for chrom, rows in found.items()}
        self._contigs = {chrom: self._sorted(rows) for chrom, rows in found.items()}

    @staticmethod
    def _sorted(rows: list[tuple[int, int, str]]) -> _Contig:
        rows.sort()
        return _Contig([r[0] for r in rows], list(accumulate((r[1] for r in rows), max)), [r[2] for r in rows])

    def find(self, chrom: str, start: int, end: int) -> str:
        """``NAME:line`` of an interval that shares a base with ``chrom:start-end``, empty when none does.

        The first interval with ``reach`` above ``start`` ends there itself, so two binary searches decide.
        """
        contig = self._contigs.get(chrom)
        if contig is None:
            return ""
        first = bisect_right(contig.reach, start)
        return contig.labels[first] if first < bisect_left(contig.starts, end) else ""

    def hit(self, region: Region) -> str:
        """``NAME:line`` of an interval that overlaps a region, or one of its blocks; empty when none does."""
        for start, end in region.blocks or ((region.start, region.end),):
            if found := self.find(region.chrom, start, end):
                return found
        return ""
