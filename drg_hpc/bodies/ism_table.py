"""Mutagenesis of one sequence as a table: bases down, positions across."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from drg_hpc.errors import InputError
from drg_hpc.results import h5
from drg_hpc.results.attributions_layout import ISM, RAW, SCORED, Layout

_BASES = "ACGT"


def write_table(part: Path, out: Path, layout: Layout) -> dict[str, Any]:
    """Write the one row of a part, as the data frame that gReLU's ``ISM_predict`` returns: a line each of A, C, G and
    T, a column each mutated position, headed by the base that is there (N: unknown).

    Returns
    -------
    its size, for done.json

    Raises
    ------
    InputError : the row was not kept
    """
    with h5.open_file(part) as handle:
        if not handle["regions/kept"][0]:
            reason = h5.read_text(handle["regions/reason"])[0]
            raise InputError(f"the one sequence cannot be used: {reason}", fix="choose another")
        number = next(n for n in range(len(layout.inputs)) if handle[layout.folder(n) + SCORED][0].any())
        scored = np.flatnonzero(handle[layout.folder(number) + SCORED][0])
        onehot = np.asarray(handle[layout.folder(number) + RAW][0])[:, scored]
        values = np.asarray(handle[f"{layout.own_group(0, number)}/{ISM}"][0])[:, scored]
    there = [_BASES[column.argmax()] if column.any() else "N" for column in onehot.T]
    pd.DataFrame(values, index=list(_BASES), columns=there).to_csv(out, sep="\t")
    return {"positions": len(scored), "bases": list(_BASES)}
