"""Plan of the gene statistics: rows, values and transforms. Light.

:func:`read_gene_rows` makes the rows from the plan's ``genes`` parameters and files, in the plan and in every worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from drg_hpc.attribution.gene_exons import exon_ids, parse_exon
from drg_hpc.attribution.gene_features import GeneSettings
from drg_hpc.attribution.gene_tracks import to_json, transforms_of, values_of
from drg_hpc.attribution.gene_windows import Geometry
from drg_hpc.attribution.gene_words import Order
from drg_hpc.attribution.genes import GeneRow, gene_rows, notes_on, refuse_faulty, table_digest
from drg_hpc.bodies.gene_options import CoverageOptions, GeneOptions, gene_settings
from drg_hpc.config import nearest
from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.gtf import Gene, read_genes
from drg_hpc.genome.polya import PolyaSites
from drg_hpc.genome.selection import Selection, parse_conditions, without_version
from drg_hpc.genome.text import numbered_lines


@dataclass(frozen=True)
class GenePlan:
    """What a run over genes works on.

    Attributes
    ----------
    params : for ``plan.params["genes"]``, plain JSON values
    files : by the name that the plan's inputs have for them
    names : of the values
    notes : lines worth telling the user
    """

    rows: list[GeneRow]
    params: dict[str, Any]
    files: dict[str, Path]
    names: tuple[str, ...]
    notes: tuple[str, ...]


def plan_genes(
    options: GeneOptions,
    header: Mapping[str, Any],
    *,
    contigs: Mapping[str, int],
    tracks: Sequence[int],
    limit: int | None = None,
    shifts: Sequence[int] = (),
) -> GenePlan:
    """Check flags, genes and model against each other, and settle the rows.

    Parameters
    ----------
    header : model.json of the model, or of the first of several alike
    contigs : name -> length of the genome
    tracks : indices of those that --tracks chose
    limit : only the first rows, None for all; nothing is asked of the others
    shifts : in bases, that sequences are moved by

    Raises
    ------
    UsageError : flags that clash, no such gene or exon, a model without bins, tracks of unknown strand, a shift that
        moves a gene out of the bins
    InputError : a faulty file, a track that the targets table lacks, no gene that can be used; with --strict also a
        feature that is not wholly inside the bins
    """
    assert options.gtf is not None
    files = {"gtf": options.gtf}
    wanted = plan_gene_list(options.genes, files)
    if options.polya_sites is not None:
        files["polya_sites"] = options.polya_sites
    geometry = Geometry.of_model(header)
    params = gene_settings(options) | {
        "genes": wanted,
        "transcripts": parse_conditions(options.transcripts, flag="--transcripts"),
        "geometry": asdict(geometry),
        "limit": limit,
    }
    rows = read_gene_rows(params, files, contigs)
    if not any(row.kept for row in rows):
        raise InputError(f"none of the {len(rows)} rows of {options.gtf} can be used: {rows[0].reason}")
    if options.strict:
        refuse_faulty(rows)
    for shift, row in product(shifts, rows):
        if row.kept:
            row.require_inside(geometry, shift)
    if options.targets is not None:
        files["targets"] = options.targets
    return _with_tracks(
        options, header, rows, params | {"sha256": table_digest(rows), "rows": len(rows)}, files, tracks
    )


def _with_tracks(
    options: GeneOptions,
    header: Mapping[str, Any],
    rows: list[GeneRow],
    params: dict[str, Any],
    files: dict[str, Path],
    tracks: Sequence[int],
) -> GenePlan:
    names, partners = list(header["tracks"]), list(header["strand_partners"])
    strands = sorted({row.strand for row in rows if row.kept})
    values = values_of(
        tracks, names, partners, statistic=params["statistic"], each=options.each_track, strands=strands
    )  # fmt: skip
    transforms = plan_transforms(options, header, tracks=tracks, order=params["order"])
    params |= {"values": [value.record() for value in values], "transforms": transforms}
    kept = sum(row.kept for row in rows)
    note = f"{params['statistic']} of {kept} rows, read from {max(row.bins for row in rows)} bins at most"
    return GenePlan(rows, params, files, tuple(value.name for value in values), (note, *notes_on(rows)))


def plan_transforms(
    options: CoverageOptions, header: Mapping[str, Any], *, tracks: Sequence[int], order: Order
) -> list[list[Any]]:
    """What is undone to tracks and their partners, for a plan.

    Raises
    ------
    InputError : a track that the targets table lacks, or that has no inverse
    """
    partners = (header["strand_partners"][track] for track in tracks)
    read = sorted({*tracks, *(partner for partner in partners if partner is not None)})
    transforms = transforms_of(
        read,
        list(header["tracks"]),
        order=order,
        targets=options.targets,
        scale=options.track_scale,
        exponent=options.track_transform,
        clip_soft=options.clip_soft,
    )
    return to_json(transforms)


def plan_gene_list(genes: str | None, files: dict[str, Path]) -> list[str] | None:
    """Names of ``--genes``; None without it, and where it is a file, which ``files`` gets."""
    if genes is None:
        return None
    if Path(genes).is_file():
        files["gene_list"] = Path(genes)
        return None
    return [item.strip() for item in genes.split(",")]


def chosen_genes(params: Mapping[str, Any], files: Mapping[str, Path]) -> list[Gene]:
    """Genes of the parameters and files of a plan: as they were asked for, else in the order of the GTF.

    Raises
    ------
    UsageError : a gene that the file does not have
    InputError : a faulty file
    """
    gtf = files["gtf"]
    selection = Selection(params["transcripts"]) if params["transcripts"] else None
    genes = read_genes(gtf, selection=selection, of="transcript") if selection else read_genes(gtf)
    if not genes:
        raise InputError(f"no genes in {gtf}" + (" with a transcript that passes --transcripts" if selection else ""))
    wanted = params["genes"]
    if "gene_list" in files:
        wanted = _listed(files["gene_list"])
    return genes if wanted is None else _chosen(genes, wanted, gtf)


def read_gene_rows(
    params: Mapping[str, Any], files: Mapping[str, Path], contigs: Mapping[str, int]
) -> list[GeneRow]:  # fmt: skip
    """Rows of the parameters and files of a plan.

    Raises
    ------
    UsageError : a gene or an exon that the file does not have
    InputError : a faulty file
    """
    gtf, genes = files["gtf"], chosen_genes(params, files)
    exon = parse_exon(params["exon"]) if params["exon"] else None
    settings = GeneSettings(
        statistic=params["statistic"],
        span=params["span"],
        exon=exon,
        junction=params["junction"],
        site=params["site"],
        around=tuple(params["around"]),
        centre=params["centre"],
        compat=params["compat"],
    )
    rows = gene_rows(
        genes,
        settings,
        Geometry(**params["geometry"]),
        contigs=contigs,
        sites=PolyaSites(files["polya_sites"], contigs) if "polya_sites" in files else None,
        ids=exon_ids(gtf, exon.ids) if exon and exon.ids else None,
        source=str(gtf),
    )
    return rows[: params["limit"]]


def _listed(path: Path) -> list[str]:
    lines = (line.strip() for _, line in numbered_lines(path))
    if not (found := [line for line in lines if line and not line.startswith("#")]):
        raise InputError(f"no genes in {path}", fix="a name or id per line")
    return found


def _chosen(genes: Sequence[Gene], wanted: Sequence[str], gtf: Path) -> list[Gene]:
    """Genes by name or id in the order asked for; all that share a name (as in both copies of a region)."""
    by_name: dict[str, list[Gene]] = {}
    for gene in genes:
        for name in {gene.id, without_version(gene.id), gene.name} - {""}:
            by_name.setdefault(name, []).append(gene)
    found: dict[int, Gene] = {}
    for name in wanted:
        if name not in by_name:
            raise UsageError(f"--genes: no gene {name!r} in {gtf}", fix=nearest(name, by_name) if len(by_name) < 500
                             else "its names and ids are those of gene_name and gene_id")  # fmt: skip
        found |= {id(gene): gene for gene in by_name[name] if id(gene) not in found}
    return list(found.values())
