"""The stores of a training: what they are, whether they go together, their rows and how often each is drawn."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from drg_hpc.digests import describe_input
from drg_hpc.errors import InputError, UsageError
from drg_hpc.store.cache import open_cache
from drg_hpc.store.dataset_layout import common_span, inputs_of, modalities_of
from drg_hpc.store.header import describe_store, find_store, require_bins, require_kind, split_count
from drg_hpc.store.mixture import Mixture, require_alike
from drg_hpc.store.reader import open_dataset
from drg_hpc.store.sampler import Sampler, Source
from drg_hpc.training.config import DataTable, TrainOptions, parse_size
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
    paths = [find_store(path) for path in (store, *(table.store for table in data.mix))]
    headers = [require_kind(path, "dataset") for path in paths]
    require_bins(headers[0])
    require_alike(list(zip(paths, headers, strict=True)))
    for path, header in zip(paths, headers, strict=True):
        _check_jitter(data, path, header)
        require_rows(path, header, data.train, key="data.train")
    require_rows(paths[0], headers[0], data.valid, key="data.valid")
    inputs = {"store": describe_store(paths[0])}
    inputs |= {f"mix.{number}": describe_store(path) for number, path in enumerate(paths[1:])}
    if data.weights is not None:
        read_weights(data.weights)  # a fault in it is said before anything is built
        inputs["weights"] = describe_input(data.weights)
    return Stores(paths, headers[0], inputs)


def require_rows(path: Path, header: dict[str, Any], split: str, *, key: str) -> None:
    """Refuse a store without rows in a split, before a cache is built of it.

    Raises
    ------
    InputError : no such split, or it is empty
    """
    if split_count(header, split) == 0:
        raise InputError(
            f"{path} has no rows in split {split!r} ({key})", fix="shard with --valid, or name another split"
        )


def _check_jitter(data: DataTable, path: Path, header: dict[str, Any]) -> None:
    items, bins, jitter = inputs_of(header), require_bins(header), data.jitter
    flank = min(item.flank for item in items)
    length = common_span(modalities_of(header), items[0].length) or items[0].length
    if jitter > flank and not data.jitter_pad:
        raise UsageError(
            f"data.jitter = {jitter}, but {path} holds {flank} bases on either side of its windows",
            fix=f"shard with --flank {jitter}, or set data.jitter_pad = true for N beyond them",
        )
    if jitter and bins and 2 * jitter >= length // bins:
        raise UsageError(
            f"data.jitter = {jitter} moves windows by up to {2 * jitter} bases against each other, and bins of targets "
            f"are {length // bins}",
            fix=f"data.jitter = {max((length // bins - 1) // 2, 0)} or less",
        )


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
