"""Where the sequences of a result file lie on the genome."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.results import layout


@dataclass(frozen=True)
class Places:
    """Coordinates, names and origins of some rows; ``flipped`` ones run backwards along the genome."""

    chrom: list[str]
    name: list[str]
    origin: list[str]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    flipped: NDArray[np.bool_]


def place_sequences(regions: pd.DataFrame, *, length: int, stranded: bool) -> Places:
    """Places of rows, for programs that want a chromosome whatever the row is.

    Rows read from the reverse strand (root attribute ``stranded``, strand ``-``) run backwards along the genome. A
    sequence without coordinates is its own chromosome, under its name. So is a shuffled negative: the table has the
    coordinates of the region that it was shuffled from, but its bases have no place on the genome.

    Parameters
    ----------
    regions : chrom, name, origin, start, end, strand
    length : bases of a sequence
    """
    chrom, names, origin = ([str(value) for value in regions[column]] for column in ("chrom", "name", "origin"))
    synthetic = np.isin(origin, layout.SHUFFLES)
    placed = [bool(place) and not made for place, made in zip(chrom, synthetic.tolist(), strict=True)]
    return Places(
        chrom=[
            place if real else "_".join(name.split()) or "."
            for place, real, name in zip(chrom, placed, names, strict=True)
        ],
        name=names,
        origin=origin,
        start=np.where(synthetic, 0, regions["start"].to_numpy(np.int64)),
        end=np.where(synthetic, length, regions["end"].to_numpy(np.int64)),
        flipped=(regions["strand"] == "-").to_numpy(np.bool_) & stranded & ~synthetic,
    )


def nowhere(rows: int, length: int) -> pd.DataFrame:
    """Intervals of sequences that have no place on the genome."""
    index = range(rows)
    return pd.DataFrame({"chrom": "", "start": 0, "end": length, "strand": "."}, index=index)
