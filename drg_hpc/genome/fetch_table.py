"""What ``drg-fetch`` knows by name: where it is published, and the sha256 it must have.

A digest stands here only where a public record of it was found; how many independent ones is said in ``records``.
Genomes are pinned by the sequence text that the ``.gz`` holds, which does not change when a file is packed again.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """One published file.

    Parameters
    ----------
    url : http, https or file address, or a path
    file : its name in the destination
    sha256 : of the file; empty when none is known
    unpacked : sha256 of what a gzip file holds; empty when none is known
    records : what the digests rest on
    """

    url: str
    file: str
    sha256: str = ""
    unpacked: str = ""
    records: str = ""

    @property
    def pinned(self) -> bool:
        """Whether a digest is known."""
        return bool(self.sha256 or self.unpacked)


@dataclass(frozen=True)
class Entry:
    """What a name stands for: its files, in words, and the assembly when it is a genome."""

    what: str
    files: tuple[Source, ...]
    assembly: str = ""


def _genome(name: str, what: str, unpacked: str, records: str, sha256: str = "") -> Entry:
    url = f"https://hgdownload.soe.ucsc.edu/goldenPath/{name}/bigZips/{name}.fa.gz"
    return Entry(what, (Source(url, f"{name}.fa.gz", sha256, unpacked, records),), name)


def _borzoi(fold: int, head: int, sha256: str = "") -> Entry:
    species = ("human", "mouse")[head]
    url = f"https://storage.googleapis.com/seqnn-share/borzoi/f{fold}/model{head}_best.h5"
    records = "one public record" if sha256 else ""
    what = f"Borzoi replicate {fold}, {species} head (Linder et al. 2025)"
    return Entry(what, (Source(url, f"borzoi_f{fold}_{species}.h5", sha256, "", records),))


_CALDERON = (
    "https://raw.githubusercontent.com/mostafavilabuw/Calderon2019ATACmodel/5aee3d496363044f320b0b9ec2e1060488ae75c6/"
    "Models/ATACcountsonPeak400rcomp-cv10-1_Cormsek256l15FfGELUwei81rcTvlCotasft101tr0.0001SGD0.9bs64-F_"
)
_OURS = "the repository's files at this commit"

TABLE: dict[str, Entry] = {
    "hg38": _genome(
        "hg38",
        "human genome GRCh38, UCSC, first release",
        "5be01555d98347fdb3714dc84c6f77c9d8bc774adcf32c6f7a8fa06f5baf5e51",
        "more than three public records of each",
        "c1dd87068c254eb53d944f71e51d1311964fce8de24d6fc0effc9c61c01527d4",
    ),
    "hg19": _genome(
        "hg19",
        "human genome GRCh37, UCSC",
        "92b96d16b307d824f3b6b9dc63feb237a75226f82ca2166d51ecec039bee4449",
        "two public records",
    ),
    "mm39": _genome(
        "mm39",
        "mouse genome GRCm39, UCSC",
        "34a1e72bb3edce582b3d5ab40fc6082039ac24fd40cf6472d73a69284c60a2b4",
        "two public records",
    ),
    "mm10": _genome(
        "mm10",
        "mouse genome GRCm38, UCSC, first release",
        "db16cb4633191754f1d9cc70e73d2a1f60d03fdf62bcf4902a31a4717a3d2de7",
        "two public records",
    ),
    "sacCer3": _genome(
        "sacCer3",
        "yeast genome R64, UCSC",
        "6ff72f079c3268431fc514a1a88730f8290e717663d343fa8a3590af65c422c3",
        "one public record",
    ),
    "calderon-shallow": Entry(
        "DRG model of ATAC-seq in 45 human immune cell states (shallow CNN)",
        (
            Source(
                f"{_CALDERON}model_params.dat",
                "calderon_shallow_model_params.dat",
                "e2004a80c9f0ea44ab3950d37d1cd2474892aca3059401643597425a711ca03a",
                "",
                _OURS,
            ),
            Source(
                f"{_CALDERON}parameter.pth",
                "calderon_shallow_parameter.pth",
                "a64f9519a8e4d58bbc01f5a3413451794fd08aa0d10e150be2e48d1764345186",
                "",
                _OURS,
            ),
        ),
    ),
    "borzoi-f0-human": _borzoi(0, 0, "7661c8d8541ae39293b1bf25392a4ec7b97b76114be5ddf82764644c3094eb9f"),
    "borzoi-f0-mouse": _borzoi(0, 1, "14b1d2e2f94898dd4d83b7e228f302707d524e3a1feb2b986341b196bd0fd127"),
    **{f"borzoi-f{fold}-{('human', 'mouse')[head]}": _borzoi(fold, head) for fold in (1, 2, 3) for head in (0, 1)},
}
