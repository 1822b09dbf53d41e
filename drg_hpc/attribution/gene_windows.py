"""Input window, output bins and bin weights of a gene: integer arithmetic on the genome. Light.

Coordinates are 0-based, half-open, on the + strand. Everything but the ``compat`` functions turns round with its
gene: the mirror image of a gene has the mirror image of the window and of the weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from drg_hpc.attribution.gene_words import Counts
from drg_hpc.errors import UsageError
from drg_hpc.genome.regions import Interval, merged
from drg_hpc.models.header import model_length

BinRange = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the bins of a model lie.

    Parameters
    ----------
    length : bases of its input
    crop : bases at each end that no bin is of
    size : bases of a bin
    bins : how many; ``length == 2 * crop + size * bins``
    """

    length: int
    crop: int
    size: int
    bins: int

    @classmethod
    def of_model(cls, header: Mapping[str, Any]) -> Geometry:
        """Of a model.json.

        Raises
        ------
        InputError : the model has several inputs
        UsageError : it has no bins, or bins that are no whole number of bases
        """
        length, bins = model_length(dict(header)), int(header["bins"])
        if bins == 0:
            raise UsageError(
                "the model has one value per track, gene statistics read its bins",
                fix="take a model with bins, such as borzoi, or leave --gtf out and give regions",
            )
        covered = int(header["span"]) or length
        if covered % bins or (length - covered) % 2:
            raise UsageError(f"{bins} bins of {covered} in the middle of {length} bases are no whole numbers of bases")
        return cls(length, (length - covered) // 2, covered // bins, bins)

    def output(self, start: int) -> Interval:
        """The bases that the bins of a window from ``start`` on are of."""
        return start + self.crop, start + self.crop + self.size * self.bins


def middle(intervals: Iterable[Interval], strand: str) -> int:
    """The mean of all positions in intervals; between two bases, the one on the 5' side."""
    total = count = 0
    for start, end in intervals:
        total, count = total + (start + end - 1) * (end - start), count + 2 * (end - start)
    return -(-total // count) if strand == "-" else total // count


def window_at(at: int, strand: str, geometry: Geometry, *, contig: int) -> int:
    """Start of the window in which, along the strand, ``length // 2`` bases lie before the base ``at``.

    It is moved so that all bins lie on the contig, where the contig is long enough for that.

    Parameters
    ----------
    contig : its length
    """
    length, half = geometry.length, geometry.length // 2
    start = at + 1 + half - length if strand == "-" else at - half
    least, most = -geometry.crop, contig + geometry.crop - length
    return min(max(start, least), most) if least <= most else start


def compat_window_at(at: int, geometry: Geometry) -> int:
    """Borzoi's: half of the window before ``at`` on the + strand, whatever the gene's; no bin begins before base 0."""
    return max(-geometry.crop, at - geometry.length // 2)


def bin_weights(intervals: Iterable[Interval], start: int, geometry: Geometry) -> dict[int, float]:
    """Bin -> the share of it (up to 1) that intervals cover, given where the window starts; bins of 0 are left out.

    The intervals must not overlap each other. Sums of weights times the bin size are bases.
    """
    first, last = geometry.output(start)
    bases: dict[int, int] = {}
    for begin, end in intervals:
        begin, end = max(begin, first) - first, min(end, last) - first
        for number in range(begin // geometry.size, -(-end // geometry.size)):
            left = number * geometry.size
            inside = min(end, left + geometry.size) - max(begin, left)
            if inside > 0:
                bases[number] = bases.get(number, 0) + inside
    return {number: bases[number] / geometry.size for number in sorted(bases)}


def count_bins(intervals: Iterable[Interval], start: int, geometry: Geometry) -> int:
    """How many bins intervals have a part in, given where the window starts."""
    first, last = geometry.output(start)
    inside = ((max(begin, first) - first, min(end, last) - first) for begin, end in intervals)
    ranges = merged((begin // geometry.size, -(-end // geometry.size)) for begin, end in inside if begin < end)
    return sum(end - begin for begin, end in ranges)


@dataclass(frozen=True, slots=True)
class Edge:
    """A cleavage site, or one end of an exon: coverage ends here, or begins.

    Attributes
    ----------
    base : the last base that is covered
    left : coverage lies to the left of the edge on the + strand
    kind : which bins Borzoi compares
    before, behind : intervals that bound what is compared on the covered and on the other side
    """

    base: int
    left: bool
    kind: Literal["site", "junction"]
    before: Interval | None = None
    behind: Interval | None = None

    def sides(self, around: Counts) -> tuple[Interval, Interval]:
        """The ``around[0]`` bases on the covered side and the ``around[1]`` on the other, within their bounds."""
        up, down = around
        if self.left:
            cut = self.base + 1
            sides = (cut - up, cut), (cut, cut + down)
        else:
            cut = self.base
            sides = (cut, cut + up), (cut - down, cut)
        return _within(sides[0], self.before), _within(sides[1], self.behind)

    def compat_sides(self, start: int, geometry: Geometry) -> tuple[BinRange, BinRange]:
        """The bins that Borzoi's scripts compare (4 and 5 at a site, 3 and 3 at a junction).

        They take the base's number from 1 as one from 0, round to the nearest bin border, halves to even, and part both
        sides one bin further to the right where coverage lies on the left.
        """
        up, down = (4, 5) if self.kind == "site" else (3, 3)
        place = self.base + 1
        one = _rounded(place, start, geometry)
        other = _rounded(place + (self.kind == "site"), start, geometry)
        if self.left:
            return (one + 1 - up, one + 1), (other + 1, other + 1 + down)
        return (other, other + up), (one - down, one)


def _within(interval: Interval, bounds: Interval | None) -> Interval:
    if bounds is None:
        return interval
    return max(interval[0], bounds[0]), min(interval[1], bounds[1])


def _rounded(place: int, start: int, geometry: Geometry) -> int:
    return round(max(0, place - geometry.output(start)[0]) / geometry.size)


def compat_exons(intervals: Sequence[Interval], start: int, geometry: Geometry, *, span: bool) -> Iterator[BinRange]:
    """Bins of exons, as Borzoi's scripts find them: any overlap counts; borders of a span are rounded."""
    origin, size = geometry.output(start)[0], geometry.size
    if span:
        yield _rounded(intervals[0][0], start, geometry), _rounded(max(end for _, end in intervals), start, geometry)
        return
    for begin, end in intervals:
        yield max(0, begin - origin) // size, -(-max(0, end - origin) // size)


def whole_bins(ranges: Iterable[BinRange], start: int, geometry: Geometry) -> tuple[Interval, ...]:
    """The bases of ranges of bins, ascending and without overlaps; some may be beyond the output."""
    origin, size = geometry.output(start)[0], geometry.size
    pieces = [(origin + size * first, origin + size * last) for first, last in ranges if first < last]
    return tuple(merged(pieces))
