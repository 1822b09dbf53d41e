"""What any HDF5 file of ours holds, for people: datasets with shapes, and the attributes that determined them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py

from drg_hpc.results import h5
from drg_hpc.runs.outputs import check_recorded


def describe_hdf5(path: Path, *, verify: bool) -> dict[str, Any]:
    """Datasets ``name -> "dtype shape"`` and root attributes; ``verified`` says what ``verify`` has covered where
    there is no checksum.

    Parameters
    ----------
    verify : also read every chunk of every dataset; in a run, compare the sha256 with done.json

    Raises
    ------
    CorruptError : cut off, or a chunk that cannot be read
    """
    datasets: dict[str, str] = {}
    with h5.open_file(path) as handle:
        for name in h5.dataset_names(handle):
            item = handle[name]
            assert isinstance(item, h5py.Dataset)
            datasets[name] = f"{item.dtype} {item.shape}"
            if verify:
                _read_all(item)
        found: dict[str, Any] = {"datasets": datasets, "attributes": h5.get_attributes(handle)}
    if verify and not check_recorded(path, whole=True):
        found["verified"] = "every chunk read; no checksum of the file is known"
    return found


def _read_all(item: h5py.Dataset) -> None:
    step = item.chunks[0] if item.chunks else max(1, len(item))
    for start in range(0, item.shape[0] if item.shape else 0, step):
        item[start : start + step]
