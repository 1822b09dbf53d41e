"""Read result files: attributions and predictions, from a RUN or the file in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.errors import CorruptError, InputError
from drg_hpc.results import h5, layout
from drg_hpc.results.predictions import DEVIATIONS, TRACKS, VALUES
from drg_hpc.runs.outputs import resolve_output

OUTPUT = "out.h5"


class Attributions:
    """An open file of attributions; use it in a ``with`` block, or :meth:`close` it.

    Attributes
    ----------
    attributes : what determined the result
    regions : data frame: chrom, start, end, name, strand, kept, reason, row
    sequences : int8 dataset (N, 4, L)
    tracks : name -> h5py group with ``projected`` (N, L), ``prediction`` (N,) and the four-base form when it was kept
    """

    def __init__(self, path: Path, handle: h5py.File) -> None:
        self.path = path
        self.file = handle
        self.attributes: dict[str, Any] = h5.get_attributes(handle)
        try:
            self.sequences: h5py.Dataset = handle["raw/seq"]
            groups = [handle[f"tracks/{index}"] for index in sorted(handle["tracks"])]
            self.tracks: dict[str, h5py.Group] = {str(group.attrs["name"]): group for group in groups}
        except KeyError as error:
            raise CorruptError(f"{path} is incomplete: {error.args[0]}", fix="run drg-attr again") from None

    @property
    def rows(self) -> int:
        """Number of regions."""
        return int(self.sequences.shape[0])

    @property
    def length(self) -> int:
        """Bases of a sequence."""
        return int(self.sequences.shape[2])

    @cached_property
    def regions(self) -> pd.DataFrame:
        """The regions, a row per attributed sequence."""
        return layout.read_regions(self.file)

    def close(self) -> None:
        """Close the file; its datasets cannot be read afterwards."""
        self.file.close()

    def __enter__(self) -> Attributions:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class Predictions:
    """Predictions in memory: ``values`` float32 (N, tracks[, bins]) on ``scale``, with regions and track names; ``sd``
    alike, their standard deviation over models, None where there was one model."""

    def __init__(self, path: Path, handle: h5py.File) -> None:
        self.path = path
        self.attributes: dict[str, Any] = h5.get_attributes(handle)
        self.scale = str(self.attributes["scale"])
        self.regions: pd.DataFrame = layout.read_regions(handle)
        self.tracks: list[str] = h5.read_text(handle[TRACKS])
        self.values: NDArray[np.float32] = handle[VALUES][()]
        self.sd: NDArray[np.float32] | None = handle[DEVIATIONS][()] if DEVIATIONS in handle else None


@contextmanager
def _ours(path: Path, format_name: str, maker: str) -> Iterator[tuple[Path, h5py.File]]:
    file = resolve_output(Path(path), OUTPUT)
    if file.is_dir():
        raise InputError(f"{file} is a folder and not a run", fix=f"give a run of {maker}, or its {OUTPUT}")
    with h5.open_file(file) as handle:
        found = handle.attrs.get("format")
        if found != format_name:
            text = "has no format attribute" if found is None else f"has format {found!r}"
            raise InputError(f"{file} {text}, expected {format_name!r}", fix=f"give a run of {maker}, or its {OUTPUT}")
        yield file, handle


def read_attributions(path: str | Path) -> Attributions:
    """Open the attributions that drg-attr wrote.

    Parameters
    ----------
    path : RUN, or the HDF5 file in it

    Raises
    ------
    InputError : missing, or not a file of attributions
    IncompleteError : the run is not merged
    CorruptError : not HDF5, or cut off
    """
    with _ours(Path(path), layout.ATTRIBUTIONS, "drg-attr") as (file, _):
        pass
    return Attributions(file, h5py.File(file, "r", locking=False))


def read_predictions(path: str | Path) -> Predictions:
    """Read the predictions that drg-predict wrote; errors as :func:`read_attributions`."""
    with _ours(Path(path), layout.PREDICTIONS, "drg-predict") as (file, handle):
        return Predictions(file, handle)
