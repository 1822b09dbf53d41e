"""HDF5 files of patterns as modisco-lite writes and reads them.

Root attribute ``window_size``; ``pos_patterns|neg_patterns/pattern_K`` with ``sequence``, ``contrib_scores`` and
``hypothetical_contribs`` (W, 4), and ``seqlets/{n_seqlets,start,end,example_idx,is_revcomp}``, mostly with the seqlets'
own ``sequence``, ``contrib_scores`` and ``hypothetical_contribs`` (n, W, 4), turned as they lie in the pattern. Starts
and ends count from the left end of the central ``window_size`` bases of a row. Subpatterns are not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import CorruptError, InputError
from drg_hpc.results import h5

SIGNS = {"pos_patterns": 1, "neg_patterns": -1}
_AVERAGES = ("sequence", "contrib_scores", "hypothetical_contribs")
_NUMBERS = ("start", "end", "example_idx", "is_revcomp")


@dataclass(frozen=True)
class Windows:
    """Seqlets' own arrays, (n, 4, W), as they lie in the pattern."""

    sequence: NDArray[np.float32]
    contribution: NDArray[np.float32]
    hypothetical: NDArray[np.float32]


@dataclass(frozen=True)
class Pattern:
    """One pattern.

    Parameters
    ----------
    sign : 1 or -1
    sequence, contribution, hypothetical : (4, W) averages: base frequencies, contribution of the base that is there,
        and of all four
    row, start, end, flipped : (n,) seqlets: number of the example, place in the window, reverse complemented
    windows : the seqlets' own arrays where the file has them
    """

    sign: int
    sequence: NDArray[np.float64]
    contribution: NDArray[np.float64]
    hypothetical: NDArray[np.float64]
    row: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    flipped: NDArray[np.bool_]
    windows: Windows | None


@dataclass(frozen=True)
class Patterns:
    """A file of patterns, positive ones first, each sign in the file's order; ``window`` is None in old files."""

    patterns: list[Pattern]
    window: int | None


def read_patterns(path: Path) -> Patterns:
    """Read a file of modisco-lite.

    Raises
    ------
    InputError : nothing there, or no file of patterns
    CorruptError : cut off, or a pattern lacks arrays or they do not fit together
    """
    if path.is_file() and not h5py.is_hdf5(path):
        raise InputError(f"{path} is not HDF5, a result of modisco-lite is wanted", fix="give its .h5 file")
    with ExitStack() as stack:
        try:
            handle = stack.enter_context(h5.open_file(path))
        except CorruptError as error:
            raise CorruptError(error.what, fix="copy it again, or run modisco motifs again") from None
        groups = [name for name in SIGNS if isinstance(handle.get(name), h5py.Group)]
        if not groups and "window_size" not in handle.attrs:
            old = "metacluster_idx_to_submetacluster_results" in handle
            fix = "modisco convert makes a new one of it" if old else "give the .h5 file of modisco motifs"
            raise InputError(f"{path} holds no pos_patterns or neg_patterns", fix=fix)
        window = handle.attrs.get("window_size")
        found = []
        for group in groups:
            for name in sorted((key for key in handle[group] if _number(key) is not None), key=_order):
                found.append(_read(path, handle[group][name], SIGNS[group]))
        return Patterns(found, None if window is None else int(window))


def _number(name: str) -> int | None:
    head, _, tail = name.partition("_")
    return int(tail) if head == "pattern" and tail.isascii() and tail.isdigit() else None


def _order(name: str) -> int:
    return _number(name) or 0


def _read(path: Path, group: h5py.Group, sign: int) -> Pattern:
    seqlets = group.get("seqlets")
    names = [*_AVERAGES, *(f"seqlets/{name}" for name in _NUMBERS)]
    missing = [name for name in names if name not in group]
    if missing or seqlets is None:
        raise CorruptError(f"{group.name} of {path} lacks {', '.join(missing)}", fix="run modisco motifs again")
    try:
        averages = [np.asarray(group[name][()], np.float64).T for name in _AVERAGES]
        row, start, end, flipped = (
            np.asarray(seqlets[name][()]).reshape(-1) for name in ("example_idx", *_NUMBERS[:2], "is_revcomp")
        )
        own = [np.asarray(seqlets[name][()], np.float32) for name in _AVERAGES] if _AVERAGES[0] in seqlets else []
    except (OSError, KeyError, ValueError) as error:
        raise CorruptError(f"{group.name} of {path} cannot be read: {error}", fix="run modisco motifs again") from None
    shape = averages[0].shape
    fits = len(shape) == 2 and shape[0] == 4 and all(array.shape == shape for array in averages)
    fits &= len({len(column) for column in (row, start, end, flipped)}) == 1
    fits &= all(array.shape == (len(row), shape[-1], 4) for array in own)
    if not fits:
        raise CorruptError(f"arrays of {group.name} of {path} do not fit together", fix="run modisco motifs again")
    windows = Windows(*(array.transpose(0, 2, 1) for array in own)) if own else None
    return Pattern(
        sign=sign,
        sequence=averages[0],
        contribution=averages[1],
        hypothetical=averages[2],
        row=row.astype(np.int64),
        start=start.astype(np.int64),
        end=end.astype(np.int64),
        flipped=flipped.astype(np.bool_),
        windows=windows,
    )


def write_patterns(path: Path, patterns: Sequence[Pattern], *, window: int) -> None:
    """Write ``path``, which must not exist; patterns keep their order within a sign."""
    with h5.create_whole(path) as out:
        h5.set_attributes(out, {"window_size": window})
        for name, sign in SIGNS.items():
            chosen = [pattern for pattern in patterns if pattern.sign == sign]
            for number, pattern in enumerate(chosen):
                _write(h5.subgroup(out, f"{name}/pattern_{number}"), pattern)


def _write(group: h5py.Group, pattern: Pattern) -> None:
    averages = (pattern.sequence, pattern.contribution, pattern.hypothetical)
    for name, values in zip(_AVERAGES, averages, strict=True):
        h5.write_array(group, name, values.T)
    arrays: dict[str, NDArray[Any]] = {
        "n_seqlets": np.array([len(pattern.row)], np.int64),
        "start": pattern.start,
        "end": pattern.end,
        "example_idx": pattern.row,
        "is_revcomp": pattern.flipped,
    }
    if pattern.windows is not None:
        own = (pattern.windows.sequence, pattern.windows.contribution, pattern.windows.hypothetical)
        arrays |= {name: values.transpose(0, 2, 1) for name, values in zip(_AVERAGES, own, strict=True)}
    for name, values in arrays.items():
        h5.write_array(group, f"seqlets/{name}", values)
