"""What a statistic compares in a gene: exons, a cleavage site, an exon with its introns, junctions. Light."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from drg_hpc.attribution.gene_exons import Exon, ExonChoice, ExonIds, Side, all_exons, chosen_exons
from drg_hpc.attribution.gene_windows import Edge
from drg_hpc.attribution.gene_words import Counts, GeneStat, Junction
from drg_hpc.genome.gtf import Gene
from drg_hpc.genome.polya import PolyaSites
from drg_hpc.genome.regions import Interval, merged

_SIDES: tuple[Side, Side] = ("acceptor", "donor")


@dataclass(frozen=True)
class GeneSettings:
    """What is asked of every gene; see the flags of the same names (:class:`drg_hpc.bodies.gene_options.GeneOptions`).

    Parameters
    ----------
    exon : of splice
    junction : of splice: the local form at one or both ends of the exon; None: the whole exon against its introns
    around : bases compared before and behind a site or junction
    """

    statistic: GeneStat
    span: bool = False
    exon: ExonChoice | None = None
    junction: Junction | None = None
    site: str = "distal"
    around: Counts = (128, 160)
    centre: Literal["exons", "gene", "tss", "feature"] = "exons"
    compat: bool = False


@dataclass(frozen=True)
class Feature:
    """Something in a gene that a statistic is of.

    Attributes
    ----------
    numerator, denominator : genome intervals, ascending, without overlaps; the denominator of expression is empty
    choice : which exon, junction or site it is, for the table of regions
    place : the interval that a window around the feature is centred on
    edges : where Borzoi's bins begin
    """

    numerator: tuple[Interval, ...]
    denominator: tuple[Interval, ...]
    choice: str
    place: Interval
    edges: tuple[Edge, ...] = ()


def features_of(
    gene: Gene, settings: GeneSettings, *, chrom: str, sites: PolyaSites | None, ids: ExonIds
) -> list[Feature] | str:
    """Features of a gene; of a random choice all that it is made from. Without any, the reason in words.

    Parameters
    ----------
    chrom : the genome's name of its contig
    sites : where --polya-sites is given
    ids : of the exons that --exon names
    """
    if not gene.transcripts:
        return "no exons"
    if settings.statistic == "expression":
        return [_exons(gene, settings.span)]
    if gene.strand not in ("+", "-"):
        return "no strand"
    if settings.statistic == "polya":
        return _polya(gene, settings, chrom, sites)
    return _splice(gene, settings, chrom, ids)


def _exons(gene: Gene, span: bool) -> Feature:
    exons = gene.merged_exons()
    whole = exons[0][0], exons[-1][1]
    if span:
        return Feature((whole,), (), f"span {_shown(gene, whole)}", whole)
    return Feature(exons, (), f"{len(exons)} exons of {len(gene.transcripts)} transcripts", whole)


def _shown(gene: Gene, interval: Interval) -> str:
    return f"{gene.chrom}:{interval[0]}-{interval[1]}"


def _polya(gene: Gene, settings: GeneSettings, chrom: str, sites: PolyaSites | None) -> list[Feature] | str:
    """The gene's own site: of the file, else the 3' end that lies farthest."""
    minus = gene.strand == "-"
    if sites is None:
        transcripts = sorted(gene.transcripts, key=lambda t: -t.start if minus else t.end)
        wanted = transcripts[0 if settings.site == "proximal" else -1]
        found = [(wanted.start if minus else wanted.end - 1, f"end of {wanted.id}")]
    else:
        names = (gene.name, gene.id)
        own = sites.of(names, chrom=chrom, start=gene.start, end=gene.end, strand=gene.strand)
        if settings.site in ("distal", "proximal"):
            own = own[:1] if settings.site == "proximal" else own[-1:]
        else:
            own = [site for site in own if site.id == settings.site]
        found = [(site.position, f"site {site.id}") for site in own]
    if not found:
        which = "" if settings.site in ("distal", "proximal") else f" {settings.site}"
        return f"no polyA site{which} of {gene.name or gene.id} in its file"
    (base, choice) = found[0]
    edge = Edge(base, not minus, "site")
    up, down = edge.sides(settings.around)
    return [Feature((up,), (down,), choice, (base, base + 1), (edge,))]


def _splice(gene: Gene, settings: GeneSettings, chrom: str, ids: ExonIds) -> list[Feature] | str:
    choice = settings.exon
    assert choice is not None
    many = choice.every or choice.seed is not None
    exons = all_exons(gene) if many else chosen_exons(gene, choice, ids, chrom=chrom)
    if not exons:
        return f"no exon {choice.text} in it"
    found = [feature for exon in exons for feature in _of_exon(gene, exon, settings)]
    if found:
        return found
    if many and len(exons) == 1:
        return "a single exon, no junction"
    side = "intron beside it" if settings.junction in (None, "both") else settings.junction
    return f"exon {choice.text} has no {side}"


def _of_exon(gene: Gene, exon: Exon, settings: GeneSettings) -> Iterator[Feature]:
    """The exon, or its junctions, as a feature; nothing where there is no intron on the side asked for."""
    place, minus = (exon.start, exon.end), gene.strand == "-"
    introns = {
        side: intron
        for side in _SIDES
        if settings.junction in (None, "both", side) and (intron := exon.intron(side)) is not None
    }
    if not introns:
        return
    number = f"number {exon.number} of {exon.transcript}" if exon.number else f"beside {exon.transcript}"
    choice = f"exon {_shown(gene, place)}, {number}"
    if settings.junction is None:
        yield Feature((place,), tuple(sorted(introns.values())), choice, place)
        return
    edges = []
    for side, intron in introns.items():
        left = (side == "donor") != minus  # the exon lies to the left of this junction
        edges.append(Edge(exon.end - 1 if left else exon.start, left, "junction", before=place, behind=intron))
    sides = [edge.sides(settings.around) for edge in edges]
    choice = f"{' and '.join(introns)} of {choice}"
    numerator = tuple(merged(one for one, _ in sides))  # those of a short exon overlap
    yield Feature(numerator, tuple(sorted(other for _, other in sides)), choice, place, tuple(edges))
