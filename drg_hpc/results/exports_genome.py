"""Regions of result files as BED, and their values as bigWig."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.genome.export import Contigs, Written, place_rows, write_bed
from drg_hpc.genome.export_bigwig import write_bigwig
from drg_hpc.results.attributions_read import projected_rows
from drg_hpc.results.reader import Attributions
from drg_hpc.runs.spec import BLOCK_ROWS

Read = Callable[[int, int], NDArray[Any]]
"""Values (n, positions) of consecutive rows, as they are stored."""


def regions_bed(out: Path, regions: pd.DataFrame, contigs: Contigs | None) -> Written:
    """The kept rows that lie on the genome, in its order.

    Raises
    ------
    InputError : there is none
    """
    kept = np.flatnonzero(regions["kept"].to_numpy(np.bool_)).astype(np.int64)
    placed = place_rows(regions, kept, contigs)
    write_bed(out, regions, rows=placed.rows, contigs=contigs)
    return Written({"regions": len(placed.rows)}, {**_unkept(regions), **placed.left_out})


def _unkept(regions: pd.DataFrame) -> dict[str, int]:
    count = int((~regions["kept"].to_numpy(np.bool_)).sum())
    return {"rows are not kept": count} if count else {}


def rows_bigwig(
    out: Path, contigs: Contigs, regions: pd.DataFrame, *, width: int, positions: int, stranded: bool, read: Read
) -> Written:
    """Values of the kept rows, put back on the genome: averaged where regions overlap, NaN left out.

    Parameters
    ----------
    width : bases of a region
    positions : values of a region, which are bins of equal size
    stranded : rows of strand - run backwards along the genome

    Raises
    ------
    InputError : no row has a place on the genome, or no value
    """
    kept = np.flatnonzero(regions["kept"].to_numpy(np.bool_)).astype(np.int64)
    placed = place_rows(regions, kept, contigs, length=width)
    minus = (regions["strand"] == "-").to_numpy(np.bool_) & stranded

    def in_genome_direction(rows: NDArray[np.int64]) -> NDArray[Any]:
        found = np.empty((len(rows), positions), np.float32)
        for block in np.unique(rows // BLOCK_ROWS):
            here = np.flatnonzero(rows // BLOCK_ROWS == block)
            first = int(block) * BLOCK_ROWS
            found[here] = read(first, first + BLOCK_ROWS)[rows[here] - first]
        found[minus[rows]] = found[minus[rows], ::-1]
        return found

    starts = regions["start"].to_numpy(np.int64)
    bases = write_bigwig(out, contigs, placed, start=starts, width=width, positions=positions, read=in_genome_direction)
    return Written({"regions": len(placed.rows), "bases": bases}, {**_unkept(regions), **placed.left_out})


def track_bigwig(out: Path, contigs: Contigs, found: Attributions, track: str) -> Written:
    """Attributions of a track to the bases that are there; of a sparse file those that it holds."""
    length, group = found.length, found.tracks[track]
    return rows_bigwig(
        out,
        contigs,
        found.regions,
        width=length,
        positions=length,
        stranded=bool(found.attributes.get("stranded", False)),
        read=lambda start, stop: projected_rows(group, start, stop, length=length, fill=np.nan),
    )
