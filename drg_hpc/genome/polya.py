"""Cleavage and polyadenylation sites: tables of PolyA_DB, and BED files. Standard library only.

PolyA_DB 3 (Wang et al. 2018, 10.1093/nar/gkx1000) numbers bases from 1; a site is the last base that is transcribed
into the mature RNA. Two tables are read: its own ``*.PAS.txt``, and the one made from it for Borzoi (columns gene,
chrom, strand, position_hg38 or another position_*, pas_id, site_type, site_num).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from drg_hpc.errors import InputError
from drg_hpc.genome.bed import read_bed
from drg_hpc.genome.contigs import map_contigs
from drg_hpc.genome.row_checks import contig_name, interval, is_number, strand_of
from drg_hpc.genome.selection import without_version
from drg_hpc.genome.text import numbered_lines

_BED = re.compile(r"\.bed\d*(?:\.b?gz)?$", re.IGNORECASE)
_COLUMNS: dict[str, tuple[str, ...]] = {
    "chrom": ("chrom", "chromosome"),
    "strand": ("strand",),
    "position": ("position",),
    "gene": ("gene", "gene symbol"),
    "gene_id": ("ensembl gene id",),
    "id": ("pas_id",),
    "type": ("site_type", "intron/exon location"),
    "number": ("site_num",),
}
_NEEDED = ("chrom", "strand", "position")
_LAST_EXON = ("3mostexon", "singleexon")
BEYOND = 50
"""A site up to so many bases beyond the ends of a gene can be its own, where a file does not name genes."""


class PolyaSite(NamedTuple):
    """A site.

    Attributes
    ----------
    id : as the file has it, else ``chrom:position:strand`` with the position counted from 1
    genes : symbol and identifiers of its gene, without versions; none in a BED file
    position : the last base before the cleavage, 0-based
    number : of the site in its gene, ascending towards the 3' end; 0 where the file has none
    """

    id: str
    genes: tuple[str, ...]
    chrom: str
    position: int
    strand: str
    number: int = 0


class PolyaSites:
    """Sites in the last exons of genes.

    Parameters
    ----------
    contigs : name -> length of the genome, whose names the sites get

    Raises
    ------
    InputError : a faulty file, or no contig in common with the genome
    """

    def __init__(self, path: Path, contigs: Mapping[str, int]) -> None:
        self.path = path
        found = list(read_sites(path))
        mapping = map_contigs((site.chrom for site in found), contigs, what=str(path))
        self.named = any(site.genes for site in found)
        self._by_name: dict[str, list[PolyaSite]] = {}
        self._by_place: dict[tuple[str, str], list[PolyaSite]] = {}
        for site in (site._replace(chrom=mapping[site.chrom]) for site in found if site.chrom in mapping):
            self._by_place.setdefault((site.chrom, site.strand), []).append(site)
            for name in site.genes:
                self._by_name.setdefault(name, []).append(site)

    def of(self, names: Iterable[str], *, chrom: str, start: int, end: int, strand: str) -> list[PolyaSite]:
        """Sites of a gene, from its 5' to its 3' end.

        A file with gene symbols is asked for the gene by its names (with or without version), so that a neighbour's
        site is never taken; of a file without, the sites on the gene's strand from 50 bases before to 50 behind it.
        Where a table numbers sites, only the last unbroken run of numbers counts, as in Borzoi: what comes before a
        gap has another kind of site between.
        """
        if self.named:
            wanted = dict.fromkeys(without_version(name) for name in names if name)
            found = {site for name in wanted for site in self._by_name.get(name, ())}
            sites = [site for site in found if (site.chrom, site.strand) == (chrom, strand)]
        else:
            here = self._by_place.get((chrom, strand), ())
            sites = [site for site in here if start - BEYOND <= site.position < end + BEYOND]
        sites.sort(key=lambda site: (site.number, site.id))
        first = len(sites) - 1
        while first > 0 and sites[first].number - sites[first - 1].number <= 1:
            first -= 1
        return sorted(sites[max(first, 0) :], key=lambda site: -site.position if strand == "-" else site.position)


def read_sites(path: Path) -> Iterator[PolyaSite]:
    """Sites of a BED file (the 3' end of each interval), or of a table those in the last exon of their gene.

    Raises
    ------
    InputError : a faulty file, no strand, no rows; with the line
    """
    if _BED.search(path.name):
        yield from _from_bed(path)
        return
    lines = ((number, line.split("\t")) for number, line in numbered_lines(path) if line.strip())
    number, header = next(lines, (1, [""]))
    columns = _columns(path, number, header)
    rows = kept = 0
    for number, fields in lines:
        at = f"{path}: line {number}"
        if len(fields) != len(header):
            raise InputError(f"{at}: {len(fields)} columns, the header has {len(header)}")
        rows += 1
        kind = re.sub(r"[^a-z0-9]", "", fields[columns["type"]].lower()) if "type" in columns else _LAST_EXON[0]
        if kind in _LAST_EXON:
            kept += 1
            yield _site({key: fields[column].strip() for key, column in columns.items()}, at)
    if not kept:
        raise InputError(f"no sites in {path}: {rows} rows, none of a gene's last exon")


def _from_bed(path: Path) -> Iterator[PolyaSite]:
    for row in read_bed(path):
        if row.strand not in ("+", "-"):
            raise InputError(f"{path}: line {row.line}: no strand, which a polyA site needs (column 6)")
        position = row.start if row.strand == "-" else row.end - 1
        yield PolyaSite(row.name, (), row.chrom, position, row.strand)


def _place(chrom: str, position: int, strand: str) -> str:
    return f"{chrom}:{position + 1}:{strand}"


def _columns(path: Path, number: int, header: Sequence[str]) -> dict[str, int]:
    names = [name.strip().lower() for name in header]
    found = {}
    for key, known in _COLUMNS.items():
        at = [
            i for i, name in enumerate(names) if name in known or (key == "position" and name.startswith("position_"))
        ]
        if len(at) > 1:
            raise InputError(
                f"{path}: line {number}: two columns are the {key}: {header[at[0]]!r} and {header[at[1]]!r}"
            )
        if at:
            found[key] = at[0]
    if missing := [key for key in _NEEDED if key not in found]:
        raise InputError(
            f"{path}: line {number}: no column for {', '.join(missing)}",
            fix="give a tab-separated table of PolyA_DB, or a BED file whose name ends in .bed",
        )
    return found


def _site(row: Mapping[str, str], at: str) -> PolyaSite:
    chrom, strand = contig_name(row["chrom"], at), strand_of(row["strand"], at)
    if strand == ".":
        raise InputError(f"{at}: no strand, which a polyA site needs")
    position, _ = interval(row["position"], row["position"], at=at, one_based=True)
    number = row.get("number", "0")
    if not is_number(number) or len(number) > 9:
        raise InputError(f"{at}: site_num {number!r} is not a whole number")
    names = [row.get("gene", ""), row.get("gene_id", "")]
    genes = tuple(without_version(name) for name in names if name not in ("", "NA", "na"))
    return PolyaSite(row.get("id") or _place(chrom, position, strand), genes, chrom, position, strand, int(number))
