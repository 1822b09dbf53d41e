"""The ``table`` group of a result file: tests of effects, a line each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np

from drg_hpc.results import h5


def write_test_table(
    handle: h5py.File, rows: Sequence[Mapping[str, Any]], *, texts: Sequence[str], counts: Sequence[str],
    numbers: Sequence[str],
) -> None:  # fmt: skip
    """Write a dataset for each column; a number that is None becomes NaN."""
    for name in texts:
        h5.write_text(handle, f"table/{name}", [row[name] for row in rows])
    for name in counts:
        h5.write_array(handle, f"table/{name}", np.array([row[name] for row in rows], np.int64))
    for name in numbers:
        values = [math.nan if row[name] is None else row[name] for row in rows]
        h5.write_array(handle, f"table/{name}", np.array(values, np.float64))
