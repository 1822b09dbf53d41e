"""Matrices of labels: rows are sequences or regions, columns are tracks.

TSV and CSV (names in column 1, tracks in the header) are checked with the standard library, so that plans can do it
anywhere; ``.npz`` and ``.parquet`` need numpy and pyarrow. All are read in blocks, never as Python objects per value.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from drg_hpc.errors import InputError
from drg_hpc.genome.matrix_text import TextMatrix

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from drg_hpc.genome.matrix_arrays import ArrayMatrix

_REGION = re.compile(r"\S+:\d+-\d+(\([+.-]\))?")
_LOOKED_AT = 100


@dataclass(frozen=True)
class MatrixInfo:
    """Shape of a matrix: row names, track names, bins (0: one value a track)."""

    names: tuple[str, ...]
    tracks: tuple[str, ...]
    bins: int


def scan_matrix(path: Path, *, allow_missing: bool) -> MatrixInfo:
    """Check every value of a matrix and return its shape.

    Parameters
    ----------
    allow_missing : NaN and empty values are missing labels; otherwise they are errors

    Raises
    ------
    InputError : unreadable, a label that is no number (line, row and column named), a name twice, rows and columns
        swapped
    """
    names: dict[str, None] = {}
    matrix = _open(path)
    _refuse_twice(path, matrix.tracks)
    if isinstance(matrix, TextMatrix):
        for row in matrix:
            if row[1] in names:
                raise InputError(f"{path}: line {row[0]}: row {row[1]!r} occurs twice")
            matrix.values(row, allow_missing=allow_missing)
            names[row[1]] = None
        bins = 0
    else:
        from drg_hpc.genome.matrix_arrays import check_block

        for block, values in matrix.blocks():
            for name in block:
                if name in names:
                    raise InputError(f"{path}: row {name!r} occurs twice")
                names[name] = None
            check_block(matrix, block, values, allow_missing=allow_missing)
        bins = matrix.bins
    info = MatrixInfo(tuple(names), tuple(matrix.tracks), bins)
    if _transposed(info):
        raise InputError(
            f"{path} looks transposed: columns are named {info.tracks[0]} …, rows {info.names[0]} …",
            fix="rows must be the regions or sequences, columns the tracks",
        )
    return info


def join_hint(info: MatrixInfo, wanted: Collection[str]) -> str:
    """Why none of the ``wanted`` names are rows of a matrix, as far as its names show it: half a sentence, or none."""
    known = set(wanted)
    if sum(track in known for track in info.tracks) * 2 > len(info.tracks):
        return "its columns are named like the rows, it looks transposed"
    lower = {name.lower() for name in known}
    if any(name.lower() in lower for name in info.names[:_LOOKED_AT]):
        return "names differ in upper and lower case"
    return f"its names look like {', '.join(info.names[:3])}"


def load_rows(path: Path, names: Sequence[str]) -> NDArray[np.float32]:
    """Values ``(names, tracks[, bins])`` of rows of a matrix that was scanned; NaN where a label is missing.

    Parameters
    ----------
    names : in the order of the result; only these rows are parsed and kept

    Raises
    ------
    InputError : a name that is no row
    """
    import numpy as np

    slot = {name: i for i, name in enumerate(dict.fromkeys(names))}
    matrix = _open(path)
    if isinstance(matrix, TextMatrix):
        found, filled = _text_rows(matrix, slot)
    else:
        found, filled = _array_rows(matrix, slot)
    if not filled.all():
        lacking = next(name for name, i in slot.items() if not filled[i])
        raise InputError(f"{path} has no row {lacking!r}", fix="did the file change since the run was planned?")
    if len(slot) == len(names):
        return found
    return found[np.array([slot[name] for name in names], np.int64)]


def read_names(path: Path) -> list[str]:
    """Row names of a matrix that was scanned."""
    matrix = _open(path)
    if isinstance(matrix, TextMatrix):
        return [row[1] for row in matrix]
    return [name for block, _ in matrix.blocks() for name in block]


def _text_rows(matrix: TextMatrix, slot: dict[str, int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    import numpy as np

    out = np.empty((len(slot), len(matrix.tracks)), np.float32)
    filled = np.zeros(len(slot), np.bool_)
    left = len(slot)
    for row in matrix:
        at = slot.get(row[1])
        if at is None or filled[at]:
            continue
        out[at] = matrix.values(row, allow_missing=True)
        filled[at] = True
        left -= 1
        if not left:
            break
    return out, filled


def _array_rows(matrix: ArrayMatrix, slot: dict[str, int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    import numpy as np

    shape = (len(slot), len(matrix.tracks), *([matrix.bins] if matrix.bins else []))
    out = np.empty(shape, np.float32)
    filled = np.zeros(len(slot), np.bool_)
    for block, values in matrix.blocks():
        rows = np.array([i for i, name in enumerate(block) if name in slot], np.int64)
        at = [slot[block[i]] for i in rows]
        out[at] = values[rows]
        filled[at] = True
    return out, filled


def _open(path: Path) -> TextMatrix | ArrayMatrix:
    if path.suffix not in (".npz", ".parquet"):
        return TextMatrix(path)
    try:
        from drg_hpc.genome.matrix_arrays import open_matrix

        return open_matrix(path)
    except ImportError as error:
        raise InputError(f"reading {path.suffix} needs {error.name}, which is not installed here: {path}",
                         fix="plan in the run environment or image, or use TSV") from None  # fmt: skip


def _refuse_twice(path: Path, tracks: Sequence[str]) -> None:
    seen: dict[str, int] = {}
    for number, name in enumerate(tracks, 1):
        if name in seen:
            raise InputError(f"{path}: track {name!r} occurs twice (tracks {seen[name]} and {number})")
        seen[name] = number


def _region_like(names: Sequence[str]) -> Iterator[bool]:
    return (_REGION.fullmatch(name) is not None for name in names[:_LOOKED_AT])


def _transposed(info: MatrixInfo) -> bool:
    """Columns named like regions, and no row."""
    return len(info.tracks) > 1 and all(_region_like(info.tracks)) and not any(_region_like(info.names))
