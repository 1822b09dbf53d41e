"""Damaged HDF5: what h5py raises of bytes that cannot be read, as one line with the file and the dataset.

Datasets are read wherever they are needed, so the name is taken from h5py's own frames of the traceback: an error of
anything else, and of another file such as one that is being written, is passed on as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb

import h5py

from drg_hpc.errors import CorruptError

FIX = "write it again (a run's: drg-merge); drg-inspect --verify reads all of it"
_ABSENT = ("doesn't exist", "not found", "can't locate")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """A block that reads ``path``.

    Raises
    ------
    CorruptError : h5py could not read an object of it
    """
    try:
        yield
    except (OSError, RuntimeError, KeyError) as error:
        fault = read_error(path, error)
        if fault is None:
            raise
        raise fault from None


def read_error(path: Path, error: Exception) -> CorruptError | None:
    """What an error of h5py means; None for one of something else, and for a name that is not in the file."""
    reason = str(error.args[0]) if error.args else ""
    if getattr(error, "errno", None) is not None or any(text in reason for text in _ABSENT):
        return None
    name = _object_of(path, error)
    if name is None:
        return None
    _, _, inner = reason.partition("(")  # "Can't synchronously read data (filter returned failure during read)"
    return CorruptError(f"{path} cannot be read: {name}: {inner.rstrip(')') or reason}", fix=FIX)


def _object_of(path: Path, error: Exception) -> str | None:
    """The object of ``path`` that h5py failed at, the innermost."""
    found = None
    for frame, _ in walk_tb(error.__traceback__):
        own = frame.f_locals.get("self")
        if not str(frame.f_globals.get("__name__")).startswith("h5py."):
            continue
        made = isinstance(own, h5py.HLObject) and hasattr(own, "_id")  # not a file that could not be opened
        if made and own and own.file.filename == str(path):
            found = str(own.name)
        elif isinstance(own, h5py.AttributeManager) and frame.f_code.co_name in ("__getitem__", "__iter__"):
            found = "attributes"
    return found
