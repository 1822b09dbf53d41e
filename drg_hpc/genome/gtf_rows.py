"""Rows of GTF and GFF3 files with their attributes, 1-based closed intervals turned into 0-based half-open. Light."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from drg_hpc.errors import InputError
from drg_hpc.genome.row_checks import contig_name, interval, strand_of
from drg_hpc.genome.text import numbered_lines

Values = tuple[str, ...]
Attributes = Mapping[str, Values]
Dialect = Literal["gtf", "gff3"]

_COLUMNS = 9
_SHARED = 1 << 16
_PAIR = r'\s*([^\s";=]+)\s+("[^"]*"|[^";]*[^";\s])\s*(?:;[\s;]*|$)'
_PAIRS = re.compile(_PAIR)
_WHOLE = re.compile(f"(?:{_PAIR})*+")
_GFF3_KEY = re.compile(r'\s*[^\s"=;]+=')
_NAME_KEYS = ("gene_name", "transcript_name", "Name", "gene")
_ID_KEYS = ("gene_id", "transcript_id", "exon_id", "protein_id", "ID")
_GENE_TYPES = ("gene_type", "gene_biotype")
_TRANSCRIPT_TYPES = ("transcript_type", "transcript_biotype")


@dataclass(frozen=True, slots=True)
class Feature:
    """One row: ``chrom:start-end`` (0-based, half-open), its type (column 3), and all values of each attribute."""

    chrom: str
    start: int
    end: int
    strand: str
    type: str
    attributes: Attributes
    line: int

    def get(self, key: str) -> str:
        """First value of an attribute that is not empty, or an empty text."""
        return next((value for value in self.attributes.get(key, ()) if value), "")


def first_of(attributes: Attributes, *keys: str) -> str:
    """First value, not empty, of the first key that has one, or an empty text."""
    return next((value for key in keys for value in attributes.get(key, ()) if value), "")


def values_of(attributes: Attributes, kind: str, key: str) -> Values:
    """What a row of type ``kind`` has for a key of ``--select``.

    ``name`` and ``id`` are those of the gene or the transcript; ``biotype`` is the transcript's where the row belongs
    to one, else the gene's; ``type`` is column 3; any other key is an attribute.
    """
    if key == "name":
        return tuple(value for name in _NAME_KEYS for value in attributes.get(name, ()))
    if key == "id":
        return tuple(value for name in _ID_KEYS for value in attributes.get(name, ()))
    if key == "type":
        return (kind,)
    if key == "biotype":
        keys = (*(_TRANSCRIPT_TYPES if kind != "gene" else ()), "biotype", *_GENE_TYPES)
        return next((attributes[name] for name in keys if name in attributes), ())
    return attributes.get(key, ())


def dialect_of(path: Path) -> Dialect:
    """Whether the attributes of a file's first row are those of GTF or of GFF3."""
    rows = (line for _, line in numbered_lines(path) if line.strip() and not line.startswith("#"))
    return _dialect(next(rows, "").split("\t")[-1])


def _dialect(attributes: str) -> Dialect:
    return "gff3" if _GFF3_KEY.match(attributes) else "gtf"


def read_features(path: Path, *, types: Collection[str] | None = None) -> Iterator[Feature]:
    """Rows of a GTF or GFF3 file; which of the two is seen from the attributes of the first row.

    Comments anywhere and blank lines are skipped; what follows ``##FASTA`` is no annotation. A value in quotes may
    hold semicolons; a key that occurs twice (``tag``), or a GFF3 value with commas, has all its values.

    Parameters
    ----------
    types : column 3 of the rows that are wanted; other rows are not looked at further

    Raises
    ------
    InputError : missing or unreadable file, no rows at all, a faulty row (with its line number)
    """
    rows = 0
    parser = _Parser(path)
    for number, line in numbered_lines(path):
        if not line or line[0] == "#" or line.isspace():
            if line.startswith("##FASTA"):
                break
            continue
        rows += 1
        fields = line.split("\t")
        if len(fields) != _COLUMNS:
            raise InputError(
                f"{path}: line {number}: {len(fields)} columns, a GTF or GFF3 row has {_COLUMNS}, separated by tabs"
            )
        if not fields[2]:
            raise InputError(f"{path}: line {number}: the feature type (column 3) is empty")
        if types is None or fields[2] in types:
            yield parser.feature(fields, number)
    if not rows:
        raise InputError(f"no features in {path}", fix="a GTF file has rows of nine columns")


class _Parser:
    """Turns columns into features; equal values share one object, since files repeat them thousands of times."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._dialect: Dialect | None = None
        self._chroms: dict[str, str] = {}
        self._texts: dict[str, Values] = {}

    def feature(self, fields: list[str], number: int) -> Feature:
        """The feature of a row's nine columns."""
        at = f"{self._path}: line {number}"
        if self._dialect is None:
            self._dialect = _dialect(fields[8])
        start, end = interval(fields[3], fields[4], at=at, one_based=True)
        written = fields[0]
        chrom = self._chroms.get(written)
        if chrom is None:
            chrom = contig_name(unquote(written) if self._dialect == "gff3" else written, at)
            self._chroms[written] = chrom
        attributes = self._gff3(fields[8], at) if self._dialect == "gff3" else self._gtf(fields[8], at)
        return Feature(chrom, start, end, strand_of(fields[6], at, unknown=".?"), fields[2], attributes, number)

    def _shared(self, text: str) -> Values:
        found = self._texts.get(text)
        if found is None:
            found = (text,)
            if len(self._texts) < _SHARED:
                self._texts[text] = found
        return found

    def _gtf(self, text: str, at: str) -> dict[str, Values]:
        """``key "value"; key value; …``."""
        found: dict[str, Values] = {}
        if text == ".":
            return found
        if (whole := _WHOLE.match(text)) is None or whole.end() < len(text):
            rest = text[whole.end() if whole else 0 :]
            raise InputError(
                f"{at}: cannot read the attributes from {rest[:30]!r} on", fix='GTF attributes are key "value"; …'
            )
        shared = self._shared
        for key, value in _PAIRS.findall(text):
            key, values = shared(key)[0], shared(value[1:-1] if value[0] == '"' else value)
            found[key] = found[key] + values if key in found else values
        return found

    def _gff3(self, text: str, at: str) -> dict[str, Values]:
        """``key=value,value;…`` with percent escapes."""
        found: dict[str, Values] = {}
        for item in text.split(";"):
            if not (item := item.strip()) or item == ".":
                continue
            key, equals, rest = item.partition("=")
            if not equals or not key:
                raise InputError(f"{at}: the attribute {item[:30]!r} is not key=value")
            values = rest.split(",") if "," in rest else [rest]
            shared = tuple(self._shared(unquote(value) if "%" in value else value)[0] for value in values)
            key = self._shared(unquote(key))[0]
            found[key] = found[key] + shared if key in found else shared
        return found
