"""Lines of a BED file and the sequences that they lie in: names, contigs, and lines that lie nowhere. Light."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from drg_hpc.errors import InputError
from drg_hpc.files import counted
from drg_hpc.genome.contigs import map_contigs
from drg_hpc.genome.regions import Region


@dataclass(frozen=True)
class Lines:
    """Some lines of a file.

    Attributes
    ----------
    file : that they are from
    found : the lines
    of : which they are, for messages
    """

    file: Path
    found: Sequence[Region]
    of: str = ""

    def contigs(self, own: Collection[str], contigs: Iterable[str], *, length: int) -> dict[str, str]:
        """The contig of sequences that each contig of the lines is, where that has another name.

        Parameters
        ----------
        own : names of sequences
        contigs : of the sequences on the genome
        length : bases of a sequence

        Raises
        ------
        InputError : a line that reaches beyond the end of the sequence it names, or no contig that is known
        """
        for line in self.found:
            if line.chrom in own and line.end > length:
                raise InputError(
                    f"{self.file}: line {line.line}: {line.start}-{line.end} of {line.chrom}: the sequence has "
                    f"{length} bases", fix="positions count from 0 within a sequence",
                )  # fmt: skip
        listed = [line.chrom for line in self.found]
        known = dict.fromkeys((name for name in contigs if name and name not in own), 0)
        if not known or not listed or not set(listed).isdisjoint(own):
            return {}
        return map_contigs(listed, known, what=str(self.file))

    def require_some(self, within: int, *, rows: int) -> None:
        """Refuse lines none of which lies within a sequence.

        Parameters
        ----------
        within : those that do
        rows : number of sequences

        Raises
        ------
        InputError : there is none
        """
        if not within:
            here = f"{counted(len(self.found), 'line')}, {counted(rows, 'sequence')}"
            raise InputError(f"{self.file}: no line{self.of} lies within a sequence ({here})",
                             fix="check the assembly and the names of sequences")  # fmt: skip

    def count_within(self, regions: Sequence[Region], *, length: int) -> int:
        """How often a line lies within a sequence.

        Parameters
        ----------
        regions : of the sequences, all of them given as they are on the genome
        length : bases of a sequence

        Raises
        ------
        InputError : as :meth:`contigs` and :meth:`require_some`
        """
        own: dict[str, int] = {}
        starts: dict[str, list[int]] = {}
        for region in regions:
            named = is_named(region.name, region.chrom, region.start, region.end, length)
            if named:
                own[region.name] = own.get(region.name, 0) + 1
            if region.end - region.start == length and not (named and region.name == region.chrom):
                starts.setdefault(region.chrom, []).append(region.start)
        mapped = self.contigs(own, starts, length=length)
        for places in starts.values():
            places.sort()
        total = 0
        for line in self.found:
            total += own.get(line.chrom, 0)
            places = starts.get(mapped.get(line.chrom, line.chrom), [])
            total += max(0, bisect_right(places, line.start) - bisect_left(places, line.end - length))
        self.require_some(total, rows=len(regions))
        return total


def is_named(name: str, chrom: str, start: int, end: int, length: int) -> bool:
    """Whether positions within a sequence may go by its name: it is not that of a contig, or the sequence is all of
    the contig."""
    return name != chrom or (start == 0 and end == length)
