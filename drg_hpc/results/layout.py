"""Names in result files that writers and readers share, and the table of regions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
import pandas as pd

from drg_hpc.results import h5

ATTRIBUTIONS = "drg-attributions/1"
PREDICTIONS = "drg-predictions/1"

REGION_TEXT = ("chrom", "name", "strand", "reason", "origin")
SHUFFLES = ("dinuc", "dinuc-compat")
"""Origins of rows whose bases have no place on the genome, though their region names the source's."""
REGION_NUMBERS: Mapping[str, Any] = {"start": np.int64, "end": np.int64, "kept": np.bool_, "row": np.int64}
REGION_DATASETS = tuple(f"regions/{name}" for name in sorted((*REGION_TEXT, *REGION_NUMBERS)))


def write_regions(out: h5py.File, regions: pd.DataFrame) -> None:
    """Write the ``regions`` group.

    Parameters
    ----------
    regions : a row per result row: chrom, start, end (0-based, half-open), name, strand, kept, reason (why a region
        was not kept), origin (given, or how a negative was made), row (number of the row in the input)
    """
    for name in REGION_TEXT:
        h5.write_text(out, f"regions/{name}", [str(value) for value in regions[name]])
    for name, dtype in REGION_NUMBERS.items():
        h5.write_array(out, f"regions/{name}", regions[name].to_numpy(dtype=dtype))


def read_regions(source: h5py.File) -> pd.DataFrame:
    """The ``regions`` group as a data frame, columns as written."""
    group = source["regions"]
    columns: dict[str, Any] = {
        name: h5.read_text(group[name]) if name in REGION_TEXT else group[name][()]
        for name in ("chrom", "start", "end", "name", "strand", "kept", "reason", "origin", "row")
    }
    return pd.DataFrame(columns)
