"""Opening the merged file of a run of which a reader knows the format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py

from drg_hpc.errors import CorruptError, InputError
from drg_hpc.results import h5

_FIX = "write it again (a run's: drg-merge)"


@contextmanager
def open_result(
    path: Path, kind: str, *, what: str, command: str, needed: Sequence[str]
) -> Iterator[h5py.File]:  # fmt: skip
    """Open a file for reading.

    Parameters
    ----------
    kind : its format
    what : the file has, for messages
    command : that writes it
    needed : datasets and groups that must be there

    Raises
    ------
    InputError : nothing there, or another file
    CorruptError : one of ``needed`` is not there, or cannot be read
    """
    with h5.open_file(path) as handle:
        found = h5.get_attributes(handle).get("format")
        if found != kind:
            raise InputError(f"{path} has format {found!r}, {what} ({kind}) are wanted", fix=f"give a run of {command}")
        if missing := [name for name in needed if name not in handle]:
            raise CorruptError(f"{path} has no {missing[0]}", fix=_FIX)
        yield handle
