"""Seqlets on disk: one HDF5 table with genome coordinates and centred windows, and a BED file.

``seqlets/{row,start,end,sign,attribution,p_value,track,chrom,name,origin,genome_start,genome_end}`` are columns of
equal length, sorted by row and start; ``name`` and ``origin`` are the row's. A row that has no place on the genome (a
sequence without coordinates, a shuffled negative) has its own name as ``chrom`` and coordinates within the sequence.
``p_value`` is NaN where the method has none; ``attribution`` of tfmodisco's seqlets is their core's, without flanks.
``seqlets/contribution`` (n, 4, W) and ``seqlets/sequence`` (n, 4, W) are windows centred on the seqlets' midpoints,
zero beyond the ends of the row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.errors import CorruptError, InputError
from drg_hpc.results import h5
from drg_hpc.runs.outputs import PLAN, committed, resolve_output

FORMAT = "drg-seqlets/1"
_FIX = "give a run of drg-seqlets, or its out.h5"
GROUP = "seqlets"
NUMBERS: dict[str, type[np.generic]] = {
    "row": np.int64,
    "start": np.int32,
    "end": np.int32,
    "sign": np.int8,
    "attribution": np.float32,
    "p_value": np.float64,
    "track": np.int32,
    "genome_start": np.int64,
    "genome_end": np.int64,
}
TEXTS = ("chrom", "name", "origin")
WINDOWS: dict[str, type[np.generic]] = {"contribution": np.float32, "sequence": np.int8}
_BED_ROWS = 100_000
_COLUMNS = (*NUMBERS, *TEXTS, *WINDOWS)
BED_COLUMNS = ("chrom", "start", "end", "track|row_name", "score", "strand", "attribution", "p_value", "row")


@dataclass(frozen=True)
class Seqlets:
    """A seqlet file in memory.

    Parameters
    ----------
    table : the columns of the file, chrom included
    contribution, sequence : (n, 4, W) float32 and int8 windows
    attributes : root attributes (parameters, form of the contributions, track names)
    """

    table: pd.DataFrame
    contribution: NDArray[np.float32]
    sequence: NDArray[np.int8]
    attributes: dict[str, Any]


def _write_columns(
    group: h5py.Group, table: pd.DataFrame, contribution: NDArray[Any], sequence: NDArray[Any]
) -> None:  # fmt: skip
    for name, kind in NUMBERS.items():
        h5.write_array(group, name, table[name].to_numpy(kind), chunk_rows=h5.TABLE_CHUNK_ROWS)
    for name in TEXTS:
        h5.write_text(group, name, list(table[name]))
    for name, values in zip(WINDOWS, (contribution, sequence), strict=True):
        h5.write_array(group, name, values.astype(WINDOWS[name], copy=False))


class PartWriter:
    """One shard's seqlets, written block by block: ``with PartWriter(path, window=W) as out``."""

    def __init__(self, path: Path, *, window: int) -> None:
        self._window = window
        self._file = h5.create(path)
        self._group = h5.subgroup(self._file, GROUP)
        self._rows = 0

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None and self._rows == 0:
            none = np.zeros((0, 4, self._window))
            _write_columns(self._group, pd.DataFrame({name: [] for name in (*NUMBERS, *TEXTS)}), none, none)
        self._file.close()

    def add(self, table: pd.DataFrame, *, contribution: NDArray[np.float32], sequence: NDArray[np.int8]) -> None:
        """Seqlets behind those that are there."""
        if len(table) == 0:
            return
        if self._rows == 0:
            _write_columns(self._group, table, contribution, sequence)
        else:
            columns = {name: table[name].to_numpy() for name in (*NUMBERS, *TEXTS)}
            for name, values in {**columns, "contribution": contribution, "sequence": sequence}.items():
                target = self._group[name]
                target.resize(self._rows + len(table), axis=0)
                target[self._rows :] = values
        self._rows += len(table)


def write_seqlets(path: Path, found: Seqlets) -> None:
    """Write ``path``, which must not exist, from memory."""
    with h5.create_whole(path) as out:
        h5.set_attributes(out, {"format": FORMAT, **found.attributes})
        _write_columns(h5.subgroup(out, GROUP), found.table, found.contribution, found.sequence)


def merge_parts(parts: Sequence[Path], path: Path, attributes: Mapping[str, Any]) -> int:
    """Join the shards' files, in order, into ``path``; returns the number of seqlets."""
    names = [f"{GROUP}/{name}" for name in _COLUMNS]
    with h5.create(path) as out:
        h5.set_attributes(out, {"format": FORMAT, **attributes})
        return h5.merge_tables(list(parts), names, out)


def looks_like_hdf5(path: Path) -> bool:
    """By name or content: a file that should be HDF5 and cannot be read is damaged, another one is something else."""
    return path.suffix in (".h5", ".hdf5") or bool(h5py.is_hdf5(path))


def find_seqlets(path: Path) -> Path:
    """The seqlet file, given a seqlet RUN or the file.

    Raises
    ------
    InputError : nothing there, or something else: a run of another command, a folder, a file that is not HDF5
    IncompleteError : the run is not merged
    """
    done = committed(path) if (path / PLAN).is_file() else None
    if done is not None and done.get("command", "seqlets") != "seqlets":
        raise InputError(f"{path} is a run of drg-{done['command']}, seqlets are wanted", fix=_FIX)
    if path.is_dir() and not (path / PLAN).is_file():
        raise InputError(f"{path} is a folder and not a seqlet run", fix=_FIX)
    source = resolve_output(path, "out.h5")
    if not looks_like_hdf5(source):
        raise InputError(f"{source} is not HDF5: the seqlets of a run are in its out.h5", fix=_FIX)
    return source


@contextmanager
def _opened(path: Path) -> Iterator[tuple[h5py.Group, dict[str, Any]]]:
    source = find_seqlets(path)
    try:
        with h5.open_file(source) as handle:
            attributes = h5.get_attributes(handle)
            if attributes.get("format") != FORMAT:
                found = attributes.get("format", "of no format that is known here")
                raise InputError(f"{source} is {found}, seqlets ({FORMAT}) are wanted", fix=_FIX)
            group = handle.get(GROUP, {})
            missing = [name for name in _COLUMNS if name not in group]
            if missing:
                raise CorruptError(f"{source} lacks {', '.join(missing)}", fix="run drg-seqlets again with another -o")
            yield group, attributes
    except (OSError, RuntimeError, KeyError, ValueError) as error:  # what h5py makes of damaged bytes
        fix = "drg-inspect --verify says what is damaged"
        raise CorruptError(f"{source} cannot be read: {error}", fix=fix) from None


def _table(group: h5py.Group) -> pd.DataFrame:
    table = pd.DataFrame({name: group[name][:] for name in NUMBERS})
    for name in TEXTS:
        table[name] = h5.read_text(group[name])
    return table


def count_seqlets(path: Path) -> int:
    """Seqlets of a file; errors as :func:`read_seqlets`."""
    with _opened(path) as (group, _):
        return int(group["row"].shape[0])


def read_table(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Columns and root attributes, without the windows; errors as :func:`read_seqlets`."""
    with _opened(path) as (group, attributes):
        return _table(group), attributes


def read_seqlets(path: Path) -> Seqlets:
    """Read a seqlet RUN or its out.h5 wholly.

    Raises
    ------
    InputError, IncompleteError : nothing there, something else than seqlets, or the run is not merged
    CorruptError : cut off, damaged, or columns are missing
    """
    with _opened(path) as (group, attributes):
        return Seqlets(_table(group), group["contribution"][:], group["sequence"][:], attributes)


def bed_lines(path: Path, tracks: Sequence[str]) -> Iterator[str]:
    """A header (``#``) and the BED6+3 lines of a seqlet file, in the order of :data:`BED_COLUMNS`.

    Column 4 is the track and the row's name, joined by ``|``, blanks as ``_``. The score is -10 log10 p, at most 1000,
    or 0 with ``.`` as p-value where the method has none; the strand is always ``.``; row is the row of the attribution
    file. A part of a padded region that lies before the chromosome is cut. Rows without a place on the genome have
    their own name as chromosome (see the module).
    """
    yield "#" + "\t".join(BED_COLUMNS) + "\n"
    with h5.open_file(path) as handle:
        group = handle[GROUP]
        for first in range(0, group["row"].shape[0], _BED_ROWS):
            rows = slice(first, first + _BED_ROWS)
            chrom, names = (h5.read_text(group[name], first, first + _BED_ROWS) for name in ("chrom", "name"))
            wanted = ("genome_start", "genome_end", "track", "attribution", "p_value", "row")
            columns = [group[name][rows].tolist() for name in wanted]
            for place, name, start, end, track, attribution, p_value, row in zip(chrom, names, *columns, strict=True):
                score, shown = _score(p_value)
                label = "_".join(f"{tracks[track]}|{name}".split())
                span = f"{place}\t{max(start, 0)}\t{max(end, 0)}"
                yield f"{span}\t{label}\t{score}\t.\t{attribution:.6g}\t{shown}\t{row}\n"


def _score(p_value: float) -> tuple[int, str]:
    """BED score and text of a p-value; NaN is that of a method without p-values."""
    if np.isnan(p_value):
        return 0, "."
    return (1000 if p_value <= 1e-100 else round(-10 * float(np.log10(p_value)))), f"{p_value:.3g}"


def write_bed(source: Path, target: Path, tracks: Sequence[str]) -> None:
    """Write the BED file of a seqlet file."""
    with open(target, "x", encoding="utf-8") as handle:
        handle.writelines(bed_lines(source, tracks))


def count_positive(path: Path) -> int:
    """Number of positive seqlets in a file."""
    with h5.open_file(path) as handle:
        return int((handle[f"{GROUP}/sign"][:] > 0).sum())
