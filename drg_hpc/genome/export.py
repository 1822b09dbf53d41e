"""Writers of interchange files: BED, FASTA, tables. Each file appears whole, and never in place of another.

``regions`` are data frames as stores and result files have them: chrom, start, end (0-based, half-open), name, strand,
kept, origin.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.files import new_file
from drg_hpc.genome.contigs import map_contigs

if TYPE_CHECKING:
    import pandas as pd

GENOMIC = ("given", "gc")
"""Origins of rows that lie where their region says; shuffled sequences have no place on the genome."""
_FASTA_WIDTH = 60


Contigs = dict[str, int]
"""Name -> length, in the order of the genome."""


@dataclass(frozen=True)
class Written:
    """What an exported file holds, in numbers, and why rows are not in it, and how many."""

    counts: Mapping[str, int]
    left_out: Mapping[str, int]


@dataclass(frozen=True)
class Placed:
    """Rows that have a place on the genome.

    Attributes
    ----------
    rows : their numbers, by contig and start
    contig : number of the contig of each
    left_out : why others are not among them, and how many
    """

    rows: NDArray[np.int64]
    contig: NDArray[np.int64]
    left_out: Mapping[str, int] = field(default_factory=dict)


def place_rows(
    regions: pd.DataFrame, chosen: NDArray[np.int64], contigs: Mapping[str, int] | None, *, length: int | None = None
) -> Placed:
    """Put rows in the order of the genome.

    Parameters
    ----------
    chosen : numbers of the rows that are wanted
    contigs : name -> length, in the order of the genome; without, contigs in the order they occur
    length : bases that a row must span; others (spliced transcripts) have no one interval

    Raises
    ------
    InputError : none of the rows has a place (with the reasons), or no contig is known
    """
    table = regions.iloc[chosen]
    chrom = table["chrom"].to_numpy(dtype=object)
    start, end = table["start"].to_numpy(np.int64), table["end"].to_numpy(np.int64)
    left = np.ones(len(table), np.bool_)
    left_out: dict[str, int] = {}

    def refuse(reason: str, wrong: Any) -> None:
        nonlocal left
        if count := int((left & wrong).sum()):
            left_out[reason] = count
        left = left & ~wrong

    refuse("shuffled sequences are not on the genome", ~table["origin"].isin(GENOMIC).to_numpy(dtype=bool))
    refuse("rows have no coordinates", chrom == "")
    if length is not None:
        refuse(f"rows do not span {length} bases (spliced)", end - start != length)
    names = list(dict.fromkeys(chrom[left]))
    known = dict.fromkeys(names, 0) if contigs is None else contigs
    mapping = map_contigs(names, known, what="the table of regions") if names else {}
    if contigs is not None:
        refuse("rows lie on contigs that the genome does not have", np.array([c not in mapping for c in chrom]))
        sizes = np.array([known[mapping[c]] if c in mapping else 0 for c in chrom], np.int64)
        refuse("rows lie off their contig", (end <= 0) | (start >= sizes))
    if not left.any():
        reasons = "; ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise InputError(f"no row has a place on the genome: {reasons or 'there are no rows'}")
    number = {name: i for i, name in enumerate(known)}
    rank = np.array([number[mapping[c]] if c in mapping else -1 for c in chrom], np.int64)
    order = np.lexsort((end, start, rank))
    order = order[left[order]]
    return Placed(np.asarray(chosen, np.int64)[order], rank[order], left_out)


def read_sizes(path: Path) -> dict[str, int]:
    """Contigs of a chrom.sizes file: name and length, by tab or blanks, in the order of the file.

    Raises
    ------
    InputError : with the line: not two columns, a length that is none, a name twice
    """
    from drg_hpc.genome.text import columns, numbered_lines

    found: dict[str, int] = {}
    for number, line in numbered_lines(path):
        if not line.strip() or line.startswith("#"):
            continue
        fields = columns(line)
        if len(fields) < 2 or not fields[1].isdecimal() or not int(fields[1]):
            raise InputError(f"{path}: line {number}: a contig and its length are needed", fix="is it chrom.sizes?")
        if fields[0] in found:
            raise InputError(f"{path}: line {number}: contig {fields[0]!r} occurs twice")
        found[fields[0]] = int(fields[1])
    if not found:
        raise InputError(f"no contigs in {path}")
    return found


@contextmanager
def _text(path: Path) -> Iterator[io.TextIOBase]:
    """A new text file; ``.gz`` is packed, with nothing in it but the content."""
    with new_file(path) as private, open(private, "xb") as raw:
        if path.suffix != ".gz":
            with io.TextIOWrapper(raw, "utf-8", newline="") as out:
                yield out
            return
        with gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed, io.TextIOWrapper(packed, "utf-8", newline="") as out:
            yield out


def write_bed(path: Path, regions: pd.DataFrame, *, rows: NDArray[np.int64], contigs: Mapping[str, int] | None) -> None:
    """Write rows as BED6, score 0; starts and ends that lie off a contig are moved to its ends."""
    table = regions.iloc[rows]
    columns = (table[name] for name in ("chrom", "start", "end", "name", "strand"))
    with _text(path) as out:
        for chrom, start, end, name, strand in zip(*columns, strict=True):
            stop = min(end, contigs[chrom]) if contigs and chrom in contigs else end
            clean = name.replace("\t", "_").replace("\n", "_")
            out.write(f"{chrom}\t{max(start, 0)}\t{stop}\t{clean}\t0\t{strand}\n")


def write_fasta(path: Path, records: Iterable[tuple[str, Iterable[bytes]]]) -> None:
    """Write (name, letters in pieces) in lines of 60.

    Raises
    ------
    InputError : a name with blanks, of which readers keep the first word only
    """
    with _text(path) as out:
        for name, pieces in records:
            if not name or len(name.split()) != 1:
                raise InputError(f"name {name!r} cannot be a FASTA name: it is empty or has blanks", fix="--format npz")
            out.write(f">{name}\n")
            rest = ""
            for piece in pieces:
                text = rest + piece.decode()
                whole = len(text) - len(text) % _FASTA_WIDTH
                out.writelines(f"{text[i : i + _FASTA_WIDTH]}\n" for i in range(0, whole, _FASTA_WIDTH))
                rest = text[whole:]
            if rest:
                out.write(f"{rest}\n")


def write_table(path: Path, names: Sequence[str], tracks: Sequence[str], blocks: Iterable[NDArray[np.float32]]) -> None:
    """Write a matrix as TSV, or CSV by its name: ``name`` and tracks in the header, NA where a value is missing.

    Parameters
    ----------
    blocks : (n, tracks) of consecutive rows; numbers are written with the digits that give the same float32
    """
    delimiter = "," if path.name.lower().removesuffix(".gz").endswith(".csv") else "\t"
    with _text(path) as out:
        table = csv.writer(out, delimiter=delimiter, lineterminator="\n")
        table.writerow(["name", *tracks])
        at = 0
        for block in blocks:
            text = block.astype(str)
            text[np.isnan(block)] = "NA"
            table.writerows([name, *row] for name, row in zip(names[at : at + len(block)], text.tolist(), strict=True))
            at += len(block)
        assert at == len(names)
