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
from drg_hpc.results.attributions_layout import ATTENTION, INTERVAL_NUMBERS, INTERVAL_TEXT, RAW, SCORED, SHAP
from drg_hpc.results.attributions_read import (
    Form,
    by_base,
    choose_input,
    find_form,
    input_names,
    projected_rows,
    root_of,
)
from drg_hpc.results.damage import read_error, reading
from drg_hpc.results.predictions import DEVIATIONS, TRACKS, VALUES
from drg_hpc.runs.outputs import resolve_output

OUTPUT = "out.h5"


class Attributions:
    """Attributions to one input of an open file; use it in a ``with`` block, or :meth:`close` it.

    Attributes
    ----------
    attributes : what determined the result
    inputs : names of the inputs, empty where a row has one sequence
    input : the one that is read
    regions : data frame: chrom, start, end, name, strand, kept, reason, row, …; of several inputs, this one's intervals
    kept : (N,) rows that have attributions; the others hold NaN
    sequences : int8 dataset (N, 4, L)
    tracks : name -> h5py group with ``prediction`` (N,), ``projected`` (N, L), the four-base form when it was kept, and
        perhaps ``delta``, ``prediction_sd`` and ``projected_sd``; in a sparse file arrays by position lie in ``top``,
        with ``positions`` (N, K); of drg-ism ``ism`` (N, 4, L) and other kinds of edits (N, L)
    scored : int8 dataset (N, L) of drg-ism, 1 where the sequence was mutated; None for other methods
    attention : dataset (N, layers, heads, positions, positions), None where there is none
    """

    def __init__(self, path: Path, handle: h5py.File, name: str | None = None) -> None:
        self.path = path
        self.file = handle
        self.attributes: dict[str, Any] = h5.get_attributes(handle)
        self.inputs = input_names(handle)
        self.input = name
        try:
            self._root: h5py.Group = root_of(handle, name)
            self.sequences: h5py.Dataset = self._root[RAW]
            self.attention: h5py.Dataset | None = handle.get(ATTENTION)
            self.scored: h5py.Dataset | None = self._root.get(SCORED)
            groups = [] if self.attention is not None and "tracks" not in handle else self._groups()
            self.tracks: dict[str, h5py.Group] = {str(group.attrs["name"]): group for group in groups}
        except KeyError as error:
            raise CorruptError(f"{path} is incomplete: {error.args[0]}", fix="run drg-attr again") from None

    def _groups(self) -> list[h5py.Group]:
        return [self._root[f"tracks/{index}"] for index in sorted(self._root["tracks"])]

    @property
    def rows(self) -> int:
        """Number of regions."""
        return int(self.sequences.shape[0])

    @property
    def length(self) -> int:
        """Bases of a sequence."""
        return int(self.sequences.shape[2])

    @property
    def by_base(self) -> bool:
        """Tracks have attributions to bases; attention and mutagenesis without substitutions have none."""
        return any(by_base(group) for group in self.tracks.values())

    @cached_property
    def regions(self) -> pd.DataFrame:
        """The regions, a row per attributed sequence."""
        found = layout.read_regions(self.file)
        if self.input is None:
            return found
        own = self._root["regions"]
        return found.assign(**{name: layout.read_column(own[name]) for name in (*INTERVAL_TEXT, *INTERVAL_NUMBERS)})

    @cached_property
    def kept(self) -> NDArray[np.bool_]:
        """(N,) rows that have attributions."""
        return np.asarray(self.file["regions/kept"][()], np.bool_)

    def projected(self, track: str, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Attributions of the bases that are there (n, L); 0 where a sparse file has none, and in rows not kept."""
        found = projected_rows(self.tracks[track], start, stop, length=self.length)
        found[~self.kept[start:stop]] = 0.0
        return found

    def contributions(self, track: str, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """A form (n, 4, L) whose product with the sequence, summed over bases, is :meth:`projected`.

        A stored one where there is, else the projection at the bases that are there; zeros as :meth:`projected`.
        """
        form = self.form(track)
        if form is None:
            onehot = np.asarray(self.sequences[start:stop], np.float32)
            return onehot * self.projected(track, start, stop)[:, None]
        found = form.read(start, stop, length=self.length)
        found[~self.kept[start:stop]] = 0.0
        return found

    def form(self, track: str) -> Form | None:
        """The stored form that :meth:`contributions` reads, None where only the projection was kept."""
        return find_form(self.tracks[track], self._root.get(SHAP))

    def close(self) -> None:
        """Close the file; its datasets cannot be read afterwards."""
        self.file.close()

    def __enter__(self) -> Attributions:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        """Close the file.

        Raises
        ------
        CorruptError : in place of h5py's error, where something could not be read
        """
        fault = read_error(self.path, value) if isinstance(value, Exception) else None
        self.close()
        if fault is not None:
            raise fault from None


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


def read_attributions(path: str | Path, input: str | None = None) -> Attributions:
    """Open the attributions that drg-attr or drg-ism wrote.

    Parameters
    ----------
    path : RUN, or the HDF5 file in it
    input : name of one of several inputs of the model

    Raises
    ------
    InputError : missing, or not a file of attributions
    UsageError : several inputs and none chosen, or no such input
    IncompleteError : the run is not merged
    CorruptError : not HDF5, or cut off
    """
    with _ours(Path(path), layout.ATTRIBUTIONS, "drg-attr") as (file, handle):
        name = choose_input(handle, input)
    with reading(file):
        return Attributions(file, h5py.File(file, "r", locking=False), name)


def list_inputs(path: str | Path) -> tuple[str, ...]:
    """Names of the inputs that a file has attributions to, () where the model takes one sequence; errors as
    :func:`read_attributions`."""
    with _ours(Path(path), layout.ATTRIBUTIONS, "drg-attr") as (_, handle):
        return input_names(handle)


def read_predictions(path: str | Path) -> Predictions:
    """Read the predictions that drg-predict wrote; errors as :func:`read_attributions`."""
    with _ours(Path(path), layout.PREDICTIONS, "drg-predict") as (file, handle):
        return Predictions(file, handle)
