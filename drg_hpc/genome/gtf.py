"""Genes and transcripts of GTF and GFF3 files. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from drg_hpc.errors import InputError
from drg_hpc.genome.gff3 import Chains
from drg_hpc.genome.gtf_rows import Attributes, Feature, dialect_of, first_of, read_features, values_of
from drg_hpc.genome.regions import Interval, merged
from drg_hpc.genome.selection import Selection

_ROLES = ("gene", "transcript", "exon", "CDS")
_Key = tuple[str, str, str]
"""Identifier, contig, strand."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """A transcript: ``chrom:start-end`` (0-based, half-open), exons and coding parts in ascending order.

    Attributes
    ----------
    name, biotype : empty where the file has none
    exons : as the file has them; the coding parts, or the whole interval, where it has none
    attributes : all values of each attribute of its row, or of its first exon where there is no row
    line : of its first row
    """

    id: str
    name: str
    biotype: str
    gene_id: str
    chrom: str
    start: int
    end: int
    strand: str
    exons: tuple[Interval, ...]
    cds: tuple[Interval, ...]
    attributes: Attributes
    line: int

    @property
    def tss(self) -> int:
        """The first base that is transcribed: ``start``, or ``end - 1`` on ``-``."""
        return self.end - 1 if self.strand == "-" else self.start

    @property
    def length(self) -> int:
        """Bases of all exons."""
        return sum(end - start for start, end in self.exons)

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags, such as basic or Ensembl_canonical."""
        return self.attributes.get("tag", ())


@dataclass(frozen=True, slots=True)
class Gene:
    """A gene: ``chrom:start-end`` (0-based, half-open) with its transcripts in the order of the file.

    Attributes
    ----------
    name, biotype : empty where the file has none
    attributes : all values of each attribute of its row; where there is no row, what its first transcript says of it
    line : of its first row
    """

    id: str
    name: str
    biotype: str
    chrom: str
    start: int
    end: int
    strand: str
    transcripts: tuple[Transcript, ...]
    attributes: Attributes
    line: int

    @property
    def tss(self) -> int:
        """The base at the 5' end: ``start``, or ``end - 1`` on ``-``."""
        return self.end - 1 if self.strand == "-" else self.start

    @property
    def exons(self) -> tuple[Interval, ...]:
        """The different exons of all transcripts, ascending."""
        return tuple(sorted({exon for transcript in self.transcripts for exon in transcript.exons}))

    def merged_exons(self, *, touching: bool = True) -> tuple[Interval, ...]:
        """Union of the exons of all transcripts; ``touching=False`` keeps apart those that only touch (Borzoi's)."""
        return tuple(merged(self.exons, touching=touching))


@dataclass(slots=True)
class _Draft:
    """A gene or transcript while its rows are read."""

    id: str
    chrom: str
    strand: str
    line: int
    gene: _Key = ("", "", "")
    attributes: Attributes = field(default_factory=dict)
    row: Interval | None = None
    exons: list[Interval] = field(default_factory=list)
    cds: list[Interval] = field(default_factory=list)
    refused: bool = False

    def describe(self, feature: Feature) -> None:
        """Take attributes and interval of a row that stands for the whole; two rows make one interval."""
        start, end = self.row or (feature.start, feature.end)
        self.row = (min(start, feature.start), max(end, feature.end))
        self.attributes = feature.attributes


def read_genes(path: Path, *, selection: Selection | None = None, of: str = "gene") -> list[Gene]:
    """Genes with their transcripts, in the order in which the file first names them.

    Genes and transcripts without a row of their own are made from the exons (or coding parts) that name them. One
    identifier on two contigs or strands stands for two genes.

    Parameters
    ----------
    selection : conditions that each gene, or with ``of="transcript"`` each transcript, must meet; genes of which no
        transcript is left are left out

    Raises
    ------
    InputError : a faulty file, a row without gene_id (with its line number)
    """
    builder = _Builder(path, selection, of)
    if dialect_of(path) == "gff3":
        for role, feature in Chains(path).features():
            if role:
                builder.add(role, feature)
    else:
        for feature in read_features(path, types=_ROLES):
            builder.add(feature.type, feature)
    return builder.genes()


class _Builder:
    def __init__(self, path: Path, selection: Selection | None, of: str) -> None:
        self._path = path
        self._selection = selection
        self._of = of
        self._genes: dict[_Key, _Draft] = {}
        self._transcripts: dict[_Key, _Draft] = {}

    def add(self, role: str, feature: Feature) -> None:
        """Take a row of a gene, a transcript, an exon or a coding part."""
        gene_id = feature.get("gene_id")
        if not gene_id:
            raise InputError(f"{self._path}: line {feature.line}: the {feature.type} has no gene_id")
        key = (gene_id, feature.chrom, feature.strand)
        gene = self._genes.setdefault(key, _Draft(*key, feature.line))
        if role == "gene":
            gene.describe(feature)
            return
        for name in [name for name in feature.attributes.get("transcript_id", ()) if name] or [gene_id]:
            place = (name, feature.chrom, feature.strand)
            draft = self._transcripts.get(place)
            if draft is None:
                draft = self._transcripts[place] = _Draft(*place, feature.line, gene=key)
            if role == "transcript":
                draft.refused = draft.refused if draft.row else not self._accepts("transcript", feature.attributes)
                draft.describe(feature)
            elif not draft.refused:
                draft.attributes = draft.attributes or feature.attributes
                (draft.exons if role == "exon" else draft.cds).append((feature.start, feature.end))

    def _accepts(self, kind: str, attributes: Attributes) -> bool:
        if self._selection is None or self._of != kind:
            return True
        return self._selection.accepts(lambda key: values_of(attributes, kind, key))

    def genes(self) -> list[Gene]:
        """What was built."""
        members: dict[_Key, list[Transcript]] = {}
        for draft in self._transcripts.values():
            if draft.row is None:
                draft.attributes = {k: v for k, v in draft.attributes.items() if not k.startswith("exon")}
                draft.refused = not self._accepts("transcript", draft.attributes)
            if not draft.refused:
                members.setdefault(draft.gene, []).append(_transcript(draft))
        found = []
        for key, draft in self._genes.items():
            transcripts = members.get(key, [])
            if not transcripts and (draft.row is None or self._of == "transcript"):
                continue
            if draft.row is None:
                said = transcripts[0].attributes
                draft.attributes = {name: value for name, value in said.items() if name.startswith("gene")}
            if self._accepts("gene", draft.attributes):
                found.append(_gene(draft, transcripts))
        return found


def _transcript(draft: _Draft) -> Transcript:
    cds = tuple(sorted(set(draft.cds)))
    exons = tuple(sorted(set(draft.exons))) or cds
    start, end = draft.row or (exons[0][0], max(end for _, end in exons))
    said = draft.attributes
    return Transcript(
        id=draft.id,
        name=first_of(said, "transcript_name", "Name"),
        biotype=first_of(said, "transcript_type", "transcript_biotype", "biotype"),
        gene_id=draft.gene[0],
        chrom=draft.chrom,
        start=start,
        end=end,
        strand=draft.strand,
        exons=exons or ((start, end),),
        cds=cds,
        attributes=said,
        line=draft.line,
    )


def _gene(draft: _Draft, transcripts: list[Transcript]) -> Gene:
    start, end = draft.row or (min(t.start for t in transcripts), max(t.end for t in transcripts))
    said = draft.attributes
    return Gene(
        id=draft.id,
        name=first_of(said, "gene_name", "Name", "gene"),
        biotype=first_of(said, "gene_type", "gene_biotype", "biotype"),
        chrom=draft.chrom,
        start=start,
        end=end,
        strand=draft.strand,
        transcripts=tuple(transcripts),
        attributes=said,
        line=draft.line,
    )
