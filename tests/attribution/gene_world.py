"""A small annotation on a small contig, and a network whose coverage is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from drg_hpc.attribution.gene_exons import exon_ids, parse_exon
from drg_hpc.attribution.gene_features import GeneSettings
from drg_hpc.attribution.gene_windows import Geometry
from drg_hpc.attribution.genes import GeneRow, gene_rows
from drg_hpc.genome.gtf import read_genes
from drg_hpc.genome.polya import PolyaSites
from drg_hpc.models.base import ModelShape, SequenceModel
from drg_hpc.models.config import Link

CONTIG = 2000
GEOMETRY = Geometry(length=512, crop=64, size=16, bins=24)
TRACKS = ["a+", "a-", "d", "e+", "e-"]
PARTNERS: list[int | None] = [1, 0, 2, 4, 3]

Exons = Sequence[tuple[int, int]]
GENES: dict[str, tuple[str, dict[str, Exons]]] = {
    "G1": ("+", {"T1": [(700, 760), (820, 850), (930, 1001)], "T2": [(700, 760), (930, 990)]}),
    "G2": ("-", {"T3": [(1200, 1237), (1300, 1363), (1450, 1490)]}),
    "G3": ("+", {"T4": [(300, 420)]}),
}


def gtf_text(*, mirrored: bool = False) -> str:
    """The genes; ``mirrored`` turns the contig round. Exon ids are ``E`` and the interval as it was."""
    lines = []
    for gene, (strand, transcripts) in GENES.items():
        for name, exons in transcripts.items():
            tags = ' tag "MANE_Select";' if name == "T1" else ""
            for start, end in exons:
                here = (CONTIG - end, CONTIG - start) if mirrored else (start, end)
                sign = strand if not mirrored else "+-"[strand == "+"]
                attributes = f'gene_id "{gene}.1"; gene_name "{gene.lower()}"; transcript_id "{name}.2"; '
                attributes += f'exon_id "E{start}_{end}";{tags}'
                row = ["c", "x", "exon", str(here[0] + 1), str(here[1]), ".", sign, ".", attributes]
                lines.append("\t".join(row))
    return "\n".join(lines) + "\n"


def rows_of(
    folder: Path, settings: GeneSettings, *, mirrored: bool = False, geometry: Geometry = GEOMETRY,
    genes: Sequence[str] = ("G1", "G2"), sites: Path | None = None, contig: int = CONTIG,
) -> list[GeneRow]:  # fmt: skip
    path = folder / f"genes{mirrored:d}.gtf"
    path.write_text(gtf_text(mirrored=mirrored))
    contigs = {"c": contig}
    ids = exon_ids(path, settings.exon.ids) if settings.exon and settings.exon.ids else None
    chosen = [gene for gene in read_genes(path) if gene.id[:2] in genes]
    polya = PolyaSites(sites, contigs) if sites else None
    return gene_rows(chosen, settings, geometry, contigs=contigs, sites=polya, ids=ids)


def splice(exon: str, **more: object) -> GeneSettings:
    return GeneSettings("splice", exon=parse_exon(exon), around=(96, 96), **more)  # type: ignore[arg-type]


class Known(SequenceModel):
    """Coverage of a bin on the link scale: a number per track and base, averaged over the bin, squared and shifted.

    Turning the sequence round turns the bins round and swaps the tracks of a pair.
    """

    def __init__(self, link: Link = "softplus", geometry: Geometry = GEOMETRY) -> None:
        shape = ModelShape.single(
            geometry.length, len(TRACKS), bins=geometry.bins, link=link, span=geometry.size * geometry.bins
        )
        super().__init__(shape)
        self.tracks, self.strand_partners = list(TRACKS), list(PARTNERS)
        self.geometry = geometry
        kernel = torch.tensor(
            [[0.3, 1.1, -0.7, 2.0], [0.0] * 4, [0.9, -0.2, -0.2, 0.9], [1.7, 0.1, 0.6, -1.0], [0.0] * 4]
        )
        kernel[1], kernel[4] = kernel[0].flip(0), kernel[3].flip(0)
        self.kernel = torch.nn.Parameter(kernel)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        g = self.geometry
        inside = x[..., g.crop : g.length - g.crop]
        values = torch.einsum("tc,ncl->ntl", self.kernel, inside)
        binned = values.reshape(len(x), -1, g.bins, g.size).mean(-1)
        return 2.0 * binned + 1.5 * binned.square() + 0.4


def sequence(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    """One-hot (rows, 4, length), float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.eye(4, dtype=torch.float64)[torch.randint(0, 4, (rows, length), generator=generator)].transpose(1, 2)
