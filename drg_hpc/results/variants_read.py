"""Reading scored variants a block of rows at a time: files may hold millions of alleles of thousands of tracks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from drg_hpc.results import h5
from drg_hpc.results.opened import open_result
from drg_hpc.results.variant_genes import SCORES as GENE_SCORES
from drg_hpc.results.variants import FORMAT

_STEP = 4096
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Allele:
    """A row; ``start`` from 0."""

    chrom: str
    start: int
    name: str
    ref: str
    alt: str


@dataclass(frozen=True)
class Pair:
    """An allele and a gene near it; see :mod:`drg_hpc.results.variant_genes`."""

    allele: Allele
    gene_id: str
    gene_name: str
    strand: str
    distance: int
    covered: float


def sizes_of(values: Values, *, ratio: bool) -> Values:
    """How strong effects are: their magnitudes, of ratios those of their logarithms (infinite of one that is not above
    0); -1 where there is no number."""
    with np.errstate(divide="ignore", invalid="ignore"):
        sizes = np.where(values > 0, np.abs(np.log2(values)), np.inf) if ratio else np.abs(values)
    return np.where(np.isfinite(values), sizes, -1.0)


@contextmanager
def open_variants(path: Path) -> Iterator[VariantReader]:
    """The result of a run of drg-variants.

    Raises
    ------
    InputError : nothing there, or another file
    CorruptError : not whole
    """
    needed = ("tracks", "effect", "variants/start")
    with open_result(path, FORMAT, what="scores of variants", command="drg-variants", needed=needed) as handle:
        yield VariantReader(handle)


class VariantReader:
    """An open file.

    Attributes
    ----------
    tracks : names of the values of alleles
    genes : names of the values of genes; none without --gtf
    rows, pairs : alleles, and pairs of one and a gene
    """

    def __init__(self, handle: h5py.File) -> None:
        self._handle = handle
        self.tracks = h5.read_text(handle["tracks"])
        self.genes = h5.read_text(handle["gene_list/values"]) if "gene_list" in handle else []
        self.rows = len(handle["effect"])
        self.pairs = len(handle["genes/allele"]) if self.genes else 0

    def has(self, name: str) -> bool:
        """Whether there is such a dataset."""
        return name in self._handle

    @property
    def gene_scores(self) -> list[str]:
        """Names of what genes have."""
        return [name for name in GENE_SCORES if self.has(f"genes/{name}")]

    def blocks(self, name: str) -> Iterator[tuple[int, Values]]:
        """First row and values (n, k) of a dataset, some rows at a time."""
        source = self._handle[name]
        for first in range(0, len(source), _STEP):
            yield first, source[first : first + _STEP].astype(np.float64)

    def strongest(self, name: str, count: int, *, ratio: bool = False) -> list[NDArray[np.int64]]:
        """Rows with the largest magnitudes of each column of a dataset (see :func:`sizes_of`), largest first, of equal
        ones the first; rows without a finite number are left out."""
        width = self._handle[name].shape[1]
        rows, sizes = np.zeros((0, width), np.int64), np.zeros((0, width))
        for first, values in self.blocks(name):
            numbers = np.broadcast_to(first + np.arange(len(values))[:, None], values.shape)
            rows = np.concatenate([rows, numbers])
            sizes = np.concatenate([sizes, sizes_of(values, ratio=ratio)])
            order = np.argsort(-sizes, axis=0, kind="stable")[:count]
            rows, sizes = (np.take_along_axis(each, order, axis=0) for each in (rows, sizes))
        return [own[size >= 0] for own, size in zip(rows.T, sizes.T, strict=True)]

    def extent(self, name: str, column: int) -> tuple[float, float]:
        """The least and the largest finite number of a column; (0, 0) where there is none."""
        ends = []
        for _, values in self.blocks(name):
            if (finite := values[np.isfinite(values[:, column]), column]).size:
                ends += [float(finite.min()), float(finite.max())]
        return min(ends, default=0.0), max(ends, default=0.0)

    def histogram(self, name: str, column: int, edges: Values) -> NDArray[np.int64]:
        """How many rows of a column fall between consecutive edges."""
        found = np.zeros(len(edges) - 1, np.int64)
        for _, values in self.blocks(name):
            chosen = values[:, column]
            found += np.histogram(chosen[np.isfinite(chosen)], edges)[0]
        return found

    def values(self, name: str, rows: Sequence[int]) -> NDArray[Any]:
        """Some rows of a dataset."""
        source = self._handle[name]
        return np.array([source[row] for row in rows])

    def allele(self, row: int) -> Allele:
        """What was scored in a row."""
        group = self._handle["variants"]
        texts = (h5.read_text(group[name], row, row + 1)[0] for name in ("chrom", "name", "ref", "alt"))
        chrom, name, ref, alt = texts
        return Allele(chrom, int(group["start"][row]), name, ref, alt)

    def pair(self, row: int) -> Pair:
        """The allele and the gene of a row of the table of genes."""
        group, genes = self._handle["genes"], self._handle["gene_list"]
        gene = int(group["gene"][row])
        gene_id, name, strand = (h5.read_text(genes[name], gene, gene + 1)[0] for name in ("id", "name", "strand"))
        place = int(group["distance"][row]), float(group["covered"][row])
        return Pair(self.allele(int(group["allele"][row])), gene_id, name, strand, *place)
