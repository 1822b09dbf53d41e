"""Reference sequences: one-hot arrays that depend on (seed, global row, copy) alone."""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.attribution.reference_files import ARRAY
from drg_hpc.attribution.reference_spec import ReferenceSpec
from drg_hpc.errors import InputError
from drg_hpc.genome.fasta import read_records
from drg_hpc.genome.onehot import codes_to_onehot, encode
from drg_hpc.genome.shuffle import dinucleotide_shuffle, dinucleotide_shuffle_compat, shuffle_keys
from drg_hpc.rng import row_keys


def draw(
    spec: ReferenceSpec, onehot: NDArray[Any], rows: Sequence[int], *, seed: int, input_name: str = ""
) -> NDArray[np.float32]:
    """References of some sequences.

    Parameters
    ----------
    onehot : (n, 4, L); an all-zero column is an unknown base
    rows : their global row numbers
    seed : of shuffles. ``dinuc`` draws copy j of a row by (seed, row, j), for each input by a stream of its own;
        ``dinuc-compat`` by seed + j whatever the row
    input_name : of the input among several; "" for the only one

    Returns
    -------
    (n, R, 4, L); zero where the sequence has no base. A shuffle keeps unknown bases in place (``dinuc-compat`` may move
    them, see :func:`dinucleotide_shuffle_compat`, and they are zero in either place).

    Raises
    ------
    InputError : a file of another shape, or without the array
    """
    known = (onehot != 0).any(axis=1)[:, None, None]
    found: NDArray[np.float32]
    if spec.kind == "file":
        found = _from_file(spec, onehot, rows, input_name=input_name)
    elif not spec.random:
        found = np.asarray(spec.frequencies, np.float32)[None, None, :, None]
    else:
        codes = np.where(known[:, 0, 0], onehot.argmax(axis=1), 4).astype(np.uint8)
        found = np.zeros((len(onehot), spec.count, 4, onehot.shape[2]), np.float32)
        for copy in range(spec.count):
            found[:, copy] = codes_to_onehot(_shuffled(spec, codes, rows, seed, copy, input_name)).transpose(0, 2, 1)
        found *= known  # in place: shuffles fill much memory
        return found
    product: NDArray[np.float32] = np.multiply(found, known, dtype=np.float32)
    return product


def _shuffled(
    spec: ReferenceSpec, codes: NDArray[np.uint8], rows: Sequence[int], seed: int, copy: int, input_name: str
) -> NDArray[np.uint8]:
    if spec.kind == "dinuc-compat":
        return dinucleotide_shuffle_compat(codes, seed=seed, copy=copy)
    numbers = np.asarray(rows, np.int64)
    if input_name:
        return dinucleotide_shuffle(codes, row_keys(seed, numbers, f"dinuc:{copy}:{input_name}"))
    return dinucleotide_shuffle(codes, shuffle_keys(seed, numbers, copy))


def _from_file(
    spec: ReferenceSpec, onehot: NDArray[Any], rows: Sequence[int], *, input_name: str
) -> NDArray[np.float32]:
    assert spec.path is not None
    shared = load_file(spec.path, length=onehot.shape[2], input_name=input_name)
    if shared.ndim == 3:
        return np.broadcast_to(shared, (len(onehot), *shared.shape)).astype(np.float32)
    if max(rows) >= len(shared):
        raise InputError(f"{spec.path} has references of {len(shared)} rows, row {max(rows)} is asked for",
                         fix="make the file of the same sequences, in the same order")  # fmt: skip
    return shared[list(rows)].astype(np.float32)


def load_file(path: Path, *, length: int, input_name: str = "") -> NDArray[Any]:
    """References of a file, ``(R, 4, length)`` for all rows or ``(rows, R, 4, length)``.

    A FASTA has one reference a sequence, each of the model's length. An ``.npz`` file has them as an array
    ``references`` (for a model of several inputs: one named like each input) of numbers from 0 to 1.

    Raises
    ------
    InputError : neither, or of another length or shape
    """
    status = path.stat()
    return _load(path, length, input_name, (status.st_mtime_ns, status.st_size))


@functools.lru_cache(maxsize=4)
def _load(path: Path, length: int, input_name: str, version: tuple[int, int]) -> NDArray[Any]:
    found = _load_npz(path, input_name or ARRAY) if path.suffix == ".npz" else _load_fasta(path, length)
    if found.ndim not in (3, 4) or found.shape[-2:] != (4, length) or not found.size:
        raise InputError(f"{path}: references have shape {found.shape}",
                         fix=f"give (R, 4, {length}) or (rows, R, 4, {length})")  # fmt: skip
    if found.dtype.kind not in "biuf" or not (found.min() >= 0 and found.max() <= 1):
        raise InputError(f"{path}: references must be numbers from 0 to 1")
    return found


def _load_npz(path: Path, name: str) -> NDArray[Any]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if name not in arrays.files:
                raise InputError(f"{path} has no array {name!r}", fix=f"it has {', '.join(arrays.files) or 'none'}")
            found: NDArray[Any] = arrays[name]
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{path} cannot be read as .npz: {error}") from None
    return found


def _load_fasta(path: Path, length: int) -> NDArray[Any]:
    records = list(read_records(path))
    if other := next((record for record in records if len(record.sequence) != length), None):
        raise InputError(f"{path}: {other.name} has {len(other.sequence)} bases, the model takes {length}")
    if not records:
        raise InputError(f"{path} has no sequences")
    codes = np.stack([encode(record.sequence) for record in records])
    return codes_to_onehot(codes).transpose(0, 2, 1)
