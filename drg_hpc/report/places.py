"""Where a row of a result lies on the genome, and where in it a position is. Coordinates from 0, half-open."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from drg_hpc.results.layout import SHUFFLES

_ONE = re.compile(r"(?<![\w.,:-])1 (exon|transcript)s\b")


@dataclass(frozen=True)
class Place:
    """The interval that the sequence of a row comes from.

    Parameters
    ----------
    name : of the row
    chrom, start, end : as the table of regions has them
    flipped : the sequence is that of the reverse strand: its first base is the last one of the interval
    shuffled : the bases have no place on the genome
    length : bases of the sequence; where the interval has another length (exons joined), positions have no coordinates
    """

    name: str
    chrom: str
    start: int
    end: int
    flipped: bool
    shuffled: bool
    length: int

    @staticmethod
    def of(region: Any, *, stranded: bool, length: int, name: str | None = None) -> Place:
        """The place of a row of a table of regions, or of intervals.

        Parameters
        ----------
        region : with chrom, start, end, strand, and origin where rows can be shuffles
        stranded : the result's root attribute: a row of strand ``-`` holds the reverse strand
        """
        return Place(
            name=str(region["name"] if name is None else name),
            chrom=str(region["chrom"]),
            start=int(region["start"]),
            end=int(region["end"]),
            flipped=stranded and region["strand"] == "-",
            shuffled=region.get("origin", "") in SHUFFLES,
            length=length,
        )

    @property
    def on_genome(self) -> bool:
        """Positions have coordinates."""
        return bool(self.chrom) and not self.shuffled and self.end - self.start == self.length

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Genome interval of the positions ``first`` to ``last``."""
        return (self.end - last, self.end - first) if self.flipped else (self.start + first, self.start + last)

    def positions(self, start: int, end: int) -> tuple[int, int]:
        """Positions of a genome interval: the inverse of :meth:`span`."""
        return (self.end - end, self.end - start) if self.flipped else (start - self.start, end - self.start)

    def words(self, first: int, last: int) -> str:
        """The positions ``first`` to ``last`` in words; a sequence that has no place goes by its name."""
        if not self.on_genome:
            return f"{self.name}{' (shuffled)' if self.shuffled else ''}, bases {first:,}–{last:,}"
        start, end = self.span(first, last)
        return f"{self.chrom}:{start:,}–{end:,}{' (reverse strand)' if self.flipped else ''}"


def singular(text: str) -> str:
    """``1 exon of 1 transcript`` of a choice in a file, where the plural stands whatever the number."""
    return _ONE.sub(r"1 \1", text)


def gene_words(region: Any) -> str:
    """The gene of a row, which exon or site of it was taken, and its strand where that is ``-``; empty where rows are
    no genes."""
    gene = str(region.get("gene_name", "")) or str(region.get("gene_id", ""))
    strand = "− strand" if region.get("gene_strand", "") == "-" else ""
    more = ", ".join(filter(None, [singular(str(region.get("choice", ""))), strand]))
    return f"{gene} ({more})" if gene and more else gene
