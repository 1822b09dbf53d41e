"""Which positions of each row are mutated: a stretch of every sequence, or what intervals of the genome cover."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.genome.bed import read_bed
from drg_hpc.genome.regions import Region, parse_region
from drg_hpc.results.layout import SHUFFLES

POSITIONS = "positions"
"""Key of the BED file among the inputs of a plan."""
Masks = list[NDArray[np.bool_]]
_WHERE = ("chrom", "start", "end", "strand")


class Positions:
    """The positions of a run.

    Parameters
    ----------
    params : of the plan
    inputs : of the plan
    """

    def __init__(self, params: Mapping[str, Any], inputs: Mapping[str, Mapping[str, Any]]) -> None:
        self._lengths: dict[str, int] = dict(params["sequences"])
        self._mutated, self._start, self._end = set(params["mutated"]), int(params["start"]), params["end"]
        self._several = len(self._lengths) > 1
        self._fasta = params.get("input") == "fasta"
        self._spans: dict[str, NDArray[np.int64]] | None = None
        if params[POSITIONS] is not None:
            self._path = Path(inputs[POSITIONS]["path"])
            self._spans = _spans(read_bed(self._path), params[POSITIONS]["names"])

    def of(self, regions: pd.DataFrame, intervals: Mapping[str, pd.DataFrame]) -> Masks:
        """Masks (rows, L) of each input.

        Parameters
        ----------
        regions : of the rows; none of those with kept=false is mutated
        intervals : where the sequences of several inputs lie, by name; where none is named, the regions say it

        Raises
        ------
        InputError : positions are intervals of the genome, and a row has no place there
        """
        kept = regions["kept"].to_numpy(bool)
        found = []
        for name, length in self._lengths.items():
            mask = np.zeros((len(regions), length), np.bool_)
            if name in self._mutated:
                mask[kept, self._start : self._end] = True
                if self._spans is not None:
                    places = _placed(regions, intervals[name]) if name in intervals and self._several else regions
                    for row in np.flatnonzero(kept):
                        mask[row] &= self._covered(places.iloc[row], length)
            found.append(mask)
        return found

    def _covered(self, place: Any, length: int) -> NDArray[np.bool_]:
        """Bases of a sequence inside the intervals; one of strand - runs backwards along the genome."""
        assert self._spans is not None
        self._require_place(place, length)
        mask = np.zeros(length, np.bool_)
        spans = self._spans.get(str(place["chrom"]))
        if spans is not None:
            start, end = int(place["start"]), int(place["end"])
            near = spans[np.searchsorted(spans[:, 1], start, side="right") : np.searchsorted(spans[:, 0], end)]
            for first, last in np.clip(near, start, end) - start:
                mask[first:last] = True
        return mask[::-1] if place["strand"] == "-" else mask

    def _require_place(self, place: Any, length: int) -> None:
        name, chrom = str(place["name"]), str(place["chrom"])
        synthetic = str(place["origin"]) in SHUFFLES
        unplaced = not chrom or (self._fasta and parse_region(name, length) is None)
        if not (synthetic or unplaced or int(place["end"]) - int(place["start"]) != length):
            return
        why = "is a shuffled negative" if synthetic else "has no coordinates that fit it"
        fix = """--where 'origin = "given"'""" if synthetic else "give --start and --end, or leave --positions out"
        raise InputError(f"--positions {self._path}: sequence {name!r} (row {place['row']}) {why}", fix=fix)


def _placed(regions: pd.DataFrame, own: pd.DataFrame) -> pd.DataFrame:
    return regions.assign(**{column: own[column].to_numpy() for column in _WHERE})


def _spans(regions: Iterable[Region], names: Mapping[str, str]) -> dict[str, NDArray[np.int64]]:
    """Merged intervals (n, 2) of each contig, ascending.

    Parameters
    ----------
    names : what the input calls a contig of the file, where it is another name
    """
    listed = sorted((names.get(region.chrom, region.chrom), region.start, region.end) for region in regions)
    return {chrom: _merged([span[1:] for span in spans]) for chrom, spans in groupby(listed, lambda span: span[0])}


def _merged(spans: Sequence[tuple[int, ...]]) -> NDArray[np.int64]:
    found: list[list[int]] = []
    for start, end in spans:
        if found and start <= found[-1][1]:
            found[-1][1] = max(found[-1][1], end)
        else:
            found.append([start, end])
    return np.array(found, np.int64).reshape(-1, 2)
