"""Genes near a variant: which ones have a part in the bins of its window, and the shares of bins that are theirs.

The weight of a bin is the share of its bases that lie in the gene's exons (or span), as in
:mod:`drg_hpc.attribution.gene_windows`. Bins of an indel are moved back by whole bins as
:func:`drg_hpc.experiments.variant_scores.aligned` moves them; here their weights are moved instead, which gives the
same sums without moving whole profiles. Light.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from drg_hpc.attribution.gene_features import GeneSettings, features_of
from drg_hpc.attribution.gene_windows import Geometry, bin_weights
from drg_hpc.errors import InputError
from drg_hpc.genome.contigs import map_contigs
from drg_hpc.genome.gtf import Gene
from drg_hpc.genome.regions import Interval, merged
from drg_hpc.genome.vcf import Variant

Weights = dict[int, float]
"""Bin -> share of it."""


@dataclass(frozen=True, slots=True)
class GenePlace:
    """A gene on the genome.

    Attributes
    ----------
    number : in the list that it is from
    chrom : as the genome names it
    start, end : of the gene
    tss : the base at its 5' end
    parts : its exons, or its span: ascending, without overlaps
    """

    number: int
    id: str
    name: str
    chrom: str
    start: int
    end: int
    strand: str
    tss: int
    parts: tuple[Interval, ...]

    def distance(self, position: int) -> int:
        """Bases from the 5' end to a position, along the strand: negative upstream."""
        return self.tss - position if self.strand == "-" else position - self.tss

    def touches(self, first: int, last: int) -> bool:
        """Whether an interval has a base of one of the parts."""
        at = bisect_right(self.parts, first, key=lambda part: part[1])
        return at < len(self.parts) and self.parts[at][0] < last

    def covered(self, first: int, last: int) -> float:
        """Share of the bases of the parts that an interval has."""
        inside = sum(max(0, min(end, last) - max(begin, first)) for begin, end in self.parts)
        return inside / sum(end - begin for begin, end in self.parts)


@dataclass(frozen=True)
class Places:
    """Genes with an exon, on contigs that the genome has; and the names of others, by the reason."""

    genes: list[GenePlace]
    left_out: Mapping[str, list[str]]


def make_places(genes: Sequence[Gene], *, span: bool, contigs: Mapping[str, int], source: str) -> Places:
    """Where genes are on the genome.

    Parameters
    ----------
    span : the whole gene from its first to its last exon, introns too
    source : of the genes, for messages

    Raises
    ------
    InputError : no contig in common with the genome, or a gene that ends beyond its contig
    """
    mapping = map_contigs((gene.chrom for gene in genes), contigs, what=source)
    settings, found = GeneSettings("expression", span=span), []
    left_out: dict[str, list[str]] = {}
    for number, gene in enumerate(genes):
        chrom = mapping.get(gene.chrom)
        features = features_of(gene, settings, chrom=chrom or "", sites=None, ids={})
        if chrom is None or isinstance(features, str):
            reason = "the genome lacks their contig" if chrom is None else str(features)
            left_out.setdefault(reason, []).append(gene.name or gene.id)
            continue
        parts = features[0].numerator
        if parts[-1][1] > contigs[chrom]:
            raise InputError(
                f"{source}: gene {gene.name or gene.id} ends beyond {chrom}, which has {contigs[chrom]} bases",
                fix="is it of another assembly?",
            )
        place = (chrom, gene.start, gene.end, gene.strand, gene.tss)
        found.append(GenePlace(number, gene.id, gene.name, *place, parts))
    return Places(found, left_out)


class GeneMap:
    """Finds genes by place."""

    def __init__(self, genes: Iterable[GenePlace]) -> None:
        self._genes: dict[str, list[GenePlace]] = {}
        for gene in genes:
            self._genes.setdefault(gene.chrom, []).append(gene)
        for own in self._genes.values():
            own.sort(key=lambda gene: (gene.parts[0][0], gene.number))
        self._starts = {chrom: [gene.parts[0][0] for gene in own] for chrom, own in self._genes.items()}
        self._farthest = {
            chrom: list(accumulate((gene.parts[-1][1] for gene in own), max)) for chrom, own in self._genes.items()
        }

    def touching(self, chrom: str, interval: Interval) -> list[GenePlace]:
        """Genes with a base of their parts in an interval, in the order of the list they are from."""
        own, (first, last) = self._genes.get(chrom, []), interval
        at, found = bisect_left(self._starts.get(chrom, []), last) - 1, []
        while at >= 0 and self._farthest[chrom][at] > first:
            if own[at].touches(first, last):
                found.append(own[at])
            at -= 1
        return sorted(found, key=lambda gene: gene.number)


def output_start(variant: Variant, geometry: Geometry) -> int:
    """The first base that the bins of a variant's window are of."""
    return geometry.output(variant.trimmed().start - geometry.length // 2)[0]


@dataclass(frozen=True)
class PairCounts:
    """How many pairs of an allele and a gene there are.

    Attributes
    ----------
    genes : that are near an allele
    alone : alleles without a gene
    """

    pairs: int
    genes: list[GenePlace]
    alone: int


def count_pairs(genes: Iterable[GenePlace], variants: Iterable[Variant], geometry: Geometry) -> PairCounts:
    """Count what :class:`GeneMap` finds of all alleles, gene by gene: millions of pairs take seconds."""
    starts: dict[str, list[int]] = {}
    for variant in variants:
        starts.setdefault(variant.chrom, []).append(output_start(variant, geometry))
    for own in starts.values():
        own.sort()
    width = geometry.size * geometry.bins
    near: dict[str, list[Interval]] = {chrom: [] for chrom in starts}

    def inside(chrom: str, ranges: Iterable[Interval]) -> int:
        own = starts[chrom]
        return sum(bisect_left(own, end) - bisect_left(own, begin) for begin, end in ranges)

    pairs, occurring = 0, []
    for gene in genes:
        if gene.chrom not in starts:
            continue
        ranges = list(merged((begin - width + 1, end) for begin, end in gene.parts))
        near[gene.chrom] += ranges
        if count := inside(gene.chrom, ranges):
            pairs += count
            occurring.append(gene)
    together = sum(inside(chrom, merged(ranges)) for chrom, ranges in near.items())
    return PairCounts(pairs, occurring, sum(map(len, starts.values())) - together)


def allele_weights(
    gene: GenePlace, start: int, geometry: Geometry, *, at: int, moved: int
) -> tuple[Weights, Weights]:  # fmt: skip
    """Weights of the bins of both sequences of a variant, those of the alternative one where it has the same bases.

    Parameters
    ----------
    start : of the window of the reference sequence
    at : bin of the variant, -1 where it lies left of all bins
    moved : bins by which the alternative allele moves what is to its right
    """
    return moved_weights(bin_weights(gene.parts, start, geometry), at=at, moved=moved, count=geometry.bins)


def moved_weights(weights: Mapping[int, float], *, at: int, moved: int, count: int) -> tuple[Weights, Weights]:
    """Weights of bins of the reference sequence, without bins that only one sequence shows, and those of the same bases
    in the alternative one: inserted bins count with the bin of the variant, deleted ones not at all.

    Parameters
    ----------
    count : bins of a window
    """
    if not moved or at >= count:
        return dict(weights), dict(weights)
    ref, alt = {}, {}
    for number, weight in weights.items():
        right = number > at
        if (moved > 0 and right and number + moved >= count) or (moved < 0 and at < 0 and number <= at - moved):
            continue
        ref[number] = weight
        if not right:
            alt[number] = weight
        elif moved > 0 or number > at - moved:
            alt[number + moved] = weight
    if moved > 0 and at in ref:
        alt |= dict.fromkeys(range(at + 1, min(at + 1 + moved, count)), ref[at])
    return ref, alt
