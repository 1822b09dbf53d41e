"""The genes of scored variants in the part of a shard, in the merged file, and as a table.

``genes/{allele,gene,distance,covered}`` has a row per allele and gene near it: the number of the allele, that of the
gene in ``gene_list/{id,name,chrom,start,end,strand,tss}``, bases from its 5' end to the variant along its strand, and
the share of its exons' bases that bins are of. ``genes/{ref,SED,logSED}`` (rows, values) are the sum with the reference
allele and the scores; ``gene_list/values`` has the names of the values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from drg_hpc.files import table_text
from drg_hpc.results import h5

_COLUMNS: Mapping[str, Any] = {"allele": np.int64, "gene": np.int64, "distance": np.int64, "covered": np.float32}
_TEXTS = ("id", "name", "chrom", "strand")
_NUMBERS = ("start", "end", "tss")
SCORES = ("ref", "SED", "logSED")
_STEP = 4096


class Gene(Protocol):
    """What is written of a gene."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def chrom(self) -> str: ...
    @property
    def strand(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def tss(self) -> int: ...


@dataclass(frozen=True)
class GeneList:
    """What pairs refer to.

    Attributes
    ----------
    genes : by number
    values : names
    """

    genes: Mapping[int, Gene]
    values: Sequence[str]


@dataclass(frozen=True)
class GenePairs:
    """Rows of alleles and genes.

    Attributes
    ----------
    allele, gene : numbers (n,)
    distance : bases from the gene's 5' end, (n,)
    covered : (n,)
    values : (n, values) by name
    """

    allele: NDArray[np.int64]
    gene: NDArray[np.int64]
    distance: NDArray[np.int64]
    covered: NDArray[np.float32]
    values: Mapping[str, NDArray[Any]]

    @staticmethod
    def joined(parts: Sequence[GenePairs]) -> GenePairs:
        """One after the other."""
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS}
        values = {name: np.concatenate([part.values[name] for part in parts]) for name in parts[0].values}
        return GenePairs(**columns, values=values)


def write_pairs(part: h5py.File, pairs: GenePairs) -> None:
    """Write the ``genes`` group of a shard, with genes by their numbers in the list of the run."""
    for name, kind in _COLUMNS.items():
        values = getattr(pairs, name).astype(kind)
        h5.write_array(part, f"genes/{name}", values, chunk_rows=h5.TABLE_CHUNK_ROWS)
    for name, array in pairs.values.items():
        h5.write_array(part, f"genes/{name}", array.astype(np.float32))


def merge_pairs(paths: Sequence[Path], out: h5py.File, genes: GeneList, *, rows: int) -> dict[str, Any]:
    """Join the ``genes`` groups of all shards; the list gets the genes that occur.

    Parameters
    ----------
    rows : alleles

    Returns
    -------
    counts, for done.json
    """
    with h5.open_file(paths[0]) as first:
        names = [name for name in h5.dataset_names(first["genes"]) if name != "gene"]
    h5.merge_tables(paths, [f"genes/{name}" for name in names], out)
    found = []
    for path in paths:
        with h5.open_file(path) as part:
            found.append(part["genes/gene"][()])
    numbers, own = np.unique(np.concatenate(found), return_inverse=True)
    h5.write_array(out, "genes/gene", own.astype(np.int64), chunk_rows=h5.TABLE_CHUNK_ROWS)
    listed = [genes.genes[number] for number in numbers.tolist()]
    for name in _TEXTS:
        h5.write_text(out, f"gene_list/{name}", [getattr(gene, name) for gene in listed])
    for name in _NUMBERS:
        values = np.array([getattr(gene, name) for gene in listed], np.int64)
        h5.write_array(out, f"gene_list/{name}", values, chunk_rows=h5.TABLE_CHUNK_ROWS)
    h5.write_text(out, "gene_list/values", genes.values)
    alone = rows - len(np.unique(out["genes/allele"][()]))
    return {"pairs": len(own), "genes": len(listed), "alleles_without": alone, "values": list(genes.values)}


def write_gene_table(source: Path, out: Path) -> None:
    """The pairs as tab-separated text: a line per allele and gene, a column per score and value; six digits."""
    with h5.open_file(source) as handle, open(out, "w", encoding="utf-8", newline="\n") as table:
        names = h5.read_text(handle["gene_list/values"])
        columns = [name for name in SCORES if name in handle["genes"]]
        heads = ["chrom", "pos", "id", "ref", "alt", "gene_id", "gene_name", "gene_strand", "distance", "covered"]
        table.write(table_text([[*heads, *(f"{column}:{name}" for column in columns for name in names)]]))
        genes = list(
            zip(*(h5.read_text(handle[f"gene_list/{name}"]) for name in ("id", "name", "strand")), strict=True)
        )
        for first in range(0, len(handle["genes/allele"]), _STEP):
            table.write(table_text(_lines(handle, columns, genes, slice(first, first + _STEP))))


def _lines(
    handle: h5py.File, columns: Sequence[str], genes: Sequence[tuple[str, ...]], part: slice
) -> Iterator[list[object]]:
    own = {name: handle[f"genes/{name}"][part].tolist() for name in _COLUMNS}
    first, last = own["allele"][0], own["allele"][-1] + 1
    texts = [h5.read_text(handle[f"variants/{name}"], first, last) for name in ("chrom", "name", "ref", "alt")]
    starts = handle["variants/start"][first:last].tolist()
    alleles = [
        (chrom, start + 1, name, ref, alt) for chrom, name, ref, alt, start in zip(*texts, starts, strict=True)
    ]  # fmt: skip
    values = np.concatenate([handle[f"genes/{name}"][part] for name in columns], axis=1).tolist()
    rows = zip(*(own[name] for name in ("allele", "gene", "distance", "covered")), values, strict=True)
    for allele, gene, distance, covered, row in rows:
        yield [*alleles[allele - first], *genes[gene], distance, covered, *row]
