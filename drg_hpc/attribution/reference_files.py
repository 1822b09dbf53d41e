"""How many references a file has, before anything is computed. Light: read without NumPy."""

from __future__ import annotations

import ast
import struct
import zipfile
from pathlib import Path

from drg_hpc.errors import InputError
from drg_hpc.genome.fasta import scan

ARRAY = "references"
"""Name of the array in an ``.npz`` file for a model of one input; for several, the array is named like the input."""


def count_references(path: Path, *, length: int, rows: int | None = None, input_name: str = "") -> int:
    """References of a row in a FASTA, or in an ``.npz`` file.

    Parameters
    ----------
    length : bases of the input
    rows : of the run, which a file with references of each row must have
    input_name : of the input among several; "" for the only one

    Raises
    ------
    InputError : neither, no references, or of another length or shape
    """
    if path.suffix == ".npz":
        return _count_npz(path, input_name or ARRAY, length, rows)
    records = scan(path)
    if other := next((record for record in records if record.length != length), None):
        raise InputError(f"{path}: {other.name} has {other.length} bases, the model takes {length}")
    if not records:
        raise InputError(f"{path} has no sequences")
    return len(records)


def _count_npz(path: Path, name: str, length: int, rows: int | None) -> int:
    shape = _shape(path, name)
    if len(shape) not in (3, 4) or shape[-2:] != (4, length) or 0 in shape:
        raise InputError(f"{path}: {name} has shape {shape}", fix=f"give (R, 4, {length}) or (rows, R, 4, {length})")
    if len(shape) == 4 and rows is not None and shape[0] != rows:
        raise InputError(
            f"{path}: {name} has references of {shape[0]} rows, the run has {rows}",
            fix="give those of the run's rows, in their order",
        )
    return shape[-3]


def _shape(path: Path, name: str) -> tuple[int, ...]:
    """Shape of an array, from its header (NumPy's format 1 to 3: magic, version, length, a Python literal)."""
    try:
        with zipfile.ZipFile(path) as archive:
            if f"{name}.npy" not in archive.namelist():
                known = ", ".join(sorted(entry.removesuffix(".npy") for entry in archive.namelist()))
                raise InputError(f"{path} has no array {name!r}", fix=f"it has {known or 'none'}")
            with archive.open(f"{name}.npy") as array:
                if array.read(6) != b"\x93NUMPY":
                    raise ValueError("no array")
                major = array.read(2)[0]
                size = struct.unpack("<H" if major == 1 else "<I", array.read(2 if major == 1 else 4))[0]
                found = ast.literal_eval(array.read(size).decode("utf-8" if major == 3 else "latin-1"))["shape"]
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, SyntaxError, struct.error, IndexError) as error:
        raise InputError(f"{path} cannot be read as .npz: {error}") from None
    return tuple(int(size) for size in found)
