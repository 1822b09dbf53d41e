"""The table of what was embedded where, from the placements of simulated sequences."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.experiments.sequences import Codes, Simulated
from drg_hpc.genome.onehot import decode
from drg_hpc.genome.random_words import compiled


@compiled
def _gather(
    codes: Codes, rows: NDArray[np.int64], spans: NDArray[np.int64], minus: NDArray[np.bool_], out: Codes
) -> None:
    """Codes of each site, one after the other, on its own strand."""
    at = 0
    for i in range(len(rows)):
        for j in range(spans[i, 0], spans[i, 1]):
            if minus[i]:
                out[at] = 3 - codes[rows[i], spans[i, 0] + spans[i, 1] - 1 - j]
            else:
                out[at] = codes[rows[i], j]
            at += 1


def site_table(found: Simulated, widths: list[int], *, first_row: int) -> tuple[dict[str, NDArray[Any]], Codes]:
    """Columns row, motif, start, end, strand of all sites, sorted by row and start; and their letters, as ASCII.

    Parameters
    ----------
    first_row : global number of the first sequence
    """
    order = np.argsort(found.starts, axis=1, kind="stable")
    ordered = np.take_along_axis(found.starts, order, axis=1)
    local, place = np.nonzero(ordered >= 0)
    motif, start = order[local, place], ordered[local, place]
    end = start + np.array(widths, np.int64)[motif]
    minus = found.minus[local, motif]
    codes = np.empty(int((end - start).sum()), np.uint8)
    _gather(found.codes, local, np.stack([start, end], axis=1), minus, codes)
    strand = np.where(minus, -1, 1)
    columns = {"row": local + first_row, "motif": motif, "start": start, "end": end, "strand": strand}
    return columns, np.frombuffer(decode(codes), np.uint8)
