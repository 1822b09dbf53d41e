"""Matrices of labels: rows are sequences or regions, columns are tracks.

TSV and CSV (names in column 1, tracks in the header) are read with the standard library, so that plans can check
them anywhere; ``.npz`` and ``.parquet`` need numpy or pandas.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drg_hpc.errors import InputError
from drg_hpc.genome.fasta import text_lines

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FLOAT32_MAX = 3.4028234663852886e38
_MISSING = {"", "na", "nan", "n/a", "."}


@dataclass(frozen=True)
class MatrixInfo:
    """Shape of a matrix: row names, track names, bins (0: one value a track)."""

    names: tuple[str, ...]
    tracks: tuple[str, ...]
    bins: int


def scan_matrix(path: Path, *, allow_missing: bool) -> MatrixInfo:
    """Check a matrix and return its shape.

    Parameters
    ----------
    allow_missing : NaN and empty values are missing labels; otherwise they are errors

    Raises
    ------
    InputError : unreadable, a label that is no number (row and column named), a name twice
    """
    if path.suffix in (".npz", ".parquet"):
        names, tracks, values = _load_array(path)
        _check_values(path, names, tracks, values, allow_missing=allow_missing)
        info = MatrixInfo(tuple(names), tuple(tracks), values.shape[2] if values.ndim == 3 else 0)
    else:
        rows = _text_rows(path, allow_missing=allow_missing)
        tracks = next(rows)[0].split("\0")
        info = MatrixInfo(tuple(name for name, _ in rows), tuple(tracks), 0)
    _refuse_twice(path, info.names, "row")
    _refuse_twice(path, info.tracks, "track")
    return info


def load_matrix(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    """Names and values ``(rows, tracks[, bins])`` of a matrix that was scanned; NaN where a label is missing."""
    import numpy as np

    if path.suffix in (".npz", ".parquet"):
        names, _, values = _load_array(path)
        return names, values.astype(np.float32)
    rows = _text_rows(path, allow_missing=True)
    next(rows)
    named = list(rows)
    return [name for name, _ in named], np.array([values for _, values in named], np.float32)


def _refuse_twice(path: Path, names: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"{path}: {what} {name!r} occurs twice")
        seen.add(name)


def _delimiter(path: Path, header: str) -> str | None:
    if path.name.removesuffix(".gz").endswith(".csv"):
        return ","
    return "\t" if "\t" in header else "," if "," in header else None


def _text_rows(path: Path, *, allow_missing: bool) -> Iterator[tuple[str, array[float]]]:
    """First (track names joined by NUL, empty), then (name, values) of each row."""
    delimiter, header, tracks = None, None, list[str]()
    for number, line in text_lines(path):
        if not line.strip():
            continue
        if header is None:
            delimiter = _delimiter(path, line)
            header = [field.strip().strip('"') for field in line.lstrip("#").split(delimiter)]
            continue
        fields = line.split(delimiter)
        if not tracks:
            tracks = _tracks(path, header, len(fields) - 1)
            yield "\0".join(tracks), array("d")
        if len(fields) != len(tracks) + 1:
            raise InputError(f"{path}: line {number}: {len(fields)} columns, the header has {len(tracks) + 1}")
        name = fields[0].strip().strip('"')
        yield name, _numbers(path, name, fields[1:], tracks, allow_missing=allow_missing)
    if not tracks:
        raise InputError(f"no labels in {path}", fix="a header line, then rows of a name and numbers")


def _tracks(path: Path, header: list[str], count: int) -> list[str]:
    """Track names: the last ``count`` fields of the header, which may or may not name the first column."""
    if count < 1 or len(header) not in (count, count + 1):
        raise InputError(f"{path}: the header has {len(header)} columns, the first row {count + 1}")
    names = header[-count:]
    try:
        [float(name) for name in names]
    except ValueError:
        return names
    raise InputError(f"{path}: no header line with track names", fix="put the track names in the first line")


def _numbers(path: Path, name: str, fields: list[str], tracks: list[str], *, allow_missing: bool) -> array[float]:
    try:
        values = array("d", map(float, fields))
        if math.isfinite(sum(values)) and max(map(abs, values)) <= _FLOAT32_MAX:
            return values
    except ValueError:
        pass  # looked at one by one below
    values = array("d")
    for track, field in zip(tracks, fields, strict=True):
        text = field.strip().strip('"')
        if text.lower() in _MISSING:
            if not allow_missing:
                raise _bad_label(path, name, track, text)
            values.append(math.nan)
            continue
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or abs(number) > _FLOAT32_MAX:
            raise _bad_label(path, name, track, text)
        values.append(number)
    return values


def _bad_label(path: Path, name: str, track: str, text: object) -> InputError:
    return InputError(
        f"{path}: row {name!r}, column {track!r}: label {str(text)!r} is not a finite number",
        fix="correct it, or take missing labels out of the loss with --missing mask",
    )


def _load_array(path: Path) -> tuple[list[str], list[str], Any]:
    try:
        import numpy as np
        import pandas as pd
    except ImportError:
        raise InputError(f"reading {path.suffix} needs numpy and pandas, which are not installed here: {path}",
                         fix="plan in the run environment or image, or use TSV") from None  # fmt: skip
    if not path.is_file():
        raise InputError(f"no such file: {path}", fix="check the path")
    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
            if not pd.api.types.is_numeric_dtype(frame.iloc[:, 0]):
                frame = frame.set_index(frame.columns[0])
            return [str(n) for n in frame.index], [str(c) for c in frame.columns], frame.to_numpy(np.float64)
        with np.load(path, allow_pickle=False) as data:
            return _npz_arrays(path, data)
    except (OSError, ValueError, KeyError, IndexError, EOFError) as error:
        raise InputError(f"cannot read {path}: {error}") from None


def _npz_arrays(path: Path, data: Any) -> tuple[list[str], list[str], Any]:
    """DRG's keys: counts, names and celltypes, or values, names and columns."""
    import numpy as np

    key, labels = ("counts", "celltypes") if "counts" in data else ("values", "columns")
    if key not in data or "names" not in data:
        raise InputError(f"{path} has no labels, only {', '.join(data)}", fix="it needs counts (or values) and names")
    values = np.asarray(data[key], np.float64)
    if values.ndim not in (2, 3) or len(values) != len(data["names"]):
        raise InputError(f"{path}: {key} has shape {values.shape} for {len(data['names'])} names")
    tracks = [str(t) for t in data[labels]] if labels in data else [f"C{i}" for i in range(values.shape[1])]
    if len(tracks) != values.shape[1]:
        raise InputError(f"{path}: {len(tracks)} {labels} for {values.shape[1]} columns")
    return [str(n) for n in data["names"]], tracks, values


def _check_values(path: Path, names: list[str], tracks: list[str], values: Any, *, allow_missing: bool) -> None:
    import numpy as np

    bad = ~(np.abs(values) <= _FLOAT32_MAX)
    if allow_missing:
        bad &= ~np.isnan(values)
    if bad.any():
        row, column = np.argwhere(bad)[0][:2]
        raise _bad_label(path, names[row], tracks[column], values[row, column])
