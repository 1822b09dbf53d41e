"""Lengths of a few contigs of common assemblies (UCSC chrom.sizes), to catch a FASTA of another one."""

from __future__ import annotations

from collections.abc import Mapping

from drg_hpc.genome.contigs import map_contigs

ASSEMBLIES: dict[str, dict[str, int]] = {
    "hg38": {
        "chr1": 248956422, "chr2": 242193529, "chr3": 198295559, "chr8": 145138636, "chr10": 133797422,
        "chr17": 83257441, "chr21": 46709983, "chr22": 50818468, "chrX": 156040895, "chrY": 57227415,
    },
    "hg19": {
        "chr1": 249250621, "chr2": 243199373, "chr3": 198022430, "chr8": 146364022, "chr10": 135534747,
        "chr17": 81195210, "chr21": 48129895, "chr22": 51304566, "chrX": 155270560, "chrY": 59373566,
    },
    "mm10": {
        "chr1": 195471971, "chr2": 182113224, "chr3": 160039680, "chr8": 129401213, "chr10": 130694993,
        "chr19": 61431566, "chrX": 171031299, "chrY": 91744698,
    },
    "mm39": {
        "chr1": 195154279, "chr2": 181755017, "chr3": 159745316, "chr8": 130127694, "chr10": 130530862,
        "chr19": 61420004, "chrX": 169476592, "chrY": 91455967,
    },
    "sacCer3": {
        "chrI": 230218, "chrII": 813184, "chrIII": 316620, "chrIV": 1531933, "chrVI": 270161, "chrM": 85779,
    },
}  # fmt: skip


def check_assembly(name: str, lengths: Mapping[str, int]) -> None:
    """Compare contig lengths with those of an assembly; contigs it does not list are not looked at.

    Raises
    ------
    InputError : a length differs (both are shown), or no contig is one of the listed ones
    """
    map_contigs(lengths, ASSEMBLIES[name], what=f"FASTA for --assembly {name}", lengths=lengths)
