"""The rows of a gene statistic: each gene's input window and the bases that its statistic reads. Light."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from drg_hpc.attribution.gene_exons import ExonIds, random_number
from drg_hpc.attribution.gene_features import Feature, GeneSettings, features_of
from drg_hpc.attribution.gene_windows import (
    Geometry,
    bin_weights,
    compat_exons,
    compat_window_at,
    count_bins,
    middle,
    whole_bins,
    window_at,
)
from drg_hpc.digests import digest
from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.contigs import map_contigs
from drg_hpc.genome.gtf import Gene
from drg_hpc.genome.polya import PolyaSites
from drg_hpc.genome.regions import Interval

GENE_TEXT = ("gene_id", "gene_name", "gene_strand", "choice")
"""Columns that the table of regions has besides its own; ``covered`` is a number."""
COVERED = "covered"
_OUTSIDE = "outside the bins of its window"
Weights = dict[int, float]


@dataclass(frozen=True, slots=True)
class GeneRow:
    """One row: a gene, or one exon of it.

    Attributes
    ----------
    chrom, start, end : the input window, which may reach over the ends of its contig
    strand : the gene's; the sequence is always that of the + strand
    numerator, denominator : genome intervals that the statistic is of; with --compat those of whole bins
    choice : which exon, junction or site was taken
    covered : share of the numerator's and the denominator's bases that bins are of
    bins : how many bins have a part in them
    """

    gene_id: str
    gene_name: str
    chrom: str
    start: int
    end: int
    strand: str
    kept: bool
    reason: str
    numerator: tuple[Interval, ...] = ()
    denominator: tuple[Interval, ...] = ()
    choice: str = ""
    covered: float = 0.0
    bins: int = 0

    def weights(self, geometry: Geometry, shift: int = 0) -> tuple[Weights, Weights]:
        """Bin -> share of it, ascending, of the numerator and of the denominator.

        Parameters
        ----------
        shift : bases that the sequence is moved to the right in its window
        """
        start = self.start - shift
        return bin_weights(self.numerator, start, geometry), bin_weights(self.denominator, start, geometry)

    def require_inside(self, geometry: Geometry, shift: int) -> None:
        """Refuse a shift that leaves no bin to the numerator or to the denominator of a row that has both.

        Raises
        ------
        UsageError : it does
        """
        sides = [side for side in (self.numerator, self.denominator) if side]
        left = [bool(count_bins(side, self.start - shift, geometry)) for side in sides]
        if not all(left):
            raise UsageError(
                f"--shifts {shift}: gene {self.gene_name or self.gene_id}: {self.choice}: "
                f"{'one side' if any(left) else 'all'} of it is moved out of the bins",
                fix="give smaller --shifts, or leave the gene out",
            )


def table_digest(rows: Iterable[GeneRow]) -> str:
    """SHA-256 of all rows."""
    return digest([asdict(row) for row in rows])


def gene_rows(
    genes: Sequence[Gene],
    settings: GeneSettings,
    geometry: Geometry,
    *,
    contigs: Mapping[str, int],
    sites: PolyaSites | None = None,
    ids: ExonIds | None = None,
    source: str = "the GTF",
) -> list[GeneRow]:
    """Rows of genes, in their order: one a gene, with several exons asked for one an exon.

    A gene whose feature is missing, or has no base that a bin is of, is kept=false with the reason. Of one that is
    partly outside, ``covered`` says how much is inside.

    Parameters
    ----------
    contigs : name -> length of the genome
    source : of the genes, for messages

    Raises
    ------
    InputError : no contig in common with the genome
    """
    mapping = map_contigs((gene.chrom for gene in genes), contigs, what=source)
    found: list[GeneRow] = []
    for gene in genes:
        chrom = mapping.get(gene.chrom)
        if chrom is None:
            found.append(_left_out(gene, gene.chrom, "unknown contig", geometry))
            continue
        features = features_of(gene, settings, chrom=chrom, sites=sites, ids=ids or {})
        if isinstance(features, str):
            found.append(_left_out(gene, chrom, features, geometry))
            continue
        rows = [_row(gene, feature, settings, geometry, chrom=chrom, contig=contigs[chrom]) for feature in features]
        found += _random(gene, rows, settings)
    return found


def _random(gene: Gene, rows: list[GeneRow], settings: GeneSettings) -> list[GeneRow]:
    """Of a random choice one row, of those whose exon is inside the output where there are any."""
    seed = settings.exon.seed if settings.exon else None
    if seed is None:
        return rows
    inside = [row for row in rows if row.covered == 1.0] or [row for row in rows if row.kept] or rows
    return [inside[random_number(len(inside), gene, seed)]]


def _left_out(gene: Gene, chrom: str, reason: str, geometry: Geometry) -> GeneRow:
    start = middle([(gene.start, gene.end)], gene.strand) - geometry.length // 2
    return GeneRow(gene.id, gene.name, chrom, start, start + geometry.length, gene.strand, False, reason)


def _row(
    gene: Gene, feature: Feature, settings: GeneSettings, geometry: Geometry, *, chrom: str, contig: int
) -> GeneRow:
    start = _start(gene, feature, settings, geometry, contig)
    numerator, denominator = _sides(feature, settings, start, geometry)
    weights, against = (bin_weights(side, start, geometry) for side in (numerator, denominator))
    parts = (*numerator, *denominator)
    bases = sum(end - begin for begin, end in parts)
    first, last = geometry.output(start)
    inside = sum(max(0, min(end, last) - max(begin, first)) for begin, end in parts)
    reason = ""
    if not weights or (denominator and not against):
        whole = "" if inside == 0 or not denominator else "one side of it is "
        reason = f"{feature.choice}: {whole}{_OUTSIDE}"
    return GeneRow(
        gene_id=gene.id,
        gene_name=gene.name,
        chrom=chrom,
        start=start,
        end=start + geometry.length,
        strand=gene.strand,
        kept=not reason,
        reason=reason,
        numerator=numerator,
        denominator=denominator,
        choice=feature.choice,
        covered=inside / bases if bases else 0.0,
        bins=len({*weights, *against}),
    )


def _start(gene: Gene, feature: Feature, settings: GeneSettings, geometry: Geometry, contig: int) -> int:
    """Where the window begins."""
    if settings.compat:
        return compat_window_at(middle(gene.merged_exons(), "+"), geometry)
    if settings.centre == "tss":
        at = gene.tss
    elif settings.centre == "gene":
        at = middle([(gene.start, gene.end)], gene.strand)
    else:
        at = middle([feature.place] if settings.centre == "feature" else gene.merged_exons(), gene.strand)
    return window_at(at, gene.strand, geometry, contig=contig)


def _sides(
    feature: Feature, settings: GeneSettings, start: int, geometry: Geometry
) -> tuple[tuple[Interval, ...], tuple[Interval, ...]]:
    """Intervals of numerator and denominator."""
    if not settings.compat:
        return feature.numerator, feature.denominator
    if settings.statistic == "expression":
        ranges = compat_exons(feature.numerator, start, geometry, span=settings.span)
        return whole_bins(ranges, start, geometry), ()
    sides = [edge.compat_sides(start, geometry) for edge in feature.edges]
    one, other = ([side[number] for side in sides] for number in (0, 1))
    return whole_bins(one, start, geometry), whole_bins(other, start, geometry)


def refuse_faulty(rows: Sequence[GeneRow]) -> None:
    """Under --strict the feature of every gene has to be wholly inside the bins.

    Raises
    ------
    InputError : the first one that is not
    """
    faulty = [row for row in rows if not row.kept or row.covered < 1.0]
    if faulty:
        row = faulty[0]
        what = row.reason or f"{row.choice}: {row.covered:.0%} of it is inside the bins of its window"
        raise InputError(
            f"gene {row.gene_name or row.gene_id}: {what}; {len(faulty)} of {len(rows)} rows are not wholly inside",
            fix="leave these genes out, try another --centre, or leave --strict out to have them kept=false or in part",
        )


def notes_on(rows: Sequence[GeneRow]) -> Iterator[str]:
    """Lines worth telling the user."""
    lost = [row for row in rows if not row.kept]
    for row in lost[:3]:
        yield f"not kept: gene {row.gene_name or row.gene_id}: {row.reason}"
    if len(lost) > 3:
        yield f"not kept: {len(lost)} of {len(rows)} rows in all; regions/reason says why"
    if part := [row for row in rows if row.kept and row.covered < 1.0]:
        least = min(part, key=lambda row: row.covered)
        yield (
            f"{len(part)} of {len(rows)} rows reach beyond the bins of their windows, which count what is inside; the "
            f"least is {least.covered:.0%} of {least.gene_name or least.gene_id}"
        )
