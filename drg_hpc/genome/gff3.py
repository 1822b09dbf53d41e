"""GFF3 told in GTF's terms: chains of ID and Parent become gene_id and transcript_id. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from drg_hpc.errors import InputError
from drg_hpc.genome.gtf_rows import Attributes, Feature, Values, first_of, read_features

Role = Literal["gene", "transcript", "exon", "CDS", ""]
_DEEPEST = 16
_PREFIX = re.compile(r"(?:gene|transcript|rna)[:-]")
_PARTS = ("CDS", "start_codon", "stop_codon", "intron")
_INHERITED = ("gene_id", "gene_name", "gene_type", "transcript_id", "transcript_name", "transcript_type", "tag")


def _role_of_part(kind: str) -> Role:
    return "CDS" if kind == "CDS" else "exon" if kind.endswith("exon") else ""


def is_part(kind: str) -> bool:
    """Whether rows of a type are pieces of transcripts, which nothing else descends from."""
    return kind in _PARTS or kind.endswith(("exon", "UTR"))


class Chains:
    """Genes and transcripts of a GFF3 file.

    A transcript is what exons or coding parts descend from, or a row whose type ends in RNA or transcript; a gene is
    the row without Parent above it. Where exons hang on the gene itself, it is its own transcript.

    Raises
    ------
    InputError : a faulty file, an ID that descends from itself
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: dict[str, Feature] = {}
        self._with_parts: set[str] = set()
        with_children: set[str] = set()
        for row in read_features(path):
            parents = row.attributes.get("Parent", ())
            with_children.update(parents)
            if is_part(row.type):
                self._with_parts.update(parents if _role_of_part(row.type) else ())
            elif identifier := row.get("ID"):
                self._rows[identifier] = row
        self._with_children = with_children

    def role(self, row: Feature) -> Role:
        """What a row is in GTF's terms, empty for anything else."""
        if is_part(row.type):
            return _role_of_part(row.type)
        transcript = row.type.endswith(("RNA", "transcript"))
        if row.attributes.get("Parent"):
            return "transcript" if transcript or row.get("ID") in self._with_parts else ""
        if transcript:
            return "transcript"
        return "gene" if row.type.endswith("gene") or row.get("ID") in self._with_children else ""

    def features(self) -> Iterator[tuple[Role, Feature]]:
        """Every row with its role, and with the attributes of GTF besides its own."""
        for row in read_features(self._path):
            role = self.role(row)
            yield (
                role,
                Feature(row.chrom, row.start, row.end, row.strand, row.type, self._attributes(row, role), row.line),
            )

    def _attributes(self, row: Feature, role: Role) -> Attributes:
        own = dict(row.attributes)
        if role in ("gene", "transcript"):
            _name(own, role)
        for inherited in self._above(row):
            for key in _INHERITED:
                if key in inherited and key not in own:
                    own[key] = inherited[key]
        if role == "transcript" and "gene_id" not in own:
            own["gene_id"] = own.get("geneID") or own.get("gene") or own["transcript_id"]
        if role in ("exon", "CDS"):
            _complete(own, row.attributes.get("Parent", ()))
        return own

    def _above(self, row: Feature) -> Iterator[dict[str, Values]]:
        """Attributes of the rows above, the parents' first; several parents are told together."""
        level = [self._rows[name] for name in row.attributes.get("Parent", ()) if name in self._rows]
        for _ in range(_DEEPEST):
            if not level:
                return
            told: dict[str, Values] = {}
            for parent in level:
                one = dict(parent.attributes)
                if role := self.role(parent):
                    _name(one, role)
                if role == "gene" and parent.get("ID") in self._with_parts and is_part(row.type):
                    one["transcript_id"] = one["gene_id"]
                for key in _INHERITED:
                    told[key] = (*told.get(key, ()), *one.get(key, ()))
            yield {key: tuple(dict.fromkeys(values)) for key, values in told.items() if values}
            names = dict.fromkeys(name for parent in level for name in parent.attributes.get("Parent", ()))
            level = [self._rows[name] for name in names if name in self._rows]
        raise InputError(f"{self._path}: line {row.line}: its Parents form a circle, or are {_DEEPEST} deep")


def _name(attributes: dict[str, Values], role: Role) -> None:
    """GTF's keys of a gene or transcript, where the row does not have them."""
    wanted = {
        f"{role}_id": first_of(attributes, f"{role}_id") or _PREFIX.sub("", first_of(attributes, "ID"), count=1),
        f"{role}_name": first_of(attributes, f"{role}_name", "Name", *(["gene"] if role == "gene" else [])),
        f"{role}_type": first_of(attributes, f"{role}_type", f"{role}_biotype", "biotype"),
    }
    attributes.update({key: (value,) for key, value in wanted.items() if value and key not in attributes})


def _complete(attributes: dict[str, Values], parents: Values) -> None:
    """Identifiers of a part whose parents are not in the file: the parents' IDs."""
    names = tuple(_PREFIX.sub("", name, count=1) for name in parents)
    if "transcript_id" not in attributes and names:
        attributes["transcript_id"] = names
    if "gene_id" not in attributes:
        own = attributes.get("gene") or attributes.get("transcript_id")
        if own:
            attributes["gene_id"] = own[:1]
