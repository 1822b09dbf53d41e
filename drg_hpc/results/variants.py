"""Scores of variants: the part a shard writes, the merged HDF5 file, and a table of it.

``variants/{chrom,start,name,ref,alt,line}`` has a row per alternative allele, ``start`` from 0. ``ref`` and ``alt`` are
the values of the statistic with either allele, ``effect`` their comparison, ``scores/{SAD,logSAD,D2}`` those of the
bins, ``background/{mean,sd,z,p}`` the effect against those in shuffled windows; all (rows, values). ``tracks`` has the
names of the values. Genes: :mod:`drg_hpc.results.variant_genes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from drg_hpc.files import table_text
from drg_hpc.genome.vcf import Variant
from drg_hpc.results import h5
from drg_hpc.results.variant_genes import GeneList, GenePairs, merge_pairs, write_pairs

FORMAT = "drg-variants/1"
CONVENTIONS = {
    "coordinates": "start from 0 in out.h5; pos from 1, as in a VCF, in out.tsv",
    "window": "the first base in which the alleles differ is at length // 2; what is left of it is the same in both",
    "bins": "right of an indel moved back by whole bins; inserted ones are added to that of the variant, deleted ones "
    "are 0, bins that one of the sequences does not show are left out",
}
_TEXTS = ("chrom", "name", "ref", "alt")
_NUMBERS: Mapping[str, type[np.generic]] = {"start": np.int64, "line": np.int64}
_VALUES = ("ref", "alt", "effect")
_COLUMNS = (
    "effect", "ref", "alt", *(f"scores/{name}" for name in ("SAD", "logSAD", "D2")),
    *(f"background/{name}" for name in ("mean", "sd", "z", "p")),
)  # fmt: skip
"""Of the table, in order."""
_STEP = 4096


def dataset_name(score: str) -> str:
    """Where a score is stored."""
    return score if score in _VALUES else f"scores/{score}"


def write_part(
    path: Path, rows: Sequence[Variant], values: Mapping[str, NDArray[Any]], *, genes: GenePairs | None = None
) -> None:
    """Write one shard.

    Parameters
    ----------
    values : (rows, k) by the name of the dataset
    """
    with h5.create(path) as part:
        for name in _TEXTS:
            h5.write_text(part, f"variants/{name}", [getattr(row, name) for row in rows])
        for name, kind in _NUMBERS.items():
            h5.write_array(part, f"variants/{name}", np.array([getattr(row, name) for row in rows], kind))
        for name, array in values.items():
            # p may be smaller than any float32
            h5.write_array(part, name, array.astype(np.float64 if name == "background/p" else np.float32))
        if genes is not None:
            write_pairs(part, genes)


def merge(
    parts: Sequence[h5.PartFile], out: Path, *, names: Sequence[str], attributes: Mapping[str, Any],
    genes: GeneList | None = None,
) -> dict[str, Any] | None:  # fmt: skip
    """Join the parts of all shards.

    Parameters
    ----------
    names : of the values
    attributes : what determined the result
    genes : of the run

    Returns
    -------
    counts of genes, where there are any, for done.json
    """
    with h5.open_file(parts[0].path) as first:
        found = [name for name in h5.dataset_names(first) if not name.startswith("genes/")]
    with h5.create(out) as merged:
        h5.set_attributes(merged, {**attributes, "format": FORMAT})
        h5.merge_fixed(parts, found, merged)
        h5.write_text(merged, "tracks", names)
        if genes is None:
            return None
        return merge_pairs([part.path for part in parts], merged, genes, rows=parts[-1].stop - parts[0].start)


def write_table(source: Path, out: Path) -> None:
    """The same as tab-separated text: a line per allele, a column per score and value; six digits."""
    with h5.open_file(source) as handle, open(out, "w", encoding="utf-8", newline="\n") as table:
        names = h5.read_text(handle["tracks"])
        columns = [name for name in _COLUMNS if name in handle]
        heads = [f"{column.replace('/', '_')}:{name}" for column in columns for name in names]
        table.write(table_text([["chrom", "pos", "id", "ref", "alt", *heads]]))
        for first in range(0, len(handle["variants/start"]), _STEP):
            table.write(table_text(_lines(handle, columns, slice(first, first + _STEP))))


def _lines(handle: h5py.File, columns: Sequence[str], part: slice) -> Iterator[list[object]]:
    texts = {name: h5.read_text(handle[f"variants/{name}"], part.start, part.stop) for name in _TEXTS}
    starts = handle["variants/start"][part].tolist()
    values = np.concatenate([handle[name][part] for name in columns], axis=1).tolist()
    rows = zip(texts["chrom"], starts, texts["name"], texts["ref"], texts["alt"], values, strict=True)
    for chrom, start, name, ref, alt, row in rows:
        yield [chrom, start + 1, name, ref, alt, *row]
