"""Arrays of a store of either kind. Light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drg_hpc.store.dataset_layout import dataset_arrays, dataset_labels
from drg_hpc.store.genome_layout import genome_arrays, genome_labels
from drg_hpc.store.layout import ArraySpec


def store_arrays(header: Mapping[str, Any]) -> list[ArraySpec]:
    """Sharded arrays of a store."""
    return genome_arrays(header) if header["kind"] == "genome" else dataset_arrays(header)


def store_labels(header: Mapping[str, Any]) -> dict[str, list[str]]:
    """Coordinate arrays of a store, path -> values; they name what lies along a dimension, for xarray."""
    return genome_labels(header) if header["kind"] == "genome" else dataset_labels(header)
