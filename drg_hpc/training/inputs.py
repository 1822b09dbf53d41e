"""The files and stores that a training reads: found, checked against its recipe, described. Light: no torch here."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drg_hpc.digests import describe_input
from drg_hpc.errors import InputError, UsageError
from drg_hpc.models.header import MODEL_MEMBERS
from drg_hpc.store.dataset_layout import common_span, inputs_of, modalities_of
from drg_hpc.store.header import describe_store, find_store, require_bins, require_kind, split_count
from drg_hpc.training.config import DataTable, Recipe
from drg_hpc.training.config_init import InitTable

Headers = Sequence[tuple[Path, dict[str, Any]]]


def locate_stores(store: Path, data: DataTable) -> list[tuple[Path, dict[str, Any]]]:
    """STORE and those mixed with it, with their headers.

    Raises
    ------
    InputError : not a dataset store, or modalities of differing bins
    """
    paths = [find_store(path) for path in (store, *(table.store for table in data.mix))]
    headers = [(path, require_kind(path, "dataset")) for path in paths]
    require_bins(headers[0][1])
    return headers


def check_stores(headers: Headers, data: DataTable) -> None:
    """Refuse stores that lack the rows or the flanks that a training asks for, before a cache is built of them.

    Raises
    ------
    InputError : no such split, or it is empty
    UsageError : jitter that the flanks or bins do not allow
    """
    for path, header in headers:
        _check_jitter(data, path, header)
        _require_rows(path, header, data.train, key="data.train")
    _require_rows(*headers[0], data.valid, key="data.valid")


def _require_rows(path: Path, header: dict[str, Any], split: str, *, key: str) -> None:
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


def describe_stores(headers: Headers, data: DataTable) -> dict[str, dict[str, Any]]:
    """Descriptions by name: ``store``, ``mix.0``, …, and the file ``weights``."""
    (store, *mixed) = [describe_store(path) for path, _ in headers]
    found = {"store": store} | {f"mix.{number}": record for number, record in enumerate(mixed)}
    if data.weights is not None:
        found["weights"] = describe_input(data.weights)
    return found


def describe_init(table: InitTable) -> dict[str, dict[str, Any]]:
    """Descriptions of the files of an ``[init]`` table: ``init`` and ``motifs``."""
    found = {}
    if table.model is not None:
        found["init"] = describe_input(table.model, MODEL_MEMBERS)
    if table.motifs is not None:
        found["motifs"] = describe_input(table.motifs)
    return found


def describe_models(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """Descriptions of what the weights start from: ``init`` and ``motifs`` of ``[init]``, and the ``bias`` model."""
    found = describe_init(recipe.init)
    if (bias := bias_folder(recipe)) is not None:
        found["bias"] = describe_input(bias, MODEL_MEMBERS)
    return found


def bias_folder(recipe: Recipe) -> Path | None:
    """MODEL of ``model.bias_model``, where the network has one."""
    bias = getattr(recipe.model, "bias_model", None)
    return None if bias is None else Path(bias.folder)


def placed(recorded: Mapping[str, Any], inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The way back from :func:`drg_hpc.training.config.recorded`: files and stores named by their place."""
    values = copy.deepcopy(dict(recorded))
    for table, key, name in (("init", "model", "init"), ("init", "motifs", "motifs"), ("data", "weights", "weights")):
        if name in inputs:
            values[table][key] = inputs[name]["path"]
    if values["model"].get("bias_model") is not None:
        values["model"]["bias_model"]["folder"] = inputs["bias"]["path"]
    for number, mixed in enumerate(values["data"]["mix"]):
        mixed["store"] = inputs[f"mix.{number}"]["path"]
    return values
