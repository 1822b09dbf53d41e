"""Seqlets on disk: one HDF5 table with genome coordinates and centred windows, and a BED file.

``seqlets/{row,start,end,sign,attribution,p_value,track,chrom,genome_start,genome_end}`` are columns of equal length,
sorted by row and start; ``seqlets/contribution`` (n, 4, W) and ``seqlets/sequence`` (n, 4, W) are windows centred on
the seqlets' midpoints, zero beyond the ends of the row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.errors import CorruptError
from drg_hpc.results import h5
from drg_hpc.runs.outputs import resolve_output

FORMAT = "drg-seqlets/1"
GROUP = "seqlets"
NUMBERS: dict[str, type[np.generic]] = {
    "row": np.int64,
    "start": np.int32,
    "end": np.int32,
    "sign": np.int8,
    "attribution": np.float32,
    "p_value": np.float64,
    "track": np.int32,
    "genome_start": np.int64,
    "genome_end": np.int64,
}
WINDOWS: dict[str, type[np.generic]] = {"contribution": np.float32, "sequence": np.int8}
_BED_ROWS = 100_000


@dataclass(frozen=True)
class Seqlets:
    """A seqlet file in memory.

    Parameters
    ----------
    table : the columns of the file, chrom included
    contribution, sequence : (n, 4, W) float32 and int8 windows
    attributes : root attributes (parameters, form of the contributions, track names)
    """

    table: pd.DataFrame
    contribution: NDArray[np.float32]
    sequence: NDArray[np.int8]
    attributes: dict[str, Any]


def write_part(
    path: Path, table: pd.DataFrame, *, contribution: NDArray[np.float32], sequence: NDArray[np.int8]
) -> None:
    """Write one shard's seqlets."""
    with h5.create(path) as out:
        group = h5.subgroup(out, GROUP)
        for name, kind in NUMBERS.items():
            column = table[name].to_numpy(kind)
            h5.write_array(group, name, column, chunk_rows=h5.TABLE_CHUNK_ROWS)
        h5.write_text(group, "chrom", list(table["chrom"]))
        h5.write_array(group, "contribution", contribution.astype(np.float32, copy=False))
        h5.write_array(group, "sequence", sequence.astype(np.int8, copy=False))


def merge_parts(parts: Sequence[Path], path: Path, attributes: Mapping[str, Any]) -> int:
    """Join the shards' files, in order, into ``path``; returns the number of seqlets."""
    names = [f"{GROUP}/{name}" for name in (*NUMBERS, "chrom", *WINDOWS)]
    with h5.create(path) as out:
        h5.set_attributes(out, {"format": FORMAT, **attributes})
        return h5.merge_tables(list(parts), names, out)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[h5py.Group, dict[str, Any]]]:
    source = resolve_output(path, "out.h5")
    with h5.open_file(source) as handle:
        attributes = h5.get_attributes(handle)
        group = handle.get(GROUP)
        if attributes.get("format") != FORMAT or group is None:
            raise CorruptError(f"{source} is not a seqlet file of format {FORMAT}", fix="give what drg-seqlets wrote")
        missing = [name for name in (*NUMBERS, "chrom", *WINDOWS) if name not in group]
        if missing:
            raise CorruptError(f"{source} lacks {', '.join(missing)}", fix="run drg-seqlets again")
        yield group, attributes


def _table(group: h5py.Group) -> pd.DataFrame:
    table = pd.DataFrame({name: group[name][:] for name in NUMBERS})
    table["chrom"] = h5.read_text(group["chrom"])
    return table


def read_table(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Columns and root attributes, without the windows; errors as :func:`read_seqlets`."""
    with _opened(path) as (group, attributes):
        return _table(group), attributes


def read_seqlets(path: Path) -> Seqlets:
    """Read a seqlet RUN or its out.h5 wholly.

    Raises
    ------
    InputError, IncompleteError : nothing there, or the run is not merged
    CorruptError : not a seqlet file, or columns are missing
    """
    with _opened(path) as (group, attributes):
        return Seqlets(_table(group), group["contribution"][:], group["sequence"][:], attributes)


def bed_lines(path: Path, tracks: Sequence[str]) -> Iterator[str]:
    """BED6+3 lines of a seqlet file: chrom, start, end, track, score, strand '.', attribution, p-value, row.

    The score is -10 log10 p, at most 1000. A part of a padded region that lies before the chromosome is cut.
    """
    with h5.open_file(path) as handle:
        group = handle[GROUP]
        for first in range(0, group["row"].shape[0], _BED_ROWS):
            rows = slice(first, first + _BED_ROWS)
            chrom = h5.read_text(group["chrom"], first, first + _BED_ROWS)
            wanted = ("genome_start", "genome_end", "track", "attribution", "p_value", "row")
            columns = [group[name][rows].tolist() for name in wanted]
            for name, start, end, track, attribution, p_value, row in zip(chrom, *columns, strict=True):
                score = 1000 if p_value <= 1e-100 else round(-10 * float(np.log10(p_value)))
                label = tracks[track].replace("\t", " ")
                place = f"{name}\t{max(start, 0)}\t{max(end, 0)}"
                yield f"{place}\t{label}\t{score}\t.\t{attribution:.6g}\t{p_value:.3g}\t{row}\n"


def write_bed(source: Path, target: Path, tracks: Sequence[str]) -> None:
    """Write the BED file of a seqlet file."""
    with open(target, "x", encoding="utf-8") as handle:
        handle.writelines(bed_lines(source, tracks))


def count_positive(path: Path) -> int:
    """Number of positive seqlets in a file."""
    with h5.open_file(path) as handle:
        return int((handle[f"{GROUP}/sign"][:] > 0).sum())
