"""Opening and verifying stores of either kind."""

from __future__ import annotations

from pathlib import Path

from drg_hpc.errors import InputError
from drg_hpc.store.dataset_reader import DatasetStore
from drg_hpc.store.genome_reader import GenomeStore
from drg_hpc.store.header import find_store, read_header
from drg_hpc.store.manifest import check_files, read_manifest

__all__ = ["DatasetStore", "GenomeStore", "open_dataset", "open_genome", "open_store", "verify_store"]


def open_store(path: Path | str) -> GenomeStore | DatasetStore:
    """Open a store (RUN or store) for reading.

    Raises
    ------
    InputError : nothing there, or not a store
    IncompleteError : the run has not been merged
    CorruptError : a file is missing or has another size (named)
    """
    store = find_store(Path(path))
    header = read_header(store)
    return GenomeStore(store, header) if header["kind"] == "genome" else DatasetStore(store, header)


def open_dataset(path: Path | str) -> DatasetStore:
    """Open a store that must be a dataset.

    Raises
    ------
    InputError : it is a genome store
    """
    store = open_store(path)
    if not isinstance(store, DatasetStore):
        raise InputError(f"{path} is a genome store, a dataset store is needed here")
    return store


def open_genome(path: Path | str) -> GenomeStore:
    """Open a store that must be a genome.

    Raises
    ------
    InputError : it is a dataset store
    """
    store = open_store(path)
    if not isinstance(store, GenomeStore):
        raise InputError(f"{path} is a dataset store, a genome store is needed here")
    return store


def verify_store(path: Path | str) -> int:
    """Re-read every byte against the manifest; returns the number of files checked.

    Raises
    ------
    CorruptError : names the file that is missing or changed
    """
    store = find_store(Path(path))
    files = read_manifest(store)
    check_files(store, files)
    return len(files)
