"""The stores of a training: what they are, whether they go together, their rows and how often each is drawn."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from drg_hpc.errors import UsageError
from drg_hpc.store.cache import open_cache
from drg_hpc.store.mixture import Mixture, require_alike
from drg_hpc.store.reader import open_dataset
from drg_hpc.store.sampler import Sampler, Source
from drg_hpc.training.config import DataTable, TrainOptions, parse_size
from drg_hpc.training.inputs import check_stores, describe_stores, locate_stores
from drg_hpc.training.weights import class_weights, file_weights, read_weights

Array = np.ndarray[Any, Any]
CACHE_SIZE = "DRG_CACHE_SIZE"


@dataclass(frozen=True)
class Stores:
    """STORE and those mixed with it.

    Attributes
    ----------
    paths : STORE first
    header : of STORE
    inputs : descriptions by name: ``store``, ``mix.0``, …, ``weights``
    """

    paths: list[Path]
    header: dict[str, Any]
    inputs: dict[str, dict[str, Any]]


def find_stores(store: Path, data: DataTable) -> Stores:
    """Find and compare the stores of a training.

    Raises
    ------
    InputError : no dataset store, modalities of differing bins, stores that hold different things, or
        a faulty file of weights
    CorruptError : a store that was not finished
    UsageError : jitter that the flanks or bins do not allow
    """
    headers = locate_stores(store, data)
    require_alike(headers)
    check_stores(headers, data)
    if data.weights is not None:
        read_weights(data.weights)  # a fault in it is said before anything is built
    return Stores([path for path, _ in headers], headers[0][1], describe_stores(headers, data))


def cache_limit(options: TrainOptions) -> int | None:
    """Largest size of the training caches in bytes, from the option or the environment.

    Raises
    ------
    UsageError : the environment does not hold a size
    """
    if options.cache_size is not None:
        return parse_size(options.cache_size)
    text = os.environ.get(CACHE_SIZE)
    if not text:
        return None
    try:
        return parse_size(text)
    except ValueError as error:
        raise UsageError(f"{CACHE_SIZE} = {text!r}: {error}") from None


def open_mixture(stores: Stores, options: TrainOptions) -> Mixture:
    """The caches of all stores, built where this node lacks them."""
    limit = cache_limit(options)
    return Mixture([open_cache(path, options.cache_dir, limit=limit) for path in stores.paths])


def make_sampler(stores: Stores, mixture: Mixture, rows: list[Array], table: DataTable, *, seed: int) -> Sampler:
    """What is drawn in each epoch.

    Parameters
    ----------
    rows : global numbers of the training rows of each store

    Raises
    ------
    UsageError, InputError : balance or weights that do not fit the rows
    """
    shares = [table.weight, *(mixed.weight for mixed in table.mix)]
    sources = []
    for number, (path, chosen, share) in enumerate(zip(stores.paths, rows, shares, strict=True)):
        local = chosen - mixture.offsets[number]
        weights = None
        if table.balance is not None:
            weights = class_weights(mixture.caches[number], table.balance, local, store=path)
        elif table.weights is not None:
            weights = file_weights(table.weights, open_dataset(path).regions, local, store=path)
        sources.append(Source(len(chosen), share, weights))
    return Sampler(sources, seed=seed, samples=table.samples or None)
