"""Names in result files that writers and readers share, and the table of regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np
import pandas as pd

from drg_hpc.results import h5
from drg_hpc.runs.spec import BLOCK_ROWS

ATTRIBUTIONS = "drg-attributions/1"
PREDICTIONS = "drg-predictions/1"

REGION_TEXT = ("chrom", "name", "strand", "reason", "origin")
SHUFFLES = ("dinuc", "dinuc-compat")
"""Origins of rows whose bases have no place on the genome, though their region names the source's."""
REGION_NUMBERS: Mapping[str, Any] = {"start": np.int64, "end": np.int64, "kept": np.bool_, "row": np.int64}
REGION_DATASETS = tuple(f"regions/{name}" for name in sorted((*REGION_TEXT, *REGION_NUMBERS)))


def write_regions(
    out: h5py.File, regions: pd.DataFrame, *, columns: Sequence[str] = (), chunk_rows: int = BLOCK_ROWS
) -> None:
    """Write the ``regions`` group.

    Parameters
    ----------
    regions : a row per result row: chrom, start, end (0-based, half-open), name, strand, kept, reason (why a region
        was not kept), origin (given, or how a negative was made), row (number of the row in the input)
    columns : others to write too, of text or of numbers
    chunk_rows : of numbers
    """
    for name in REGION_TEXT:
        h5.write_text(out, f"regions/{name}", [str(value) for value in regions[name]])
    for name, dtype in REGION_NUMBERS.items():
        h5.write_array(out, f"regions/{name}", regions[name].to_numpy(dtype=dtype), chunk_rows=chunk_rows)
    for name in columns:
        values = regions[name]
        if pd.api.types.is_numeric_dtype(values):
            h5.write_array(out, f"regions/{name}", values.to_numpy(), chunk_rows=chunk_rows)
        else:
            h5.write_text(out, f"regions/{name}", [str(value) for value in values])


def read_regions(source: h5py.File) -> pd.DataFrame:
    """The ``regions`` group as a data frame: the columns that all results have, then others by name."""
    group = source["regions"]
    known = ("chrom", "start", "end", "name", "strand", "kept", "reason", "origin", "row")
    names = [*known, *sorted(set(group) - set(known))]
    return pd.DataFrame({name: read_column(group[name]) for name in names})


def read_column(source: h5py.Dataset, start: int = 0, stop: int | None = None) -> Any:
    """Rows of a column of text or of numbers."""
    if h5py.check_string_dtype(source.dtype) is not None:
        return h5.read_text(source, start, stop)
    return source[start:stop]
