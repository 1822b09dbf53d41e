"""Values of bigWig files over regions: mean, sum or maximum of the base pairs of a region or of each bin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
import pyBigWig
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.genome.contigs import map_contigs
from drg_hpc.genome.regions import Region

Reduce = Literal["mean", "sum", "max"]
Missing = Literal["zero", "mask"]


class BigWig:
    """One open bigWig file, its contig names mapped to those of a genome.

    Parameters
    ----------
    path : the file
    contigs : name -> length of the genome's contigs

    Raises
    ------
    InputError : missing, not a bigWig, no contig in common, or lengths differ (another assembly)
    """

    def __init__(self, path: Path, contigs: Mapping[str, int]) -> None:
        if not path.is_file():
            raise InputError(f"no such file: {path}", fix="check the path")
        try:
            self._handle = pyBigWig.open(str(path))
            whole = self._handle is not None and self._handle.isBigWig()
        except RuntimeError:
            whole = False
        if not whole:
            raise InputError(f"not a bigWig file, or a truncated one: {path}")
        self.path = path
        lengths: dict[str, int] = self._handle.chroms()
        mapping = map_contigs(lengths, contigs, what=str(path), lengths=lengths)
        self._names = {genome: own for own, genome in mapping.items()}
        self._lengths = lengths

    def __enter__(self) -> BigWig:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._handle.close()

    def values(self, contig: str, start: int, end: int) -> NDArray[np.float64]:
        """Values (end - start,) of base pairs; NaN where there are none, also off the contig's ends."""
        out = np.full(end - start, np.nan)
        name = self._names.get(contig)
        if name is None:
            return out
        first, last = max(start, 0), min(end, self._lengths[name])
        if first < last:
            try:
                out[first - start : last - start] = self._handle.values(name, first, last, numpy=True)
            except RuntimeError as error:
                raise InputError(f"cannot read {self.path} at {name}:{first}-{last}: {error}") from None
        return out


def reduce_values(values: NDArray[np.float64], *, bins: int, reduce: Reduce, missing: Missing) -> NDArray[np.float64]:
    """Reduce base-pair values (length,) to (bins,), or to () when ``bins`` is 0.

    ``zero``: base pairs without a value count as 0, so a mean is over *all* base pairs. ``mask``: they are left out,
    and a bin without any value is NaN. Sums are taken in float64.
    """
    grid = values.reshape(bins, -1) if bins else values
    present = np.isfinite(grid)
    if missing == "zero":
        filled = np.where(present, grid, 0.0)
        return np.asarray(getattr(filled, reduce)(axis=-1))
    count = present.sum(axis=-1)
    if reduce == "max":
        result: Any = np.where(present, grid, -np.inf).max(axis=-1)
    else:
        result = np.where(present, grid, 0.0).sum(axis=-1)
        if reduce == "mean":
            result = result / np.maximum(count, 1)
    return np.where(count > 0, result, np.nan)


def region_values(
    track: BigWig, regions: Sequence[Region], *, bins: int, reduce: Reduce, missing: Missing
) -> NDArray[np.float32]:
    """Values (regions,) or (regions, bins) of one track, float32; read in genome order, returned in the given one.

    Bins run with the strand of a region: those of a minus-strand region are reversed.
    """
    out = np.full((len(regions), bins) if bins else len(regions), np.nan, np.float32)
    for i in sorted(range(len(regions)), key=lambda i: (regions[i].chrom, regions[i].start)):
        region = regions[i]
        if not region.kept:
            continue
        values = track.values(region.chrom, region.start, region.end)
        reduced = reduce_values(values, bins=bins, reduce=reduce, missing=missing)
        out[i] = reduced[::-1] if bins and region.strand == "-" else reduced
    return out
