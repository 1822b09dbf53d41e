"""Genes of drg-variants: what a plan keeps of them, and which are near a variant. Light."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from drg_hpc.attribution.gene_tracks import values_of
from drg_hpc.attribution.gene_windows import Geometry
from drg_hpc.bodies.gene_options import coverage_order
from drg_hpc.bodies.gene_places import PairCounts, Places, count_pairs, make_places, output_start
from drg_hpc.bodies.gene_plan import chosen_genes, plan_gene_list, plan_transforms
from drg_hpc.bodies.variants_options import Options, VariantGeneOptions
from drg_hpc.config import changed
from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import counted
from drg_hpc.genome.regions import Interval
from drg_hpc.genome.selection import parse_conditions
from drg_hpc.genome.vcf import Variant
from drg_hpc.models.header import track_links

_NAMED = 5


@dataclass(frozen=True)
class PlannedGenes:
    """What a run does with genes.

    Attributes
    ----------
    params : for ``plan.params["genes"]``, plain JSON values
    files : by the name that the plan's inputs have for them
    notes : lines worth telling the user
    """

    params: dict[str, Any]
    files: dict[str, Path]
    notes: tuple[str, ...]


def plan_variant_genes(
    options: Options,
    header: Mapping[str, Any],
    *,
    contigs: Mapping[str, int],
    target: Mapping[str, Any],
    variants: Sequence[Variant],
) -> PlannedGenes | None:
    """Check the flags of genes, and count the rows of their table; None without --gtf.

    Parameters
    ----------
    target : record of the values
    variants : alleles that are scored

    Raises
    ------
    UsageError : flags that clash, a model without bins, values that are no tracks, no such gene, tracks of one strand
    InputError : a faulty file, or no gene near an allele
    """
    if not _uses_genes(options, target):
        return None
    params, files = _asked(options, header)
    places = read_places(params, files, contigs)
    counts = count_pairs(places.genes, variants, Geometry(**params["geometry"]))
    if not counts.genes:
        raise InputError(
            f"none of the {len(places.genes)} genes of {options.gtf} has an exon in the bins around an allele",
            fix="leave --gtf out, or give genes near the variants",
        )
    values, notes = _values(options, header, target["tracks"], strands={gene.strand for gene in counts.genes})
    return PlannedGenes(
        params | values | {"rows": counts.pairs},
        files,
        (*_told(counts, places, named=options.genes is not None), *notes),
    )


def _uses_genes(options: Options, target: Mapping[str, Any]) -> bool:
    """Whether --gtf is given, of values that genes can have."""
    if options.gtf is None:
        if own := changed(options, VariantGeneOptions.model_fields):
            raise UsageError(f"--{own[0].replace('_', '-')} needs --gtf")
        return False
    if target["kind"] != "tracks":
        raise UsageError("--gtf with groups or a transform: the sums of genes are of tracks", fix="name tracks")
    return True


def _asked(options: Options, header: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Path]]:
    """What the flags say of genes, and the files that they name."""
    assert options.gtf is not None
    files = {"gtf": options.gtf}
    params = {
        "genes": plan_gene_list(options.genes, files),
        "transcripts": parse_conditions(options.transcripts, flag="--transcripts"),
        "span": options.span,
        "pseudo": options.gene_pseudo,
        "geometry": asdict(Geometry.of_model(header)),
    }
    return params, files | ({} if options.targets is None else {"targets": options.targets})


def _told(counts: PairCounts, places: Places, *, named: bool) -> Iterator[str]:
    """What genes there are, and which were asked for that are not among them."""
    yield (
        f"{counted(counts.pairs, 'pair')} of an allele and a gene, {counted(len(counts.genes), 'gene')}; "
        f"{counted(counts.alone, 'allele')} without one"
    )
    missed = dict(places.left_out)
    if named:
        near = {gene.number for gene in counts.genes}
        missed["near no allele"] = [gene.name or gene.id for gene in places.genes if gene.number not in near]
    for reason, names in sorted(missed.items()):
        if names:
            which = f" ({', '.join(names[:_NAMED])}{', …' if len(names) > _NAMED else ''})" if named else ""
            yield f"{counted(len(names), 'gene')} left out: {reason}{which}"


def _values(
    options: Options, header: Mapping[str, Any], tracks: Sequence[int], *, strands: Iterable[str]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What is computed of each gene, and notes on it."""
    order, names = coverage_order(options), list(header["tracks"])
    values = values_of(
        tracks, names, header["strand_partners"], statistic="", each=True, strands=sorted(strands)
    )  # fmt: skip
    transforms = plan_transforms(options, header, tracks=tracks, order=order)
    # only the old order's root takes what is below 0 as 0
    positive = order == "old" and all(exponent < 1 for _, _, exponent, _ in transforms)
    signed = not positive and "identity" in [track_links(header)[track] for track in tracks]
    found = {
        "order": order,
        "values": [value.record() for value in values],
        "transforms": transforms,
        "scores": ["SED"] if signed else ["SED", "logSED"],
    }
    return found, ("no logSED: outputs of a track with the link identity may be negative",) if signed else ()


def read_places(params: Mapping[str, Any], files: Mapping[str, Path], contigs: Mapping[str, int]) -> Places:
    """Genes of the parameters and files of a plan, those that have an exon on a contig of the genome.

    Raises
    ------
    UsageError : a gene that the file does not have
    InputError : a faulty file, no contig in common with the genome, or a gene beyond its contig
    """
    genes = chosen_genes(params, files)
    return make_places(genes, span=params["span"], contigs=contigs, source=str(files["gtf"]))


def output_of(variant: Variant, params: Mapping[str, Any]) -> Interval:
    """The bases that the bins of a variant's window are of."""
    geometry = Geometry(**params["geometry"])
    start = output_start(variant, geometry)
    return start, start + geometry.size * geometry.bins
